"""One shape for every kind of footage: image sequences, single pictures and movies.

Readers and writers here move pixels; they know nothing of colour spaces (the caller names one, see
:mod:`colormnet.colour.spaces`) and nothing of the network.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from colormnet.media.movie import MovieSink
    from colormnet.media.sequences import SequenceSink

FloatArray: TypeAlias = npt.NDArray[np.float32]

MediaKind: TypeAlias = Literal["sequence", "still", "movie"]
SinkContent: TypeAlias = Literal["colour", "plate", "layers"]

CHROMA_A = "colormnet.a"
CHROMA_B = "colormnet.b"
CONFIDENCE = "colormnet.confidence"


@dataclass(frozen=True)
class Window:
    """A pixel window, EXR style: first pixel (x, y) and size, in display coordinates (y down)."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Windows:
    """Where a picture's pixels lie, and the frame they belong to; the two differ for overscan and cropped renders."""

    display: Window
    data: Window

    @staticmethod
    def of_size(width: int, height: int) -> Windows:
        """Those of a picture that is its frame."""
        whole = Window(0, 0, width, height)
        return Windows(whole, whole)


@dataclass(frozen=True)
class ColourHint:
    """What a file itself says about its colour; :func:`colormnet.colour.spaces.default_space` reads it.

    Attributes:
        format: as :attr:`MediaInfo.format`.
        floating: the colour channels are half or float.
        tag: a colour space or transfer name from the header ("Rec709", "KodakLog", "lin_ap1_scene"...), or None.
        chromaticities: red, green, blue, white (x, y) from an EXR header, or None.
    """

    format: str
    floating: bool = False
    tag: str | None = None
    chromaticities: tuple[float, ...] | None = None


@dataclass(frozen=True)
class MediaInfo:
    """What is known of the footage before a frame is read.

    Attributes:
        name: the footage as a person would write it (pattern or path).
        kind: "sequence", "still" or "movie".
        format: "exr", "png", "tiff", "dpx", "jpeg" or "movie"; of an exemplar also "gif", "webp" or "bmp".
        width, height: of the pixels :meth:`FrameSource.read` returns (the data window), in pixels.
        display: display window; differs from the data window for overscan and cropped renders.
        data: data window.
        pixel_aspect: width of a pixel over its height; 1.0 is square. Passed through to the output; the caller
            flattens the plate to square pixels (``width * pixel_aspect``) when it resizes to the working size.
        frame_rate: frames a second, exact, or None when the footage does not say.
        timecode: of the first frame, "HH:MM:SS:FF" (";" before FF: drop frame), or None.
        bits: text for the plan: "half", "float", "uint8", "uint10", "uint16".
        alpha: the colour part has an alpha channel.
        hint: what the file says about its colour.
        orientation: how a JPEG, PNG or TIFF asks to be turned when it is looked at (EXIF, 1 = as it is); the pixels
            are as they are stored.
        beside: what else is in each file: channels and parts that are neither the colour nor its alpha, by name.
        notes: sentences the user should see once (variable frame rate, non-square pixels...).
    """

    name: str
    kind: MediaKind
    format: str
    width: int
    height: int
    display: Window
    data: Window
    pixel_aspect: float
    frame_rate: Fraction | None
    timecode: str | None
    bits: str
    alpha: bool
    hint: ColourHint
    orientation: int = 1
    beside: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def windows(self) -> Windows:
        """Display and data window."""
        return Windows(self.display, self.data)


@dataclass(frozen=True)
class PlateFrame:
    """One frame of the plate.

    Attributes:
        number: frame number in the plate's own counting (the first frame of a movie is 1).
        pixels: (H, W, 3) float32, the plate's own colour space, straight from the file: HDR, negatives, NaN included.
            A luminance-only plate has its channel three times. Integer files are scaled so that full scale is 1.0.
        passthrough: everything else in the file; opaque, for the sink of the same footage.
    """

    number: int
    pixels: FloatArray
    passthrough: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class SinkSettings:
    """How the output is written; validated by :func:`open_sink`.

    Attributes:
        content: "colour" writes the given pixels as the colour channels; "plate" keeps the plate's own pixels and only
            adds the layers (EXR); "layers" writes nothing but the layers (EXR).
        layers: names of the one-channel layers that every ``write`` will carry, e.g. ``colormnet.a``. EXR only.
        layer_type: "half" or "float", the pixel type of the layers.
        codec: for movies: "prores", "dnxhr", "h264" or None = by extension (mov prores, mxf dnxhr, mp4 h264,
            mkv prores).
        pixel_type: of pictures: "half", "float", "uint8", "uint10", "uint16" or None = the plate's depth as nearly as
            the format can hold it. In an EXR made from an EXR only the colour changes its type.
        quality: JPEG quality 1-100.
        audio: copy the movie's sound (only when the frame range is the whole clip).
        frame_rate: for a movie made from a sequence that does not say its rate.
        segment_frames: a movie is written in whole segments of this many frames, so that an interrupted one resumes.
        fsync: flush each file to the disk before it gets its name.
        resume: keep frames that are already there; False starts a movie afresh.
    """

    content: SinkContent = "colour"
    layers: tuple[str, ...] = ()
    layer_type: Literal["half", "float"] = "half"
    codec: Literal["prores", "dnxhr", "h264"] | None = None
    pixel_type: Literal["half", "float", "uint8", "uint10", "uint16"] | None = None
    quality: int = 95
    audio: bool = True
    frame_rate: Fraction | None = None
    segment_frames: int = 50
    fsync: bool = False
    resume: bool = False


@runtime_checkable
class FrameSource(Protocol):
    """Footage to read. ``read`` takes frames in any order (ascending is fastest).

    Several threads may call ``read``; a movie serves them one after the other.
    """

    @property
    def info(self) -> MediaInfo:
        """What is known of the footage."""
        ...

    @property
    def frames(self) -> list[int]:
        """Frame numbers that will be read, in the order asked for."""
        ...

    def read(self, number: int) -> PlateFrame:
        """Read one frame. Raises InputError: unreadable, truncated, of another size or pixel aspect than the first."""
        ...

    def paths(self) -> list[Path]:
        """Every file the footage lives in."""
        ...

    def close(self) -> None:
        """Release processes and files."""
        ...

    def __enter__(self) -> FrameSource: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class FrameSink(Protocol):
    """Footage to write. Every output file appears whole or not at all.

    Use it as a context manager: leaving normally calls ``close``, leaving by an error ``suspend``. What is finished
    stays, whatever went wrong: a full disk, a plate frame that cannot be read, an interrupt.
    """

    def has(self, number: int) -> bool:
        """Whether this frame is written already and whole (image: readable at the right size; movie: in a segment)."""
        ...

    def keep(self, numbers: Collection[int]) -> None:
        """Take these frames alone for written, so that all others can be; before the first ``write``.

        An image of another frame stays until it is replaced. A movie gives up its finished segments from the first one
        on that holds another frame. Raises InputError: no permission.
        """
        ...

    def path(self, number: int) -> Path:
        """File that holds (or will hold) the frame."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences the user should see once: what the output cannot carry over."""
        ...

    @property
    def alpha_apart(self) -> bool:
        """Whether the files hold the plate's alpha, and the colour not multiplied by it."""
        ...

    @property
    def begun(self) -> bool:
        """Whether an interrupted run left work here that a sink opened without ``resume`` would throw away."""
        ...

    def check(self) -> None:
        """Raise InputError where the folder cannot be made or written to; nothing is made."""
        ...

    def write(
        self, frame: PlateFrame, pixels: FloatArray | None = None, layers: Mapping[str, FloatArray] | None = None
    ) -> None:
        """Write one frame; for movies in ascending order without gaps.

        ``pixels`` (H, W, 3) float32 in the output's colour space; None for content "plate" and "layers".
        ``layers`` name -> (H, W) float32, exactly the names in the settings.
        Raises InputError: disk full, no permission, wrong shape.
        """
        ...

    def close(self) -> None:
        """Finish: a movie gets its name here.

        Raises InputError where frames of a movie are missing or the disk is full; it is as after ``suspend`` then.
        """
        ...

    def suspend(self) -> None:
        """Stop early but keep what is whole, so that a sink opened with ``resume=True`` continues.

        Nothing half-written stays, and nothing at all where nothing is whole. Safe to call twice, and after ``close``.
        """
        ...

    def abort(self) -> None:
        """Drop everything but finished files: picture files stay, the segments of an unfinished movie go.

        Safe to call twice, and after ``close``.
        """
        ...

    def __enter__(self) -> FrameSink: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_source(
    spec: str | Path, frames: str | Sequence[int] | None = None, layer: str | None = None, *, exemplar: bool = False
) -> FrameSource:
    """Open footage for reading; every frame asked for is known to exist before this returns.

    Args:
        spec: ``plate.####.exr`` (one # a digit, as in Nuke),
            ``plate.%04d.exr``, ``plate.$F4.exr``, ``plate.@@@@.exr``, a directory holding one sequence, one picture
            (a still: one frame; its number is the digits in its name, else 1), or a movie.
        frames: ``1001-1100``, ``1001-1100x2`` (x = step), comma lists of these, or numbers; None = all there are.
            The first frame of a movie is frame 1.
        layer: for files with several pictures in them, the layer, part or view to colour; None = the main one.
        exemplar: the footage is only looked at: GIF (its first picture), WebP and BMP will do as well.

    Raises:
        InputError: nothing there, missing frames (named), bad range, several sequences in the directory, unreadable.
    """
    from colormnet.errors import InputError
    from colormnet.media import movie, notation, sequences

    text = str(spec)
    if not text:
        raise InputError("No plate was named: give a sequence, a directory, a picture or a movie.")
    notation.check_name(text)
    try:
        if movie.is_movie(text) and not Path(text).is_dir():
            return movie.MovieSource(text, frames)
        return sequences.SequenceSource(text, frames, layer, exemplar)
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise InputError(f"{text} cannot be read ({error.strerror}); correct its name or rights.") from error


def left_out(info: MediaInfo, name: str, *, alpha: bool, timecode: bool) -> tuple[str, ...]:
    """What a file of another kind than the plate's does not carry over, for the user.

    ``name`` is the output's, ``alpha`` and ``timecode`` tell whether it can hold those.
    """
    notes = []
    if info.alpha and not alpha:
        notes.append(
            f"The alpha channel is left out, the colour stays as it is: {name} cannot hold it; EXR, TIFF, PNG and "
            "ProRes .mov can."
        )
    if info.beside:
        more = f" and {len(info.beside) - 4} more" if len(info.beside) > 4 else ""
        notes.append(
            f"What lies beside the picture is left out ({', '.join(info.beside[:4])}{more}): {name} cannot hold it; "
            f"write {info.format.upper()}, as the plate is."
        )
    if info.data != info.display:
        notes.append(f"Pixels outside the display window are left out: {name} cannot hold them; EXR can.")
    if info.timecode is not None and not timecode:
        notes.append(f"The timecode {info.timecode} is left out: {name} cannot hold it; EXR, DPX and movies can.")
    return tuple(notes)


def plan_sink(spec: str | Path, source: FrameSource, settings: SinkSettings | None = None) -> FrameSink:
    """The output as :func:`open_sink` would open it, checked but with nothing made on the disk: not to be written to.

    It tells where frames would go, which are there, and what the output cannot carry over. Raises InputError.
    """
    return _sink(spec, source, settings)


def open_sink(spec: str | Path, source: FrameSource, settings: SinkSettings | None = None) -> FrameSink:
    """Open an output for the frames of ``source``.

    Args:
        spec: a pattern as in :func:`open_source` (the extension chooses the format), a movie path, a path of one
            picture (for a still or a one-frame range), or a directory (the plate's own file names are used in it;
            created when missing).
        source: the footage the output is made from; its metadata, frame rate, audio and alpha are kept as far as the
            output format can hold them.
        settings: see :class:`SinkSettings`.

    Raises:
        InputError: output is (also through links) a file of the input, unknown format, layers in a format that has
            none, folder not writable, a size the codec cannot hold.
    """
    sink = _sink(spec, source, settings)
    sink.prepare()
    return sink


def _sink(spec: str | Path, source: FrameSource, settings: SinkSettings | None) -> MovieSink | SequenceSink:
    from colormnet.files import write_error
    from colormnet.media import movie, notation, sequences

    chosen = settings or SinkSettings()
    notation.check_name(spec)
    try:
        if movie.is_movie(str(spec)):
            return movie.MovieSink(str(spec), source, chosen)
        return sequences.SequenceSink(str(spec), source, chosen)
    except OSError as error:
        raise write_error(Path(spec), error) from error

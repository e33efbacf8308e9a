"""Image sequences and single pictures as a source and a sink of frames."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from colormnet.errors import ColorMNetError, InputError
from colormnet.media.atomic import check_folder, prepare_folder, refuse_folders, refuse_overwrite
from colormnet.media.frames import FloatArray, FrameSource, MediaInfo, PlateFrame, SinkSettings, left_out
from colormnet.media.images import (
    Picture,
    check_whole,
    output_depth,
    picture_info,
    pixel_aspect,
    read_picture,
    same_geometry,
    to_frame,
    union,
    write_image_frame,
)
from colormnet.media.notation import (
    SequencePattern,
    choose_frames,
    find_sequence,
    frame_of_file,
    has_pattern,
    image_format,
    parse_frames,
    parse_pattern,
    stated_frames,
)

_SCANNERS = 8
_SAME_ASPECT = 2e-3  # formats that state it as a resolution round it


class SequenceSource:
    """An image sequence, a directory with one, or a single picture. See :func:`colormnet.media.frames.open_source`.

    The headers of all frames on disk are read when it opens (a few milliseconds each at worst), so that an unreadable,
    truncated or wrong-sized frame, or one of another pixel aspect, is named before work starts. EXR data windows that
    change from frame to frame are put on the smallest window that holds them all (of all frames on disk, so that the
    part of a range does not change the result); the sink cuts each frame back to its own window.
    """

    def __init__(
        self, spec: str, frames: str | Sequence[int] | None = None, layer: str | None = None, exemplar: bool = False
    ) -> None:
        wanted = parse_frames(frames)
        self._layer = layer
        self._single: Path | None = None
        self._pattern: SequencePattern | None = None
        target: SequencePattern | Path = Path(spec)
        if has_pattern(spec) and not Path(spec).is_file():
            target = parse_pattern(spec)
            wanted = _agreed(spec, wanted, stated_frames(spec))
        elif Path(spec).is_dir():
            target = find_sequence(Path(spec))
        elif image_format(spec, exemplar) is None:
            raise InputError(f"{spec} {_not_read(exemplar) if Path(spec).exists() else 'does not exist'}.")
        if isinstance(target, SequencePattern):
            if image_format(f"x{target.tail}", exemplar) is None:
                raise InputError(f"{spec} {_not_read(exemplar)}.")
            self._pattern = target
            present = target.on_disk()
        else:
            if not target.is_file():
                raise InputError(f"{target} does not exist.")
            self._single = target
            number = frame_of_file(target)
            present = [1 if number is None else number]
            if wanted is not None and wanted != present:
                raise InputError(f"{target} is one picture (frame {present[0]}); write the sequence as plate.####.exr.")
        self.name = str(target)
        self._frames = choose_frames(self.name, present, wanted)
        self._info = self._scan(present)

    def _scan(self, present: list[int]) -> MediaInfo:
        first = read_picture(self.path(self._frames[0]), pixels=False, layer=self._layer)
        asked = set(self._frames)

        def header(number: int) -> Picture | None:
            try:
                picture = read_picture(self.path(number), pixels=False, layer=self._layer)
                if number in asked:
                    check_whole(picture.path)
                return picture
            except ColorMNetError:
                if number in asked:
                    raise
                return None  # a frame nobody asked for may be as broken as it likes

        with ThreadPoolExecutor(_SCANNERS) as pool:
            pictures = [picture for picture in pool.map(header, present) if picture is not None]
        kind = "still" if self._single is not None else "sequence"
        info = picture_info(first, self.name, kind, first.data)
        asked_paths = {self.path(number) for number in asked}
        for picture in pictures:
            if picture.path in asked_paths:
                _check_alike(info, picture)
        fitting = [picture.data for picture in pictures if same_geometry(info, picture)]
        canvas = union(fitting)
        if all(window == first.data for window in fitting):
            return info
        note = f"The data window changes along the sequence; it is coloured on {canvas.width}x{canvas.height} pixels."
        return replace(info, width=canvas.width, height=canvas.height, data=canvas, notes=(*info.notes, note))

    @property
    def info(self) -> MediaInfo:
        """What is known of the footage."""
        return self._info

    @property
    def frames(self) -> list[int]:
        """Frame numbers asked for, ascending."""
        return list(self._frames)

    @property
    def pattern(self) -> SequencePattern | None:
        """The pattern of the files; None for a single picture."""
        return self._pattern

    def path(self, number: int) -> Path:
        """The file of a frame."""
        if self._pattern is not None:
            return self._pattern.path(number)
        assert self._single is not None
        return self._single

    def paths(self) -> list[Path]:
        """Files of all frames asked for."""
        return [self.path(number) for number in self._frames]

    def read(self, number: int) -> PlateFrame:
        """Read a frame; may be called from several threads at once. Raises InputError."""
        picture = read_picture(self.path(number), layer=self._layer)
        _check_alike(self._info, picture)
        outside = union([picture.data, self._info.data]) != self._info.data
        if outside:
            raise InputError(f"{picture.path} changed while the sequence was being read; start again.")
        return to_frame(picture, number, self._info.data)

    def close(self) -> None:
        """Nothing is held open."""

    def __enter__(self) -> SequenceSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _not_read(exemplar: bool) -> str:
    pictures = "exr, png, tif, dpx, jpg" + (", gif, webp, bmp" if exemplar else "")
    return f"is not a picture or a movie this program reads (pictures: {pictures}; movies: mov, mp4, mxf, mkv)"


def _check_alike(info: MediaInfo, picture: Picture) -> None:
    """Raise InputError where a picture has another size or pixel aspect than its sequence."""
    if not same_geometry(info, picture):
        own, usual = picture.display, info.display
        raise InputError(
            f"{picture.path} is {own.width}x{own.height} and the sequence {usual.width}x{usual.height}; "
            "all frames must have one size."
        )
    aspect = pixel_aspect(picture.spec)
    if abs(aspect / info.pixel_aspect - 1.0) > _SAME_ASPECT:
        raise InputError(
            f"The pixels of {picture.path} are {aspect:g} times as wide as high and those of the sequence "
            f"{info.pixel_aspect:g} times; all frames must have one pixel aspect."
        )


def _agreed(spec: str, wanted: list[int] | None, stated: list[int] | None) -> list[int] | None:
    """The frames to read where a range may be asked for and the name may hold one (``plate.1001-1100#.exr``)."""
    if wanted is None or stated is None:
        return stated if wanted is None else wanted
    if not set(wanted) <= set(stated):
        raise InputError(f"The frames asked for are not all among those that {spec} names; leave out one of the two.")
    return wanted


class SequenceSink:
    """An image sequence or a single picture to write. See :func:`colormnet.media.frames.open_sink`.

    Frames are independent files: they may be written in any order and from several threads or processes.
    """

    def __init__(self, spec: str, source: FrameSource, settings: SinkSettings) -> None:
        self._settings = settings
        self._info = source.info
        self.notes: tuple[str, ...] = ()
        self.alpha_apart = False
        self._pattern: SequencePattern | None = None
        self._single: Path | None = None
        frames = self._frames = source.frames
        if has_pattern(spec):
            self._pattern = parse_pattern(spec)
        elif image_format(spec) and not Path(spec).is_dir():
            if len(frames) > 1:
                raise InputError(f"{spec} is one picture and the plate has {len(frames)} frames; write out.####.exr.")
            self._single = Path(spec)
        elif Path(spec).suffix and not Path(spec).is_dir():
            known = "exr, png, tif, dpx, jpg, mov, mp4, mxf, mkv"
            raise InputError(f"{spec} is not a format this program writes ({known}), nor a folder.")
        else:
            self._in_folder(Path(spec), source)
        probe = self.path(frames[0])
        kind = image_format(probe)
        if kind is None:
            raise InputError(f"{spec} is not a picture format this program writes (exr, png, tif, dpx, jpg).")
        if (settings.layers or settings.content != "colour") and kind != "exr":
            raise InputError(
                f"{spec} cannot hold layers ({', '.join(settings.layers) or settings.content}); write EXR."
            )
        if settings.content == "layers" and not settings.layers:
            raise InputError("There is nothing to write: neither colour nor layers were asked for.")
        output_depth(kind, self._info.bits, settings)  # refuses what the format cannot hold
        refuse_folders(self.path(number) for number in frames)
        refuse_overwrite((self.path(number) for number in frames), source.paths())
        if kind != self._info.format and settings.content != "layers":
            self.notes = left_out(self._info, spec, alpha=kind != "jpeg", timecode=kind in ("exr", "dpx"))
            self.alpha_apart = self._info.alpha and kind not in ("exr", "jpeg")

    @property
    def begun(self) -> bool:
        """Frames are whole files: what is finished is seen by its name."""
        return False

    def check(self) -> None:
        """Raise InputError where `prepare` would; nothing is made."""
        probe = self.path(self._frames[0])
        check_folder(probe.parent, probe.name)

    def prepare(self) -> None:
        """Make the folder. Raises InputError."""
        probe = self.path(self._frames[0])
        prepare_folder(probe.parent, probe.name)

    def _in_folder(self, folder: Path, source: FrameSource) -> None:
        if isinstance(source, SequenceSource):
            if source.pattern is not None:
                self._pattern = replace(source.pattern, folder=folder)
            else:
                self._single = folder / source.path(source.frames[0]).name
            return
        stem = Path(source.info.name).stem
        self._pattern = SequencePattern(folder, f"{stem}.", 4, ".png")

    def path(self, number: int) -> Path:
        """The file of a frame."""
        if self._pattern is not None:
            return self._pattern.path(number)
        assert self._single is not None
        return self._single

    def has(self, number: int) -> bool:
        """Whether the frame's file is there with a readable header and the plate's display size."""
        path = self.path(number)
        if not path.is_file():
            return False
        try:
            picture = read_picture(path, pixels=False)
        except InputError:
            return self._settings.content == "layers" and self._layers_there(path)
        window = picture.display
        return (window.width, window.height) == (self._info.display.width, self._info.display.height)

    def keep(self, numbers: Collection[int]) -> None:
        """Nothing to do: each file is replaced on its own."""

    def _layers_there(self, path: Path) -> bool:
        import OpenImageIO as oiio  # noqa: N813

        source = oiio.ImageInput.open(str(path))
        if not source:
            oiio.geterror()
            return False
        names = set(source.spec().channelnames)
        source.close()
        return names >= set(self._settings.layers)

    def write(
        self, frame: PlateFrame, pixels: FloatArray | None = None, layers: Mapping[str, FloatArray] | None = None
    ) -> None:
        """Write one frame. Raises InputError."""
        given = dict(layers or {})
        if set(given) != set(self._settings.layers):
            raise InputError(
                f"The layers {sorted(given)} are not those the output was opened for ({sorted(self._settings.layers)})."
            )
        ordered = {name: given[name] for name in self._settings.layers}
        write_image_frame(self.path(frame.number), frame, pixels, ordered, self._settings, self._info)

    def close(self) -> None:
        """Nothing is held open: every frame was whole when ``write`` returned."""

    def suspend(self) -> None:
        """Nothing to do: finished frames are whole."""

    def abort(self) -> None:
        """Nothing to do: unfinished frames never got their name."""

    def __enter__(self) -> SequenceSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.suspend()

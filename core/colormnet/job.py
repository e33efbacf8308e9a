"""What a colorize run is asked to do, as typed settings checked at the edge."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from .errors import InputError

if TYPE_CHECKING:
    from .memory.settings import MemorySettings

Outputs: TypeAlias = Literal["colour", "chroma", "both"]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16", "float64"]
Codec: TypeAlias = Literal["prores", "dnxhr", "h264"]
PixelType: TypeAlias = Literal["half", "float", "uint8", "uint10", "uint16"]

DEFAULT_SNAPSHOT_EVERY = 50


@dataclass(frozen=True)
class ExemplarSpec:
    """A colour picture, and where it belongs.

    Attributes:
        path: a picture, or a sequence or movie that holds it.
        picture: which frame of that sequence or movie is meant; None where there is only one to choose.
        frame: the plate frame it colours; None for a picture from elsewhere.
    """

    path: str
    picture: int | None = None
    frame: int | None = None

    def __str__(self) -> str:
        """The notation it was given in."""
        picture = "" if self.picture is None else f"#{self.picture}"
        frame = "" if self.frame is None else f"@{self.frame}"
        return f"{self.path}{picture}{frame}"


def parse_exemplar(text: str) -> ExemplarSpec:
    """``REF[#N][@FRAME]``: picture N of a movie or sequence REF; it colours the plate's frame FRAME.

    A text that is the name of an existing file is taken literally, so files with ``@`` or ``#`` in their names work.
    Raises InputError for an empty name.
    """
    path, picture, frame = text, None, None
    if not os.path.exists(text):  # unlike a Path's, it is no error for what is too long to be a name
        if (match := re.fullmatch(r"(.*)@(-?\d+)", path, re.DOTALL)) is not None:
            path, frame = match[1], int(match[2])
        if not os.path.exists(path) and (match := re.fullmatch(r"(.*)#(-?\d+)", path, re.DOTALL)) is not None:
            path, picture = match[1], int(match[2])
    if not path:
        raise InputError(f"The exemplar '{text}' names no file; write FILE, FILE@FRAME or MOVIE#N@FRAME.")
    return ExemplarSpec(path, picture, frame)


@dataclass(frozen=True)
class ColorizeJob:
    """One shot to colour.

    Attributes:
        plate: a sequence in any usual notation, a directory, a picture or a movie.
        exemplars: at least one.
        output: where the result goes; the same notations.
        frames: frame range of the shot ("1001-1100", "1001-1100x2", "5,7,9-12"); None = all there are.
        part: the frames of the shot that this run writes (a farm task); None = all. The result does not depend on it.
        model: "lite" or "released"; weights: a checkpoint file, or None for the installed one.
        space, exemplar_space: OCIO names; None = by what the files say.
        output_space: OCIO name of the space that the coloured pixels are converted to; None = they stay in the plate's.
        working_size: short side in pixels at which the network works; None = the model's default.
        saturation: multiplies the chroma; 1.0 leaves it.
        outputs: the coloured plate, the chroma layers alone, or both in one file.
        confidence: also write the confidence layer.
        device, precision: as `load_model` takes them.
        memory: settings of the memory; None = the model's own.
        snapshot_every: frames between snapshots; a movie is written in segments of as many frames.
        resume: continue what an interrupted run of the same job left; overwrite: start afresh over what is there.
        codec, pixel_type, frame_rate: see `media.frames.SinkSettings`.
        keep_state: keep the snapshots after the last frame (farm tasks hand them over).
        prepass_every: take the memory afresh from a pre-pass (`colormnet.prepass`) every so many frames, so that the
            stretches between can be coloured at once; changes the result slightly. None = one unbroken run.
    """

    plate: str
    exemplars: tuple[ExemplarSpec, ...]
    output: str
    frames: str | None = None
    part: str | None = None
    model: str = "lite"
    weights: Path | None = None
    space: str | None = None
    exemplar_space: str | None = None
    output_space: str | None = None
    working_size: int | None = None
    saturation: float = 1.0
    outputs: Outputs = "colour"
    confidence: bool = False
    device: str = "auto"
    precision: Precision = "auto"
    memory: "MemorySettings | None" = None
    snapshot_every: int = DEFAULT_SNAPSHOT_EVERY
    resume: bool = False
    overwrite: bool = False
    codec: Codec | None = None
    pixel_type: PixelType | None = None
    frame_rate: str | None = None
    keep_state: bool = False
    prepass_every: int | None = None

    def __post_init__(self) -> None:
        """Raises InputError for settings that cannot be meant."""
        if not self.plate.strip():
            raise InputError("No plate was named: give a sequence, a directory, a picture or a movie.")
        if not self.output.strip():
            raise InputError("No output was named: give one with -o.")
        if self.output in get_args(Outputs):
            raise InputError(f"--output names a file, not what is written; did you mean --outputs {self.output}?")
        if not self.exemplars:
            raise InputError("No exemplar was given: name at least one colour picture with --exemplar FILE[@FRAME].")
        frames = [exemplar.frame for exemplar in self.exemplars if exemplar.frame is not None]
        if (twice := next((frame for frame in frames if frames.count(frame) > 1), None)) is not None:
            raise InputError(f"Two exemplars are declared for frame {twice}; a frame can have only one of its own.")
        if self.outputs not in get_args(Outputs):
            raise InputError(f"The output '{self.outputs}' is unknown; choose colour, chroma or both.")
        if self.precision not in get_args(Precision):
            raise InputError(f"The precision '{self.precision}' is unknown; choose {', '.join(get_args(Precision))}.")
        if not 0.0 <= self.saturation <= 10.0:
            raise InputError(f"A saturation of {self.saturation:g} makes no sense; give a number from 0 to 10.")
        if self.working_size is not None and not 16 <= self.working_size <= 8192:
            raise InputError(f"A working size of {self.working_size} is out of range; give 16 to 8192 pixels.")
        if self.snapshot_every < 1:
            raise InputError(f"Snapshots every {self.snapshot_every} frames cannot be made; give 1 or more.")
        if self.prepass_every is not None and self.prepass_every < 1:
            raise InputError(f"A pre-pass cannot serve stretches of {self.prepass_every} frames; give 1 or more.")
        if self.resume and self.overwrite:
            raise InputError("--resume and --overwrite contradict each other; give one of them.")

"""What clients ask for, checked field by field at the edge and turned into typed records."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from colormnet_host.protocol import Pixels, ProtocolError, parse_pixels

from ..errors import InputError
from ..job import Precision

if TYPE_CHECKING:
    from ..session import MemorySettings

Layer = Literal["a", "b", "confidence"]
MAX_FRAMES = 100_000
MAX_NAME = 200
MAX_NUMBER = 1 << 53


@dataclass(frozen=True)
class ShotSettings:
    """How a shot is coloured; see `colormnet_host.job.SessionSettings`, whose fields these are."""

    space: str
    model: str = "lite"
    weights: str | None = None
    config: str | None = None
    precision: Precision = "auto"
    working_size: int = 0
    saturation: float = 1.0
    layers: tuple[Layer, ...] = ()
    picture: bool = True
    snapshot_every: int = 10
    every: int | None = None
    working_frames: int | None = None
    kept_frames: int | None = None
    prototypes: int | None = None
    long_term_tokens: int | None = None
    count_long_term_usage: bool | None = None
    top_k: int | None = None

    def memory(self, default: "MemorySettings") -> "MemorySettings | None":
        """The model's memory settings with what was given put in; None where nothing was. Raises InputError."""
        from dataclasses import replace

        names = ("every", "working_frames", "kept_frames", "prototypes", "long_term_tokens", "top_k")
        given: dict[str, Any] = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.count_long_term_usage is not None:
            given["count_long_term_usage"] = self.count_long_term_usage
        if not given:
            return None
        try:
            return replace(default, **given)
        except ValueError as error:
            raise InputError(f"The memory settings cannot be meant: {error}.") from error

    def to_json(self) -> dict[str, Any]:
        """The settings as a JSON object that `parse_settings` takes."""
        return {**asdict(self), "layers": list(self.layers)}


_TYPES: dict[str, tuple[type, ...]] = {
    "space": (str,),
    "model": (str,),
    "weights": (str, type(None)),
    "config": (str, type(None)),
    "precision": (str,),
    "working_size": (int,),
    "saturation": (int, float),
    "layers": (list,),
    "picture": (bool,),
    "snapshot_every": (int,),
    "count_long_term_usage": (bool, type(None)),
}


def parse_settings(given: Any) -> ShotSettings:
    """Settings from a JSON object. Raises InputError for unknown names, wrong types and values out of range."""
    if not isinstance(given, dict):
        raise InputError("The settings of a session must be an object.")
    known = {field.name for field in fields(ShotSettings)}
    if unknown := sorted(str(name) for name in given.keys() - known):
        raise InputError(f"The setting '{unknown[0][:60]}' is unknown; the host and the worker may be of two versions.")
    for name, value in given.items():
        types = _TYPES.get(name, (int, type(None)))
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise InputError(f"The setting {name} has the wrong type ({type(value).__name__}).")
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"The setting {name} must be a finite number.")
        if isinstance(value, int) and abs(value) > MAX_NUMBER:
            raise InputError(f"The setting {name} is out of range; give a number of ordinary size.")
    if not given.get("space"):
        raise InputError("The plate's colour space is not named; set it to an OCIO name such as ACEScg.")
    layers = given.get("layers", [])
    if any(layer not in get_args(Layer) for layer in layers) or len(set(map(str, layers))) != len(layers):
        raise InputError(f"The layers must be of {', '.join(get_args(Layer))}, each once.")
    settings = ShotSettings(**{**given, "layers": tuple(layers)})
    if settings.model not in ("lite", "released"):
        raise InputError(f"The model '{settings.model[:60]}' is unknown; choose lite or released.")
    if settings.precision not in get_args(Precision):
        raise InputError(
            f"The precision '{settings.precision[:60]}' is unknown; choose {', '.join(get_args(Precision))}."
        )
    if not 0.0 <= settings.saturation <= 10.0:
        raise InputError(f"A saturation of {settings.saturation:g} makes no sense; give a number from 0 to 10.")
    if settings.working_size and not 16 <= settings.working_size <= 8192:
        raise InputError(f"A working size of {settings.working_size} is out of range; give 16 to 8192 pixels.")
    if settings.snapshot_every < 1:
        raise InputError(f"Snapshots every {settings.snapshot_every} frames cannot be made; give 1 or more.")
    if settings.weights is not None:
        parse_path(settings.weights, "the weights")
    if settings.config is not None and "://" not in settings.config:
        parse_path(settings.config, "the OCIO configuration")
    if not settings.picture and not settings.layers:
        raise InputError("Neither the picture nor a layer is to be written; choose at least one.")
    return settings


def parse_name(value: Any) -> str:
    """A session's name. Raises InputError."""
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME or not value.isprintable():
        raise InputError(f"A session's name must be a printable text of 1 to {MAX_NAME} characters.")
    return value


def parse_frames(value: Any) -> tuple[int, ...]:
    """The frame numbers of a shot in order: a list of numbers and [first, last, step] runs. Raises InputError."""
    if not isinstance(value, list) or not value:
        raise InputError("The frames of the shot are missing; give their numbers in the order of play.")
    frames: list[int] = []
    for item in value:
        run = item if isinstance(item, list) else [item, item, 1]
        if len(run) != 3 or any(type(number) is not int or abs(number) > 10**9 for number in run) or run[2] == 0:
            raise InputError("The frames of the shot must be whole numbers or [first, last, step].")
        first, last, step = run
        numbers = range(first, last + (1 if step > 0 else -1), step)
        if len(numbers) + len(frames) > MAX_FRAMES:
            raise InputError(f"A session can have at most {MAX_FRAMES} frames; split the shot.")
        frames.extend(numbers)
    if not frames:
        raise InputError("The frames of the shot are missing; give their numbers in the order of play.")
    if len(set(frames)) != len(frames):
        raise InputError("A frame is named twice in the frames of the shot; name each once.")
    return tuple(frames)


def parse_frame(value: Any) -> int:
    """A frame number. Raises InputError."""
    if type(value) is not int or abs(value) > 10**9:
        raise InputError("A frame number must be a whole number.")
    return value


def parse_path(value: Any, what: str) -> Path:
    """A path as it is, without any expansion. Raises InputError unless it is absolute."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise InputError(f"The path of {what} is missing.")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # what Python makes of file names in other encodings
        raise InputError(f"The path of {what} is not UTF-8: {value[:200]!a}; rename the file or folder.") from error
    path = Path(value)
    if not path.is_absolute():
        raise InputError(f"The path of {what} must be absolute, not '{value[:200]}': the worker has its own directory.")
    return path


@dataclass(frozen=True)
class ExemplarRequest:
    """An exemplar as it came: a file, or a picture of ``pixels`` in the message's payload at ``offset``."""

    path: Path | None
    pixels: Pixels | None
    offset: int
    space: str
    frame: int | None


def parse_exemplars(value: Any, payload_size: int) -> tuple[ExemplarRequest, ...]:
    """Exemplars of an open or define request; buffers lie in the payload one after another. Raises InputError."""
    if not isinstance(value, list) or not value:
        raise InputError("No exemplar was given; a shot needs at least one coloured picture.")
    if len(value) > 1000:
        raise InputError("A session can have at most 1000 exemplars.")
    found: list[ExemplarRequest] = []
    offset = 0
    for item in value:
        if not isinstance(item, Mapping):
            raise InputError("An exemplar must be an object.")
        space = item.get("space", "")
        if not isinstance(space, str) or len(space) > MAX_NAME:
            raise InputError("An exemplar's colour space must be a name.")
        frame = None if item.get("frame") is None else parse_frame(item["frame"])
        if "pixels" in item:
            pixels = checked_pixels(item["pixels"])
            found.append(ExemplarRequest(None, pixels, offset, space, frame))
            offset += pixels.nbytes
        else:
            found.append(ExemplarRequest(parse_path(item.get("path"), "an exemplar"), None, 0, space, frame))
    if offset != payload_size:
        raise InputError(f"The exemplars' pixels are {payload_size} bytes where {offset} were announced.")
    refuse_twice([item.frame for item in found])
    return tuple(found)


def refuse_twice(frames: Sequence[int | None]) -> None:
    """Raise InputError where two exemplars claim one frame."""
    own = [frame for frame in frames if frame is not None]
    if (twice := next((frame for frame in own if own.count(frame) > 1), None)) is not None:
        raise InputError(f"Two exemplars are declared for frame {twice}; a frame can have only one of its own.")


def checked_pixels(value: Any) -> Pixels:
    """A picture's description. Raises InputError."""
    try:
        return parse_pixels(value)
    except ProtocolError as error:
        raise InputError(f"A picture is described wrongly: {error}.") from error

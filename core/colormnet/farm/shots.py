"""Shots for a farm: what is to be coloured, in which mode, and into which stages and tasks that falls."""

import csv
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

from ..errors import InputError
from ..job import (
    DEFAULT_SNAPSHOT_EVERY,
    Codec,
    ColorizeJob,
    ExemplarSpec,
    Outputs,
    PixelType,
    Precision,
    parse_exemplar,
)
from ..media.frames import open_source
from ..media.movie import is_movie

Mode: TypeAlias = Literal["shot", "segments", "parallel"]

DEFAULT_SEGMENT = 50  # frames
UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Stage:
    """Frames that may be coloured at once by several tasks, after the stage before it is done.

    ``frames`` is empty for the pre-pass, which is one task; else a task gets ``chunk`` of them, or as many as the
    manager likes: the result does not depend on it.
    """

    name: str
    frames: tuple[int, ...]
    chunk: int

    @property
    def is_prepass(self) -> bool:
        """Whether this stage writes states instead of frames."""
        return not self.frames

    def parts(self) -> list[tuple[int, ...]]:
        """The frames of each task."""
        return [self.frames[place : place + self.chunk] for place in range(0, len(self.frames), self.chunk)]


@dataclass(frozen=True)
class Shot:
    """One shot of a farm job.

    Attributes:
        name: letters, digits, ``_``, ``.`` and ``-``; also the name of its folder in the job.
        job: what to do; its paths are absolute.
        frames: the shot's frame numbers, in order.
        mode: *shot*: one task. *segments*: a chain of tasks of ``segment`` frames. *parallel*: a pre-pass,
            then tasks of ``segment`` frames at once.
        segment: frames.
    """

    name: str
    job: ColorizeJob
    frames: tuple[int, ...]
    mode: Mode = "shot"
    segment: int = DEFAULT_SEGMENT

    @property
    def into_movie(self) -> bool:
        """Whether the output is one file, which only one task can write."""
        return is_movie(self.job.output)

    def stages(self) -> tuple[Stage, ...]:
        """What has to be done, each stage after the one before."""
        if self.mode == "shot":
            return (Stage("colour", self.frames, len(self.frames)),)
        if self.mode == "parallel":
            colour = Stage("colour", self.frames, self.segment)
            return (colour,) if len(self.frames) <= self.segment else (Stage("prepass", (), 1), colour)
        whole = Stage("all", self.frames, self.segment)
        return tuple(Stage(f"segment_{n:03d}", part, len(part)) for n, part in enumerate(whole.parts(), 1))


@dataclass(frozen=True)
class ShotOrder:
    """A shot as a person asks for it, on the command line or in a line of a shot list; see `ColorizeJob`.

    ``output`` may contain ``{name}``. ``exemplars`` are in the notation ``REF[#N][@FRAME]``.
    """

    plate: str = ""
    exemplars: tuple[str, ...] = ()
    output: str = ""
    name: str = ""
    frames: str | None = None
    mode: Mode = "shot"
    segment: int = DEFAULT_SEGMENT
    model: str = "lite"
    weights: str | None = None
    space: str | None = None
    exemplar_space: str | None = None
    output_space: str | None = None
    working_size: int | None = None
    saturation: float = 1.0
    outputs: Outputs = "colour"
    confidence: bool = False
    device: str = "auto"
    precision: Precision = "auto"
    codec: Codec | None = None
    pixel_type: PixelType | None = None
    frame_rate: str | None = None
    snapshot_every: int = DEFAULT_SNAPSHOT_EVERY


def resolve(order: ShotOrder, folder: Path | None = None) -> Shot:
    """A shot with absolute paths and known frames; relative paths are taken from ``folder`` (None: where we are).

    Raises InputError for what `ColorizeJob` and `open_source` refuse, and for modes that cannot be.
    """
    base = Path.cwd() if folder is None else folder

    def absolute(path: str) -> str:
        return os.path.abspath(base / path) if path else path

    if order.mode not in get_args(Mode):
        raise InputError(f"The mode '{order.mode}' is unknown; choose {', '.join(get_args(Mode))}.")
    if order.segment < 1:
        raise InputError(f"Segments of {order.segment} frames cannot be made; give 1 or more.")
    name = UNSAFE.sub("_", order.name or _name_of(order.plate)).strip("._") or "shot"
    exemplars = []
    for text in order.exemplars:
        literal = Path(absolute(text)).exists()
        spec = ExemplarSpec(text) if literal else parse_exemplar(text)
        exemplars.append(ExemplarSpec(absolute(spec.path), spec.picture, spec.frame))
    parallel = order.mode == "parallel"
    job = ColorizeJob(
        plate=absolute(order.plate),
        exemplars=tuple(exemplars),
        output=absolute(order.output.replace("{name}", name)),
        frames=order.frames,
        model=order.model,
        weights=None if order.weights is None else Path(absolute(order.weights)),
        space=order.space,
        exemplar_space=order.exemplar_space,
        output_space=order.output_space,
        working_size=order.working_size,
        saturation=order.saturation,
        outputs=order.outputs,
        confidence=order.confidence,
        device=order.device,
        precision=order.precision,
        snapshot_every=order.snapshot_every,
        codec=order.codec,
        pixel_type=order.pixel_type,
        frame_rate=order.frame_rate,
        prepass_every=order.segment if parallel else None,
    )
    for text in (job.plate, job.output, *(spec.path for spec in job.exemplars)):
        if re.search(r"[\x00-\x1f]", text):
            raise InputError(f"The path {text!r} contains a control character; farm managers cannot carry it.")
    with open_source(job.plate, job.frames) as source:
        frames = tuple(source.frames)
    shot = Shot(name, job, frames, order.mode, order.segment)
    if shot.into_movie and order.mode != "shot":
        raise InputError(f"The mode {order.mode} cannot write one movie ({job.output}); give a sequence, or mode shot.")
    return shot


def _name_of(plate: str) -> str:
    """``/plates/sh010/plate.####.exr`` -> ``plate``."""
    stem = re.split(r"[#@%$]", Path(plate).name)[0]
    return Path(stem).stem if is_movie(plate) else stem


def read_shot_list(path: Path, common: ShotOrder) -> list[Shot]:
    """The shots of a CSV (with a header line) or JSON (a list of objects) file; ``common`` fills what they leave out.

    Columns are the fields of `ShotOrder`; ``exemplars`` is a list in JSON and separated by ``;`` in CSV. Relative paths
    are taken from the file's folder. Raises InputError naming the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The shot list {path} cannot be read ({error}).") from error
    if path.suffix.lower() == ".json":
        rows = _json_rows(text, path)
    else:
        rows = list(csv.DictReader(text.splitlines(), restkey="", skipinitialspace=True))
    if not rows:
        raise InputError(f"The shot list {path} names no shots.")
    shots = []
    for number, row in enumerate(rows, 1):
        try:
            shots.append(resolve(_order(row, common), path.parent.absolute()))
        except InputError as error:
            raise InputError(f"Shot {number} of {path}: {error}") from error
    return shots


def refuse_clashes(shots: Sequence[Shot]) -> None:
    """Raise InputError where two shots have one name or write to one place."""
    for what, values in (
        ("name", [shot.name for shot in shots]),
        ("output", [shot.job.output for shot in shots]),
    ):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise InputError(f"Two shots have the {what} {twice}; every shot needs its own.")


def _json_rows(text: str, path: Path) -> list[Mapping[str, object]]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(f"The shot list {path} is not JSON ({error}).") from error
    rows = content.get("shots") if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f'The shot list {path} must be a list of objects, or {{"shots": [...]}}.')
    return rows


_WHOLE = ("segment", "working_size", "snapshot_every")
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


def _order(row: Mapping[str, object], common: ShotOrder) -> ShotOrder:
    known = {field.name for field in fields(ShotOrder)}
    aliases = {"exemplar": "exemplars"}
    values: dict[str, object] = {}
    for key, value in row.items():
        name = aliases.get(str(key).strip(), str(key).strip())
        if name not in known:
            raise InputError(f"the column '{key}' is unknown; there are: {', '.join(sorted(known))}.")
        if value is not None and str(value).strip():
            values[name] = _typed(name, value)
    return replace(common, **values)  # type: ignore[arg-type]  # every value was checked for its field


def _typed(name: str, value: object) -> object:
    try:
        if name == "exemplars":
            items = value if isinstance(value, list) else str(value).split(";")
            return tuple(str(item).strip() for item in cast("list[object]", items) if str(item).strip())
        if name in _WHOLE:
            return int(str(value))
        if name == "saturation":
            return float(str(value))
    except ValueError as error:
        raise InputError(f"'{value}' is not a number for {name}.") from error
    if name == "confidence":
        word = str(value).strip().lower()
        if word not in (*_TRUE, *_FALSE):
            raise InputError(f"'{value}' is neither yes nor no for {name}.")
        return word in _TRUE
    return str(value).strip()

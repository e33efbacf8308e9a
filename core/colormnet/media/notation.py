"""How people write sequences and frame ranges, and which frames of a sequence are on disk."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import fileseq

from colormnet.errors import InputError

IMAGE_FORMATS = {
    ".exr": "exr",
    ".sxr": "exr",
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".dpx": "dpx",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
}

EXEMPLAR_FORMATS = {**IMAGE_FORMATS, ".gif": "gif", ".webp": "webp", ".bmp": "bmp"}

MOVIE_SUFFIXES = (".mov", ".mp4", ".mxf", ".mkv", ".m4v", ".qt")

# "#" alone is one digit, "####" four (Nuke's habit; fileseq's own default makes "####" sixteen).
_PAD_STYLE = fileseq.PAD_STYLE_HASH1
_NO_SEQUENCE = (fileseq.FileSeqException, fileseq.exceptions.MaxSizeException)
_PATTERN = re.compile(r"#+|@+|%0?\d*d|\$F\d*")
_RANGE_PART = re.compile(r"-?\d+(?:-(-?\d+)(?:x(\d+))?)?")
_LAST_DIGITS = re.compile(r"(-?\d+)(?!.*\d)")


@dataclass(frozen=True)
class SequencePattern:
    """A file name with a place for the frame number: ``folder / (head + number padded to digits + tail)``."""

    folder: Path
    head: str
    digits: int
    tail: str

    def path(self, number: int) -> Path:
        """The file of a frame."""
        return self.folder / f"{self.head}{_pad(number, self.digits)}{self.tail}"

    def on_disk(self) -> list[int]:
        """Frame numbers that have a file, ascending. A missing folder has none."""
        if not self.folder.is_dir():
            return []
        wanted = re.compile(re.escape(self.head) + r"(-?\d+)" + re.escape(self.tail))
        found = []
        try:
            names = [entry.name for entry in self.folder.iterdir()]
        except OSError as error:
            raise InputError(f"The folder {self.folder} cannot be read ({error.strerror}).") from error
        for name in names:
            match = wanted.fullmatch(name)
            if match and _pad(int(match[1]), self.digits) == match[1]:
                found.append(int(match[1]))
        return sorted(found)

    def __str__(self) -> str:
        return str(self.folder / f"{self.head}{'#' * max(self.digits, 1)}{self.tail}")


def _pad(number: int, digits: int) -> str:
    return f"{number:0{digits}d}" if number >= 0 else f"-{-number:0{digits}d}"


def image_format(path: str | Path, exemplar: bool = False) -> str | None:
    """ "exr", "png", "tiff", "dpx" or "jpeg" by the extension; None for anything else.

    ``exemplar``: also "gif", "webp" and "bmp", which are read, but are neither plates nor written.
    """
    return (EXEMPLAR_FORMATS if exemplar else IMAGE_FORMATS).get(Path(str(path)).suffix.lower())


def check_name(path: str | Path) -> None:
    """Raise InputError where libraries cannot take a file's name: on Linux names are bytes, for them they are text."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode("utf-8", "replace")
        raise InputError(f"The name {shown} is not UTF-8; rename the file or its folder.") from error


def is_movie(text: str) -> bool:
    """Whether the extension is one of the movie containers: mov, mp4, mxf, mkv (m4v, qt read as mov)."""
    return Path(text).suffix.lower() in MOVIE_SUFFIXES


def has_pattern(text: str) -> bool:
    """Whether the file name (not the folder) has a place for a frame number."""
    return _PATTERN.search(Path(text).name) is not None


def parse_pattern(text: str) -> SequencePattern:
    """``plate.####.exr``, ``plate.%04d.exr``, ``plate.$F4.exr``, ``plate.@@@@.exr`` -> a pattern.

    Raises:
        InputError: no place for the frame number, or several, or one this project does not read (UDIM).
    """
    name = Path(text).name
    if "<" in name and re.search(r"<\w+>", name):
        raise InputError(f"{text} is a pattern of texture tiles; write the frame number as ####, %04d, $F4 or @@@@.")
    parsed = _parsed(text)
    tail = str(parsed.extension())
    if not parsed.padding() or len(_PATTERN.findall(name)) != 1:
        raise InputError(f"{text} must have one place for the frame number, as in plate.####.exr.")
    return SequencePattern(Path(text).parent, str(parsed.basename()), int(parsed.zfill()), tail)


def stated_frames(text: str) -> list[int] | None:
    """The frames that a pattern names itself, ascending: ``plate.1001-1100#.exr``; None where it names none."""
    frames = _parsed(text).frameSet()
    return [int(number) for number in sorted(frames)] if frames else None


def _parsed(text: str) -> fileseq.FileSequence:
    """The file name through fileseq; signs for frame numbers in the folder's name are only a name there."""
    try:
        return fileseq.FileSequence(Path(text).name, pad_style=_PAD_STYLE)
    except _NO_SEQUENCE as error:
        raise InputError(f"{text} is not a sequence this program can read; write plate.####.exr.") from error


def frame_of_file(path: Path) -> int | None:
    """The frame number in a file name: the digits before the extension, behind a separator or alone."""
    match = re.search(r"(?:^|[._\-])(-?\d+)$", path.stem)
    return int(match[1]) if match else None


def pattern_of_file(path: Path) -> SequencePattern | None:
    """The sequence that a file with a frame number in its name belongs to."""
    match = re.search(r"(?:^|[._])-?(\d+)$|-(\d+)$", path.stem)
    if match is None:
        return None
    digits = match[1] or match[2]
    negative = match[1] is not None and path.stem[match.start(1) - 1 : match.start(1)] == "-"
    return SequencePattern(path.parent, path.stem[: -len(digits) - negative], len(digits), path.suffix)


def find_sequence(folder: Path) -> SequencePattern | Path:
    """The one sequence (or single picture) in a folder.

    Raises:
        InputError: nothing there, or more than one sequence or picture (they are named).
    """
    try:
        files = sorted(entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be read ({error.strerror}).") from error
    pictures = [entry for entry in files if image_format(entry)]
    if not pictures:
        formats = "EXR, PNG, TIFF, DPX or JPEG"
        raise InputError(f"The folder {folder} holds no {formats} files; name the plate, as in plate.####.exr.")
    groups = _grouped(pictures, pattern_of_file)
    if len(groups) > 1:
        joined = _grouped(pictures, _pattern_without_separator)
        groups = joined if len(joined) == 1 else groups
    if len(groups) > 1:
        names = ", ".join(f"{head}####{tail}" if tail else head for head, tail in list(groups)[:4])
        raise InputError(f"The folder {folder} holds {len(groups)} sequences ({names}); name the one to colour.")
    ((head, tail), members) = next(iter(groups.items()))
    if not tail:
        return members[0]
    numbers = [entry.stem[len(head) :].removeprefix("-") for entry in members]
    widths = {len(number) for number in numbers}
    padded = any(number.startswith("0") and number != "0" for number in numbers)
    return SequencePattern(folder, head, min(widths) if padded or len(widths) == 1 else 1, tail)


def _grouped(
    pictures: Sequence[Path], pattern_of: Callable[[Path], SequencePattern | None]
) -> dict[tuple[str, str], list[Path]]:
    """Files by the sequence they belong to, (head, tail); one that belongs to none by (its name, "")."""
    groups: dict[tuple[str, str], list[Path]] = {}
    for entry in pictures:
        pattern = pattern_of(entry)
        key = (entry.name, "") if pattern is None else (pattern.head, pattern.tail)
        groups.setdefault(key, []).append(entry)
    return groups


def _pattern_without_separator(path: Path) -> SequencePattern | None:
    """``shot0001.png``, as some renderers write it; a version (``shot_v001``) is no frame number."""
    match = re.search(r"\d{3,}$", path.stem)
    if match is None or re.search(r"(?:^|[._-])[vV]$", path.stem[: match.start()]):
        return None
    return SequencePattern(path.parent, path.stem[: match.start()], len(match[0]), path.suffix)


def parse_frames(frames: str | Sequence[int] | None) -> list[int] | None:
    """``1001-1100x2,1200`` -> ascending frame numbers without doubles; None stays None.

    ``x`` is a step. ``:`` (a stagger here, a step elsewhere) and ``y`` (a fill) are refused.

    Raises:
        InputError: not a range.
    """
    if frames is None:
        return None
    if not isinstance(frames, str):
        numbers = sorted({int(number) for number in frames})
        if not numbers:
            raise InputError("The frame range is empty; write frames as 1001-1100 or 1001-1100x2.")
        return numbers
    text = re.sub(r"\s*([,x-])\s*", r"\1", frames.strip())
    if ":" in text or "y" in text.lower():
        mark = ":" if ":" in text else "y"
        raise InputError(f'The frame range "{frames}" uses "{mark}", which means different things; write a step as x.')
    parts = text.split(",")
    for part in parts:
        match = _RANGE_PART.fullmatch(part)
        if match is None or match[2] == "0" or (match[2] and int(match[2]) == 0):
            raise InputError(f'"{frames}" is not a frame range; write 1001-1100, 1001-1100x2 or 1001,1005,1010-1020.')
    try:
        numbers = sorted(set(fileseq.FrameSet(text)))
    except _NO_SEQUENCE as error:
        raise InputError(f'"{frames}" is not a frame range; write 1001-1100 or 1001-1100x2.') from error
    return [int(number) for number in numbers]


def frames_text(numbers: Iterable[int]) -> str:
    """Frame numbers as people write them: ``1001-1100x2,1200``."""
    return str(fileseq.framesToFrameRange(list(numbers)))


def choose_frames(name: str, present: Sequence[int], wanted: list[int] | None) -> list[int]:
    """The frames to read: those wanted, else all present when they have one regular step.

    Raises:
        InputError: nothing present, frames missing (all are named).
    """
    if not present:
        raise InputError(f"There is no file for {name}; check the folder and the name.")
    have = set(present)
    if wanted is not None:
        missing = [number for number in wanted if number not in have]
        if missing:
            span = f"{present[0]}-{present[-1]}"
            raise InputError(
                f"{_count(missing)} of {name} missing: {_short(missing)} (there are {len(have)} frames in {span}); "
                "render them or leave them out of the frame range."
            )
        return wanted
    if len(present) > 2:
        steps = sorted(later - earlier for earlier, later in itertools.pairwise(present))
        usual = steps[0]
        gaps = [
            number for earlier, later in itertools.pairwise(present) for number in range(earlier + usual, later, usual)
        ]
        if steps[0] != steps[-1]:
            raise InputError(
                f"{_count(gaps)} of {name} missing: {_short(gaps)}; render them, or name the frames to use, "
                f"as in --frames {_short(present)}."
            )
    return list(present)


def _count(missing: Sequence[int]) -> str:
    return "1 frame" if len(missing) == 1 else f"{len(missing)} frames"


def _short(numbers: Sequence[int]) -> str:
    text = frames_text(numbers)
    return text if len(text) <= 120 else text[:120].rsplit(",", 1)[0] + ",..."

"""Numbered frames on disk: what Resolve rendered, how it names sequences, which numbers are there."""

import glob
import os
import re
from typing import Dict, List, Tuple

_NUMBERED = re.compile(r"^(.*?)(\d+)(\.[A-Za-z0-9]+)$")
_BRACKETED = re.compile(r"^(.*)\[(\d+)-(\d+)\](\.[A-Za-z0-9]+)$")


def frame_path(pattern: str, number: int) -> str:
    """The file of frame ``number`` of a printf pattern such as ``/shots/a_%04d.exr``."""
    folder, name = os.path.split(pattern)
    return os.path.join(folder, name % number)  # a folder may hold a per cent sign of its own


def is_sequence(pattern: str) -> bool:
    """Whether ``pattern`` names numbered frames rather than one movie file."""
    return re.search(r"%0\d+d", os.path.basename(pattern)) is not None


def numbered_files(folder: str, extension: str) -> Dict[int, str]:
    """Frame number -> path of all files ``…<digits><extension>`` in ``folder``; extension such as ".exr"."""
    found: Dict[int, str] = {}
    for path in glob.glob(os.path.join(glob.escape(folder), "*" + extension)):
        match = _NUMBERED.match(os.path.basename(path))
        if match:
            found[int(match.group(2))] = path
    return found


def expand_bracketed(path: str) -> Tuple[List[str], bool]:
    """Resolve's ``/a/b_[0001-0024].exr`` as ([24 paths], True); any other path as ([path], False)."""
    match = _BRACKETED.match(path)
    if not match:
        return [path], False
    head, first, last, extension = match.groups()
    width = len(first)
    return [head + str(n).zfill(width) + extension for n in range(int(first), int(last) + 1)], True


def missing_frames(pattern: str, first: int, count: int) -> List[int]:
    """Numbers of ``first … first + count - 1`` whose file is not there or is empty."""
    missing = []
    for number in range(first, first + count):
        path = frame_path(pattern, number)
        if not os.path.isfile(path) or os.path.getsize(path) == 0:
            missing.append(number)
    return missing


def safe_name(text: str) -> str:
    """A clip name as a file name: letters, digits, dash and underscore; never empty, at most 60 characters."""
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "_", os.path.splitext(text)[0]).strip("_")
    return cleaned[:60] or "clip"

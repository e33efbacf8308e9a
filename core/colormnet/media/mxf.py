"""The picture's shape in an MXF header, which ffmpeg neither copies nor reads for DNxHR.

The property AspectRatio of the picture descriptor (SMPTE ST 377-1, local tag 32.0E, a rational of two 32-bit
integers) is the shape of the whole picture.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

_TAG = bytes.fromhex("320e0008")
_HEADER = 1 << 20  # bytes of the file that hold its first header
_LARGEST = 100_000


def _places(data: bytes) -> list[int]:
    """Where the two integers of each AspectRatio start."""
    places, at = [], data.find(_TAG)
    while at >= 0:
        start = at + len(_TAG)
        values = [int.from_bytes(data[start + skip : start + skip + 4], "big") for skip in (0, 4)]
        if all(0 < value < _LARGEST for value in values):
            places.append(start)
        at = data.find(_TAG, start)
    return places


def read_display_aspect(path: Path) -> Fraction | None:
    """Width over height of the whole picture, or None when the header does not say."""
    with path.open("rb") as file:
        data = file.read(_HEADER)
    places = _places(data)
    if not places:
        return None
    start = places[0]
    return Fraction(int.from_bytes(data[start : start + 4], "big"), int.from_bytes(data[start + 4 : start + 8], "big"))


def write_display_aspect(path: Path, aspect: Fraction) -> None:
    """Set it in the header of a file that is not in use yet."""
    small = aspect.limit_denominator(_LARGEST // 10)
    with path.open("r+b") as file:
        for start in _places(file.read(_HEADER)):
            file.seek(start)
            file.write(small.numerator.to_bytes(4, "big") + small.denominator.to_bytes(4, "big"))

"""Find ffmpeg, and learn from it what a movie is. ffprobe is not needed: many installations lack it."""

from __future__ import annotations

import functools
import itertools
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg
import imageio_ffmpeg

from colormnet.errors import InputError
from colormnet.media.mxf import read_display_aspect

QUIET = ("-hide_banner", "-nostdin")

STANDARD_RATES = tuple(
    Fraction(top, bottom)
    for top, bottom in (
        (24000, 1001),
        (24, 1),
        (25, 1),
        (30000, 1001),
        (30, 1),
        (48000, 1001),
        (48, 1),
        (50, 1),
        (60000, 1001),
        (60, 1),
        (100, 1),
        (120000, 1001),
        (120, 1),
        (12, 1),
        (15, 1),
    )
)
_SAME_RATE = 2e-4  # 23.976 and 24 differ by 1e-3
_JITTER = 0.002  # seconds between frame times that still count as one rate (rounding, capture clocks)
_BROKEN = re.compile(r"partial file|ended prematurely|packet corrupt|moov atom not found|invalid data|truncat", re.I)
_COLOUR_WORDS = re.compile(r"^(?:[a-z0-9\-]+/){2}[a-z0-9\-]+$|^(?:bt|smpte|gbr|fcc|ycgco|iec)[a-z0-9\-]*$")


@dataclass(frozen=True)
class MovieFacts:
    """What a movie is.

    Attributes:
        width, height: of a decoded frame, after the rotation the file asks for.
        times: presentation time of every frame in display order, seconds from the start of the file.
        rate: frames a second, exact; the mean rate when ``variable``.
        variable: the frames are not evenly spaced in time.
        pixel_format: ffmpeg's name.
        bits: of a sample.
        alpha: there is an alpha channel.
        colorspace, primaries, transfer: ffmpeg's names or None when untagged.
        full_range: samples use the full range.
        sample_aspect: pixel width over height.
        timecode: of the first frame, or None.
        audio: number of sound streams.
        interlaced: the stream says it has fields.
    """

    path: Path
    codec: str
    width: int
    height: int
    times: tuple[float, ...]
    rate: Fraction
    variable: bool
    pixel_format: str
    bits: int
    alpha: bool
    colorspace: str | None
    primaries: str | None
    transfer: str | None
    full_range: bool
    sample_aspect: Fraction
    timecode: str | None
    audio: int
    interlaced: bool


@functools.lru_cache(maxsize=1)
def find_ffmpeg() -> str:
    """The ffmpeg on PATH, else the one of the package imageio-ffmpeg.

    Raises:
        InputError: neither is there.
    """
    found = shutil.which("ffmpeg")
    if found:
        return os.path.abspath(found)
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise InputError("No ffmpeg was found; install it, or pip install imageio-ffmpeg.") from error


def command(stream: Any, verbosity: str = "error") -> list[str]:
    """The command line of an ffmpeg-python graph."""
    return list(ffmpeg.compile(stream.global_args(*QUIET, "-v", verbosity), cmd=find_ffmpeg(), overwrite_output=True))


def as_file(path: Path) -> str:
    """A path as ffmpeg takes it for one: ``take:1.mov`` would be a protocol, ``-a.mov`` an option."""
    return str(path) if path.is_absolute() else os.path.join(os.curdir, path)


def probe(path: Path) -> MovieFacts:
    """Read the facts of a movie: its header, and the time of every frame (the file is read once, nothing is decoded).

    Raises:
        InputError: not there, no movie, no picture in it, truncated.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist." if not path.exists() else f"{path} is not a file.")
    if not os.access(path, os.R_OK):
        raise InputError(f"There is no permission to read {path}; change its rights or copy it.")
    shown = subprocess.run(
        [find_ffmpeg(), *QUIET, "-i", as_file(path)], capture_output=True, text=True, errors="replace", check=False
    ).stderr
    line = next((text for text in shown.splitlines() if re.search(r"Stream #0:\d+.*: Video:", text)), None)
    if line is None:
        problem = _last_line(shown)
        if _BROKEN.search(shown):
            raise InputError(f"{path} is truncated or no movie ({problem}); copy or render it again.")
        if "Stream #0:" in shown:
            raise InputError(f"{path} has no picture track; name the movie that has the picture.")
        raise InputError(f"{path} has no picture track that ffmpeg can read ({problem}).")
    if "attached pic" in line:
        raise InputError(f"{path} has a cover picture and no movie.")
    codec = _one(r"Video: (\w+)", line) or "unknown"
    size = re.search(r"[ ,](\d{1,5})x(\d{1,5})[ ,\[]", line + " ")
    if size is None:
        raise InputError(f"{path} does not say how large its picture is; it may be truncated.")
    width, height = int(size[1]), int(size[2])
    rotation = float(_one(r"rotation of (-?[\d.]+) degrees", shown) or 0.0)
    aspect = re.search(r"SAR (\d+):(\d+)", line)
    sample_aspect = (
        Fraction(int(aspect[1]), int(aspect[2])) if aspect and int(aspect[1]) and int(aspect[2]) else Fraction(1)
    )
    if path.suffix.lower() == ".mxf" and sample_aspect == 1:
        shape = read_display_aspect(path)
        if shape is not None and abs(float(shape) * height / width - 1.0) > 0.01:
            sample_aspect = (shape * height / width).limit_denominator(1000)
    if round(rotation / 90.0) % 2:
        width, height, sample_aspect = height, width, 1 / sample_aspect
    pixel_format, words = _pixel_format(line)
    start = float(_one(r"start: (-?[\d.]+)", shown) or 0.0)
    times, durations = _frame_times(path)
    stated = _one(r"([\d.]+) fps", line)
    rate, variable = _rate(times, durations, float(stated) if stated else None)
    colour = next((word for word in words if _COLOUR_WORDS.match(word)), "")
    fields = colour.split("/") if "/" in colour else [colour] * 3
    names = [None if field in ("", "unknown", "reserved", "unspecified") else field for field in fields]
    return MovieFacts(
        path=path,
        codec=codec,
        width=width,
        height=height,
        times=tuple(float(time) - start for time in times),
        rate=rate,
        variable=variable,
        pixel_format=pixel_format,
        bits=_bits(pixel_format),
        alpha=pixel_format.startswith(("yuva", "gbrap", "rgba", "bgra", "argb", "abgr", "ya")),
        colorspace=names[0],
        primaries=names[1],
        transfer=names[2],
        full_range="pc" in words or pixel_format.startswith("yuvj"),
        sample_aspect=sample_aspect,
        timecode=_one(r"(?i)timecode\s*: (\d\d:\d\d:\d\d[:;.]\d\d)", shown),
        audio=len(re.findall(r"Stream #0:\d+.*: Audio:", shown)),
        interlaced=any(re.search(r"\b(top|bottom)\b.*first", word) for word in words),
    )


def _one(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1] if match else None


def _last_line(text: str) -> str:
    """The last line that speaks of damage, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    useful = [
        line for line in lines if "At least one output" not in line and not line.startswith("Error opening input f")
    ]
    told = [line for line in useful if _BROKEN.search(line)] or useful
    return re.sub(r"^\[[^\]]*\] ", "", told[-1]).rstrip(".") if told else "no reason given"


def _pixel_format(line: str) -> tuple[str, list[str]]:
    """Pixel format and the words in the brackets behind it."""
    for match in re.finditer(r", ([a-z][a-z0-9]*)(?:\(([^()]*(?:\([^()]*\)[^()]*)*)\))?(?=,)", line):
        if re.match(r"(yuv|gbr|rgb|bgr|gray|ya|nv|p0|p2|p4|y2|argb|abgr|pal|mono|xyz|uyvy|yuyv|v30|xv)", match[1]):
            return match[1], [word.strip() for word in (match[2] or "").split(",")]
    return "unknown", []


def _bits(pixel_format: str) -> int:
    match = re.search(r"(?:p|gray|ya|xyz)(9|10|12|14|16)(?:le|be)?$", pixel_format)
    if match:
        return int(match[1])
    if re.match(r"(rgb|bgr)48|(rgba|bgra)64", pixel_format):
        return 16
    match = re.match(r"[pvy]\d?(10|12|16)|p[024](10|12|16)", pixel_format)
    return int(match[1] or match[2]) if match else 8


def _frame_times(path: Path) -> tuple[list[Fraction], list[Fraction]]:
    """Presentation time and duration of every frame in display order, seconds."""
    stream = ffmpeg.input(as_file(path))["v:0"].output("pipe:", format="framecrc", c="copy")
    with tempfile.TemporaryFile() as errors:
        done = subprocess.run(command(stream, "warning"), stdout=subprocess.PIPE, stderr=errors, check=False)
        errors.seek(0)
        said = errors.read().decode("utf-8", "replace")
    base, frames = Fraction(1), []
    for line in done.stdout.decode("ascii", "replace").splitlines():
        if line.startswith("#tb 0:"):
            base = Fraction(line.split(":")[1].strip())
        elif not line.startswith("#"):
            fields = [field.strip() for field in line.split(",")]
            flags = next((int(field[2:], 16) for field in fields if field.startswith("F=0x")), 0)
            if not flags & 4:  # frames the file asks not to show
                frames.append((int(fields[2]), int(fields[3])))
    broken = _BROKEN.search(said)
    if broken or done.returncode or not frames:
        count = f"; {len(frames)} frames are left" if frames else ""
        raise InputError(f"{path} is truncated or damaged ({_last_line(said)}{count}); copy or render it again.")
    frames.sort()
    return [time * base for time, _ in frames], [length * base for _, length in frames]


def _rate(times: list[Fraction], durations: list[Fraction], stated: float | None) -> tuple[Fraction, bool]:
    """Exact rate and whether it varies."""
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    if not steps:
        length = durations[0]
        if stated:
            return _nearest_rate(Fraction(stated).limit_denominator(1001)), False
        return (1 / length if length > 0 else Fraction(24)), False
    if min(steps) == max(steps) and steps[0] > 0:
        return _nearest_rate(1 / steps[0]), False
    mean = Fraction(len(steps)) / max(times[-1] - times[0], Fraction(1, 100000))
    if float(max(steps) - min(steps)) > _JITTER:
        return _nearest_rate(mean.limit_denominator(100000)), True
    # Times rounded to coarse ticks (Matroska): believe the header unless the frames say otherwise.
    if stated and abs(stated / float(mean) - 1.0) < 0.01:
        return _nearest_rate(Fraction(stated).limit_denominator(1001)), False
    return _nearest_rate(mean.limit_denominator(100000)), False


def _nearest_rate(rate: Fraction) -> Fraction:
    """The standard rate this is a rounding of, else the rate itself."""
    best = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    # "23.98" is a rounding to two places, 1/41.7 ms one to a tick.
    return best if abs(best - rate) / best < _SAME_RATE else rate


def add_frames(timecode: str, frames: int, rate: Fraction) -> str:
    """A timecode so many frames later, drop-frame rules kept (";" before the frames)."""
    drop = ";" in timecode or "." in timecode
    hours, minutes, seconds, count = (int(field) for field in re.split(r"[:;.]", timecode))
    whole = max(1, round(rate))
    dropped = whole // 15 if drop and whole % 30 == 0 else 0
    total_minutes = hours * 60 + minutes
    number = (total_minutes * 60 + seconds) * whole + count
    number -= dropped * (total_minutes - total_minutes // 10)
    number += frames
    day = 24 * 3600 * whole - dropped * (1440 - 144)
    number %= day
    if dropped:
        per_minute, per_ten = 60 * whole - dropped, 600 * whole - 9 * dropped
        tens, rest = divmod(number, per_ten)
        number += 9 * dropped * tens
        if rest >= 60 * whole:
            number += dropped * ((rest - 60 * whole) // per_minute + 1)
    seconds_total, count = divmod(number, whole)
    minutes_total, seconds = divmod(seconds_total, 60)
    hours, minutes = divmod(minutes_total, 60)
    return f"{hours % 24:02d}:{minutes:02d}:{seconds:02d}{';' if drop else ':'}{count:02d}"

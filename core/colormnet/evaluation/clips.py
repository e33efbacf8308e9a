"""Clips to measure on: found, decoded once, resized to the size the figures are stated at."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from colormnet.colour.lab import display_to_lab, lab_to_display
from colormnet.colour.spaces import ColourSpace, default_space
from colormnet.errors import InputError
from colormnet.evaluation.metrics import Picture, Plane, chroma_magnitude, colour_histograms, colourfulness
from colormnet.media.frames import ColourHint, open_source
from colormnet.media.movie import is_movie
from colormnet.media.notation import has_pattern, image_format

SMALLEST_SIDE = 16


@dataclass(frozen=True)
class Size:
    """The size of the plane that is measured, in pixels."""

    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> "Size | None":
        """``416x240``, or ``native`` (None: every clip at its own size). Raises InputError for anything else."""
        if text.strip().lower() == "native":
            return None
        width, _, height = text.lower().partition("x")
        try:
            size = cls(int(width), int(height))
        except ValueError:
            raise InputError(f"The size '{text}' is not understood; write WIDTHxHEIGHT, such as 416x240.") from None
        if min(size.width, size.height) < SMALLEST_SIDE:
            raise InputError(f"The size {text} is too small; give at least {SMALLEST_SIDE}x{SMALLEST_SIDE}.")
        return size

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class ClipSource:
    """Where a clip is and what it is called in the results."""

    name: str
    path: str


@dataclass(frozen=True)
class TruthStatistics:
    """Colourfulness, chroma magnitude (Lab units) and channel histograms (3, 256) of a true frame."""

    colourfulness: float
    chroma_magnitude: float
    histograms: npt.NDArray[np.float64]


class Clip:
    """A clip's true frames at the measured size.

    ``truth`` is (N, H, W, 3) uint8, display-referred sRGB, in a file on disk so that a clip of any length fits.
    Luminance and chroma are taken from these rounded pixels, so that true luminance with true chroma gives back
    ``truth`` itself.
    """

    def __init__(self, name: str, truth: npt.NDArray[np.uint8], numbers: Sequence[int], original: Size) -> None:
        self.name = name
        self.truth = truth
        self.numbers = list(numbers)
        self.original = original
        self._statistics: dict[int, TruthStatistics] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def size(self) -> Size:
        """The measured size."""
        return Size(int(self.truth.shape[2]), int(self.truth.shape[1]))

    def planes(self, index: int) -> tuple[Plane, Plane]:
        """Luminance (H, W) and chroma (2, H, W) of a true frame, float32 network units."""
        return split(self.truth[index])

    def statistics(self, index: int) -> "TruthStatistics":
        """What every method's frame is compared with beside the picture itself; worked out once."""
        known = self._statistics.get(index)
        if known is None:
            picture = np.asarray(self.truth[index])
            known = TruthStatistics(
                colourfulness(picture), chroma_magnitude(self.planes(index)[1]), colour_histograms(picture)
            )
            self._statistics[index] = known
        return known

    def luminance(self, index: int) -> Plane:
        """Luminance (H, W) of a true frame, float32 network units."""
        return self.planes(index)[0]


def split(picture: Picture) -> tuple[Plane, Plane]:
    """Luminance (H, W) and chroma (2, H, W) in network units of a display-referred (H, W, 3) uint8 picture."""
    luminance, chroma = display_to_lab(np.asarray(picture, dtype=np.float32) / np.float32(255.0))
    return luminance, chroma


def compose(luminance: Plane, chroma: Plane) -> Picture:
    """The picture of these planes, clipped to the sRGB gamut and rounded to (H, W, 3) uint8."""
    return to_uint8(lab_to_display(luminance, chroma))


def to_uint8(display: npt.NDArray[np.float32]) -> Picture:
    """Display-referred floats to uint8: clipped to 0..1, rounded to the nearest level; NaN becomes 0."""
    return np.asarray(np.rint(np.clip(np.nan_to_num(display), 0.0, 1.0) * 255.0), dtype=np.uint8)


def find_clips(paths: Iterable[str | Path]) -> list[ClipSource]:
    """The clips named by ``paths``, in order, each name used once.

    A path is a movie, a frame pattern, a folder of frames (one clip), or a folder of such clips. Raises InputError
    where nothing is found or two clips would have the same name.
    """
    found: list[ClipSource] = []
    for path in paths:
        found.extend(_clips_at(str(path)))
    names = [clip.name for clip in found]
    for name in names:
        if names.count(name) > 1:
            both = " and ".join(clip.path for clip in found if clip.name == name)
            raise InputError(f"Two clips are called '{name}' ({both}); rename one, or measure them apart.")
    if not found:
        raise InputError("No clip was named; give movies, folders of frames, or a folder that holds such clips.")
    return found


def _clips_at(path: str) -> list[ClipSource]:
    folder = Path(path)
    if not folder.is_dir():
        if has_pattern(path):
            return [ClipSource(folder.parent.name or folder.name, path)]
        if not folder.exists():
            raise InputError(f"There is no clip at {path}; give a movie, a folder of frames, or a folder of clips.")
        if not is_movie(path):
            raise InputError(f"{path} is not a movie; give a movie, a folder of frames, or a folder of clips.")
        return [ClipSource(folder.stem, path)]
    if _is_frame_folder(folder):
        return [ClipSource(folder.resolve().name, path)]
    clips = []
    for child in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if child.name.startswith("."):
            continue
        if child.is_dir() and _is_frame_folder(child):
            clips.append(ClipSource(child.name, str(child)))
        elif child.is_file() and is_movie(str(child)):
            clips.append(ClipSource(child.stem, str(child)))
    if not clips:
        raise InputError(f"{path} holds neither frames, nor movies, nor folders of frames; name the folder that does.")
    return clips


def _is_frame_folder(folder: Path) -> bool:
    pictures = (entry for entry in folder.iterdir() if entry.is_file() and image_format(entry) is not None)
    return next(pictures, None) is not None and next(pictures, None) is not None


def read_clip(source: ClipSource, size: Size | None, limit: int | None = None, space: str | None = None) -> Clip:
    """Decode a clip into :class:`Clip`.

    Every frame is brought to display-referred sRGB, resized by area averaging to ``size`` (bilinear where that
    enlarges; the frame is stretched, not cropped; None keeps its own size) and rounded to uint8.

    Args:
        source: from :func:`find_clips`.
        size: the measured size, or None for the clip's own.
        limit: read at most this many frames from the start.
        space: colour space of the footage by OCIO name; None takes what the file says.

    Raises:
        InputError: unreadable footage, or fewer than two frames (nothing would be left to measure).
    """
    with open_source(source.path) as footage:
        numbers = list(footage.frames)[:limit]
        if len(numbers) < 2:
            raise InputError(f"{source.path} has {len(numbers)} frame; give a clip of at least two.")
        info = footage.info
        original = Size(info.width, info.height)
        target = size or original
        colour = ColourSpace(space or _space_of(info.hint))
        # The name is gone at once; the mapping keeps the pages until the clip is dropped.
        with tempfile.TemporaryFile(prefix="colormnet-evaluate-") as pages:
            truth = np.memmap(pages, dtype=np.uint8, mode="w+", shape=(len(numbers), target.height, target.width, 3))
        for index, number in enumerate(numbers):
            display = colour.to_display(footage.read(number).pixels)
            truth[index] = to_uint8(resize(display, target))
    return Clip(source.name, truth, numbers, original)


def _space_of(hint: ColourHint) -> str:
    return default_space(hint.format, hint.floating, hint.tag, hint.chromaticities)


def resize(picture: npt.NDArray[np.float32], target: Size) -> npt.NDArray[np.float32]:
    """(H, W) or (H, W, C) float32 to the target size: by area where neither side grows, else bilinear."""
    height, width = picture.shape[:2]
    if (width, height) == (target.width, target.height):
        return picture
    reducing = target.width <= width and target.height <= height
    method = cv2.INTER_AREA if reducing else cv2.INTER_LINEAR
    resized = cv2.resize(picture, (target.width, target.height), interpolation=method)
    return np.asarray(resized, dtype=np.float32)

"""How good is the upsampling of chroma? Measured on real footage against bilinear and bicubic interpolation.

``python -m colormnet.colour.measure_upsampling FOLDER_OF_MOVIES [--frames 3] [--factors 2 4]``

Colour frames are taken from every movie, their true chroma and luminance are reduced by area averaging, the chroma is
brought back and put on the true luminance. Reported is PSNR of the RGB picture (sRGB code values), over all pixels
and over those within two pixels of the strongest tenth of the chroma edges.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from colormnet.colour.lab import FloatArray, display_to_lab, lab_to_display
from colormnet.colour.upsample import upsample_chroma

Method = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class Score:
    """Mean PSNR (dB) over frames, overall and near edges, the least gain over bilinear of a frame, mean seconds."""

    overall: float
    edges: float
    least_gain: float
    seconds: float


def _interpolate(ab: FloatArray, guide_full: FloatArray, how: int) -> FloatArray:
    height, width = guide_full.shape
    return np.stack([cv2.resize(plane, (width, height), interpolation=how) for plane in ab])


METHODS: dict[str, Method] = {
    "bilinear": lambda ab, _, full: _interpolate(ab, full, cv2.INTER_LINEAR),
    "bicubic": lambda ab, _, full: _interpolate(ab, full, cv2.INTER_CUBIC),
    "edge-aware": upsample_chroma,
}


def frames_of(folder: Path, count: int) -> Iterator[FloatArray]:
    """Evenly spaced RGB frames (H, W, 3) float32 of every movie in a folder; sides cut to multiples of 8."""
    for path in sorted(folder.glob("*.mp4")):
        movie = cv2.VideoCapture(str(path))
        length = int(movie.get(cv2.CAP_PROP_FRAME_COUNT))
        for index in range(count):
            movie.set(cv2.CAP_PROP_POS_FRAMES, int((index + 0.5) * length / count))
            good, frame = movie.read()
            if good:
                height, width = (side - side % 8 for side in frame.shape[:2])
                yield frame[:height, :width, ::-1].astype(np.float32) / np.float32(255.0)
        movie.release()


def chroma_edges(ab: FloatArray) -> npt.NDArray[np.bool_]:
    """(H, W): within two pixels of the strongest tenth of chroma gradients."""
    strength = sum(cv2.Sobel(plane, -1, *order) ** 2 for plane in ab for order in ((1, 0), (0, 1)))
    strong = (strength > np.percentile(strength, 90)).astype(np.uint8)
    return np.asarray(cv2.dilate(strong, np.ones((3, 3), np.uint8)) > 0, dtype=np.bool_)


def measure(frames: Sequence[FloatArray], factor: int) -> dict[str, Score]:
    """Score of every method on these frames at this reduction of each side."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in METHODS}
    seconds = dict.fromkeys(METHODS, 0.0)
    for rgb in frames:
        luminance, ab = display_to_lab(rgb)
        size = (rgb.shape[1] // factor, rgb.shape[0] // factor)
        small = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in ab])
        guide = cv2.resize(luminance, size, interpolation=cv2.INTER_AREA)
        near = chroma_edges(ab)
        for name, method in METHODS.items():
            start = time.perf_counter()
            full = method(small, guide, luminance)
            seconds[name] += time.perf_counter() - start
            error = (lab_to_display(luminance, full) - rgb) ** 2
            found[name].append((_psnr(error), _psnr(error[near])))
    scores = {}
    for name, values in found.items():
        table, base = np.array(values), np.array(found["bilinear"])
        overall, edges = table.mean(axis=0)
        scores[name] = Score(overall, edges, float((table - base)[:, 0].min()), seconds[name] / len(frames))
    return scores


def _psnr(error: FloatArray) -> float:
    return float(-10.0 * np.log10(max(float(np.mean(error, dtype=np.float64)), 1e-12)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=3, help="frames of each movie")
    parser.add_argument("--factors", type=int, nargs="+", default=[2, 4])
    options = parser.parse_args(arguments)
    frames = list(frames_of(options.folder, options.frames))
    if not frames:
        parser.error(f"{options.folder} holds no .mp4 movies that can be read")
    print(f"{len(frames)} frames; PSNR in dB of RGB with the true luminance (in brackets the gain over bilinear)")
    print("factor  method       overall         near edges      least gain  ms/frame")
    for factor in options.factors:
        scores = measure(frames, factor)
        base = scores["bilinear"]
        for name, score in scores.items():
            print(
                f"{factor:>5}x  {name:<11}  {score.overall:5.2f} ({score.overall - base.overall:+5.2f})   "
                f"{score.edges:5.2f} ({score.edges - base.edges:+5.2f})   {score.least_gain:+9.2f}  "
                f"{score.seconds * 1e3:8.1f}"
            )


if __name__ == "__main__":
    main()

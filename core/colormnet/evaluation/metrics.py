"""Measures of a colorized frame or clip against the truth, each a pure function.

Pictures are display-referred sRGB, (H, W, 3) uint8, unless a docstring says otherwise; chroma planes are (2, H, W)
float32 in network units (``a / 110``, ``b / 110`` of CIE Lab, D65).
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import jensenshannon

Picture = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]

PSNR_CEILING = 100.0
"""What an identical frame counts as, in dB: the true value is infinite and would swallow every mean."""

CHROMA_UNIT = 110.0
"""Lab a or b per network unit."""

CDC_STEPS = (1, 2, 4)
"""The frame distances of the colour distribution consistency index."""


def _decibels(mean_square: float, peak: float) -> float:
    if mean_square <= 0.0:
        return PSNR_CEILING
    return min(PSNR_CEILING, float(10.0 * np.log10(peak * peak / mean_square)))


def psnr(truth: Picture, result: Picture) -> float:
    """Peak signal-to-noise ratio over all pixels and channels, in dB with peak 255."""
    return min(PSNR_CEILING, cv2.PSNR(truth, result))


def psnr_wrapped_uint8(truth: Picture, result: Picture) -> float:
    """PSNR on the scale of the released script, whose uint8 difference and square both wrap modulo 256.

    It is not a distance: a difference of 16 squares to 256, which wraps to 0. Only for comparison with the
    paper's table; see :func:`psnr` for the true value.
    """
    difference = truth - result
    return _decibels(float(np.mean(difference * difference)), 255.0)


def psnr_chroma(truth: Plane, result: Plane) -> float:
    """PSNR of the two chroma planes alone, in dB, in Lab units with peak 255; before any gamut clipping or rounding."""
    difference = (truth.astype(np.float64) - result.astype(np.float64)) * CHROMA_UNIT
    return _decibels(float(np.mean(difference * difference)), 255.0)


def ssim(truth: Picture, result: Picture) -> float:
    """Structural similarity with the settings of Wang et al. (Gaussian window, sigma 1.5), mean over the channels.

    The same numbers as scikit-image's ``structural_similarity`` with ``gaussian_weights``, in a sixth of the time: at
    a hundred thousand frames that is what decides how long an evaluation takes.
    """
    # Centred, so that the variances below are small differences of small numbers and float32 is enough.
    one, two = truth.astype(np.float32) - np.float32(128.0), result.astype(np.float32) - np.float32(128.0)
    mean_1, mean_2 = _window(one), _window(two)
    variance_1 = _window(one * one) - mean_1 * mean_1
    variance_2 = _window(two * two) - mean_2 * mean_2
    covariance = _window(one * two) - mean_1 * mean_2
    mean_1 += np.float32(128.0)
    mean_2 += np.float32(128.0)
    luminance = (2.0 * mean_1 * mean_2 + _SSIM_C1) / (mean_1 * mean_1 + mean_2 * mean_2 + _SSIM_C1)
    structure = (2.0 * covariance + _SSIM_C2) / (variance_1 + variance_2 + _SSIM_C2)
    inside = (slice(_SSIM_RADIUS, -_SSIM_RADIUS),) * 2
    return float((luminance * structure)[inside].mean(dtype=np.float64))


_SSIM_RADIUS = 5
_SSIM_C1, _SSIM_C2 = np.float32((0.01 * 255) ** 2), np.float32((0.03 * 255) ** 2)


def _window(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    side = 2 * _SSIM_RADIUS + 1
    return np.asarray(cv2.GaussianBlur(plane, (side, side), 1.5, borderType=cv2.BORDER_REFLECT), dtype=np.float32)


def colourfulness(picture: Picture) -> float:
    """Colourfulness of a picture after Hasler and Suesstrunk (2003), equation for sRGB in 0..255."""
    red, green, blue = (picture[..., channel].astype(np.float64) for channel in range(3))
    red_green = red - green
    yellow_blue = 0.5 * (red + green) - blue
    spread = np.hypot(red_green.std(), yellow_blue.std())
    offset = np.hypot(red_green.mean(), yellow_blue.mean())
    return float(spread + 0.3 * offset)


def chroma_magnitude(chroma: Plane) -> float:
    """Mean over the pixels of ``sqrt(a^2 + b^2)``, in Lab units."""
    return float(np.hypot(chroma[0], chroma[1]).mean(dtype=np.float64) * CHROMA_UNIT)


def colour_histograms(picture: Picture) -> npt.NDArray[np.float64]:
    """The share of pixels at each of the 256 levels, per channel: (3, 256), each row summing to 1."""
    counts = [np.bincount(picture[..., channel].ravel(), minlength=256) for channel in range(3)]
    return np.asarray(np.stack(counts) / float(picture.shape[0] * picture.shape[1]), dtype=np.float64)


def colour_distribution_consistency(histograms: Sequence[npt.NDArray[np.float64]]) -> float | None:
    """Colour distribution consistency index (CDC) of a clip, from the :func:`colour_histograms` of its frames.

    The mean over the steps 1, 2 and 4 of the mean Jensen-Shannon divergence (natural logarithm) between the channel
    histograms of frames that far apart; lower is steadier. A clip too short for a step is judged on the shorter steps;
    None for a clip of one frame.
    """
    means = []
    for step in CDC_STEPS:
        if len(histograms) <= step:
            continue
        early = np.stack(histograms[:-step])
        late = np.stack(histograms[step:])
        distance = jensenshannon(early, late, axis=-1)
        # Equal rows can leave a rounding error below zero under SciPy's square root.
        means.append(float(np.mean(np.nan_to_num(distance) ** 2)))
    return float(np.mean(means)) if means else None


def frechet_distance(first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> float:
    """Frechet distance between the Gaussians fitted to two sets of features, (N, D) and (M, D), N and M at least 2.

    ``|m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2))`` with unbiased covariances, as in FID and FVD. The trace of the
    root is taken from the symmetric product ``C1^(1/2) C2 C1^(1/2)``, whose eigenvalues are real even where the
    covariances are singular (fewer samples than dimensions).
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"two (N, D) feature arrays of the same D are needed, not {first.shape} and {second.shape}")
    if len(first) < 2 or len(second) < 2:
        raise ValueError("a covariance needs at least two samples on each side")
    first, second = first.astype(np.float64), second.astype(np.float64)
    difference = first.mean(axis=0) - second.mean(axis=0)
    covariance_1 = np.atleast_2d(np.cov(first, rowvar=False))
    covariance_2 = np.atleast_2d(np.cov(second, rowvar=False))
    values, vectors = np.linalg.eigh(covariance_1)
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    inner = np.clip(np.linalg.eigvalsh(root @ covariance_2 @ root), 0.0, None)
    trace = np.trace(covariance_1) + np.trace(covariance_2) - 2.0 * np.sqrt(inner).sum()
    return max(0.0, float(difference @ difference + trace))

"""Bring chroma from the working size to the plate's size along the plate's edges."""

from __future__ import annotations

import cv2
import numpy as np

from colormnet.colour.lab import FloatArray
from colormnet.errors import InputError

# Chosen once for all clips together with `python -m colormnet.colour.measure_upsampling`; the optimum is flat.
_WINDOW = (3, 3)  # pixels of the working size
_FLATNESS = np.float32(1e-3)  # variance of L (network units squared) under which a window has no edge to follow
_DETAIL = np.float32(0.5)  # share of the luminance-predicted detail that is added


def upsample_chroma(ab: FloatArray, guide_small: FloatArray, guide_full: FloatArray) -> FloatArray:
    """Chroma at full size, edge-aware.

    Bicubic interpolation, plus the detail that the full-size luminance predicts: in every 3x3 window of the working
    size a line is fitted from L to each chroma channel (the guided filter's local model: He, Sun and Tang, Guided
    Image Filtering, 2013) and its slope, weighted by the squared coefficient of determination of the fit, multiplies
    the detail of L that interpolation has lost. Where L and chroma do not move together nothing is added. At last the
    result is corrected so that its area average is the chroma that was given (one step of back-projection).

    Args:
        ab: (2, h, w) float32.
        guide_small: (h, w) float32, L of the plate at the working size.
        guide_full: (H, W) float32, L of the plate at full size.

    Returns:
        (2, H, W) float32; ``ab`` itself when the sizes are equal, its area average when the plate is smaller than the
        working size. All in network units.

    Raises:
        InputError: ``ab`` and ``guide_small`` have different sizes.
    """
    if ab.shape[1:] != guide_small.shape:
        raise InputError(f"The chroma {ab.shape[1:]} and its guide {guide_small.shape} must have one size.")
    if guide_small.shape == guide_full.shape:
        return ab
    height, width = guide_full.shape
    size, small = (width, height), guide_small.shape[::-1]
    guide = np.ascontiguousarray(guide_small, dtype=np.float32)
    planes = [np.ascontiguousarray(plane, dtype=np.float32) for plane in ab]
    result = np.empty((2, height, width), dtype=np.float32)
    if small[0] >= width and small[1] >= height:
        for channel, plane in enumerate(planes):
            result[channel] = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
        return result

    lost = np.asarray(guide_full, dtype=np.float32) - cv2.resize(guide, size, interpolation=cv2.INTER_CUBIC)
    mean = _mean(guide)
    variance = np.maximum(_mean(guide * guide) - mean * mean, np.float32(0.0))
    for channel, plane in enumerate(planes):
        slope = _slope(plane, guide, mean, variance)
        full = cv2.resize(slope, size, interpolation=cv2.INTER_LINEAR)
        full *= lost
        full += cv2.resize(plane, size, interpolation=cv2.INTER_CUBIC)
        error = plane - cv2.resize(full, small, interpolation=cv2.INTER_AREA)
        np.add(full, cv2.resize(error, size, interpolation=cv2.INTER_CUBIC), out=result[channel])
    return result


def _mean(plane: FloatArray) -> FloatArray:
    averaged: FloatArray = cv2.boxFilter(plane, -1, _WINDOW, borderType=cv2.BORDER_REPLICATE)
    return averaged


def _slope(plane: FloatArray, guide: FloatArray, mean: FloatArray, variance: FloatArray) -> FloatArray:
    """Slope of the chroma over L in each window, damped by how well a line fits."""
    average = _mean(plane)
    covariance = _mean(guide * plane) - mean * average
    own = np.maximum(_mean(plane * plane) - average * average, np.float32(0.0))
    fit = covariance * covariance / ((variance + np.float32(1e-6)) * (own + np.float32(1e-6)))
    np.minimum(fit, np.float32(1.0), out=fit)
    fit *= fit
    fit *= _DETAIL
    slope: FloatArray = covariance / (variance + _FLATNESS)
    slope *= fit
    return slope

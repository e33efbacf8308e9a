"""Bring chroma from the working size to the plate's size along the plate's edges."""

from __future__ import annotations

import cv2
import numpy as np

from colormnet.colour.lab import FloatArray
from colormnet.errors import InputError

_RADIUS = 2
_EPSILON = np.float32(1e-3)


def upsample_chroma(
    ab: FloatArray, guide_small: FloatArray, guide_full: FloatArray, radius: int = _RADIUS, epsilon: float = 1e-3
) -> FloatArray:
    """ab (2, h, w) and L (h, w) at the working size, L (H, W) at full size -> ab (2, H, W), all float32 network units."""
    height, width = guide_full.shape
    if ab.shape[1:] != guide_small.shape:
        raise InputError(f"The chroma {ab.shape} and its guide {guide_small.shape} must have one size.")
    if guide_small.shape == guide_full.shape:
        return ab
    side = (2 * radius + 1, 2 * radius + 1)
    border = cv2.BORDER_REPLICATE
    g = guide_small
    stack = np.dstack([g, g * g, ab[0], ab[1], g * ab[0], g * ab[1]])
    m = cv2.boxFilter(stack, -1, side, borderType=border)
    variance = m[..., 1] - m[..., 0] ** 2 + np.float32(epsilon)
    slope = (m[..., 4:6] - m[..., :1] * m[..., 2:4]) / variance[..., None]
    offset = m[..., 2:4] - slope * m[..., :1]
    both = cv2.boxFilter(np.dstack([slope, offset]), -1, side, borderType=border)
    full = cv2.resize(both, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.stack([full[..., 0] * guide_full + full[..., 2], full[..., 1] * guide_full + full[..., 3]])

"""Bring chroma from the working size to the plate's size along the plate's edges."""

from __future__ import annotations

from colormnet.colour.lab import FloatArray


def upsample_chroma(ab: FloatArray, guide_small: FloatArray, guide_full: FloatArray) -> FloatArray:
    """ab (2, h, w) and L (h, w) at the working size, L (H, W) at full size -> ab (2, H, W), all float32 network units."""
    raise RuntimeError

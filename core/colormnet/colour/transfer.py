"""Put predicted chroma on a plate whose luminance is sacred."""

from __future__ import annotations

from colormnet.colour.lab import FloatArray
from colormnet.colour.spaces import ColourSpace


def plate_luminance(rgb: FloatArray, space: ColourSpace) -> tuple[FloatArray, int]:
    """The network's view of a plate: (H, W, 3) float32 in ``space`` -> L (H, W) network units, count of NaN/Inf pixels.

    The plate is brought to the sRGB display without a tone curve (scene-linear 0.18 -> 0.46) and clamped there, and only
    there. Pixels that are not finite are replaced by their finite surroundings.
    """
    raise RuntimeError


def transfer(
    rgb: FloatArray, ab: FloatArray, space: ColourSpace, saturation: float = 1.0, ceiling: float | None = None
) -> FloatArray:
    """Chroma ``ab`` (2, H, W) network units on the plate ``rgb`` (H, W, 3) in ``space`` -> (H, W, 3) float32."""
    raise RuntimeError

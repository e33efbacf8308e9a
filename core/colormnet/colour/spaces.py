"""Colour spaces by OCIO name, and the way from a plate's own space to the display and back."""

from __future__ import annotations

from colormnet.colour.lab import FloatArray

PINNED_CONFIG = "ocio://cg-config-v2.1.0_aces-v1.3_ocio-v2.3"


def resolve(name: str, config: str | None = None) -> str:
    """The config's own name of a colour space given by name, alias or role; raises InputError with near names."""
    raise RuntimeError


class ColourSpace:
    """A colour space of an OCIO config: ``ColourSpace("ACEScg")``, ``ColourSpace("sRGB")``, ``ColourSpace("Rec.709")``."""

    name: str
    luminance_weights: tuple[float, float, float]

    def __init__(self, name: str, config: str | None = None) -> None:
        raise RuntimeError

    def to_display(self, rgb: FloatArray) -> FloatArray:
        """(H, W, 3) float32 in this space -> sRGB code values clamped to [0, 1] (H, W, 3) float32."""
        raise RuntimeError

    def from_display(self, rgb: FloatArray) -> FloatArray:
        """sRGB code values (H, W, 3) float32 -> this space."""
        raise RuntimeError

"""CIE Lab (D65, 2 degrees, as scikit-image defines it) in network units.

Network units: ``L' = (L - 50) / 50``, ``a' = a / 110``, ``b' = b / 110`` (network specification, section 1).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float32]

CHROMA_SCALE = 110.0
LUMINANCE_CENTRE = 50.0

# sRGB primaries to CIE XYZ and the D65 white point, the very numbers scikit-image and OpenCV use.
RGB_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]], dtype=np.float64
)
XYZ_TO_RGB = np.linalg.inv(RGB_TO_XYZ)
WHITE = np.array([0.95047, 1.0, 1.08883], dtype=np.float64)

_EPSILON = 0.008856
_KAPPA = 7.787


def srgb_decode(code: FloatArray) -> FloatArray:
    """Code values of the sRGB curve to light, float32; extended beyond [0, 1] as OCIO does (linear below 0)."""
    body = np.maximum(code, np.float32(0.0))
    body += np.float32(0.055)
    body *= np.float32(1.0 / 1.055)
    np.power(body, np.float32(2.4), out=body)
    np.copyto(body, code * np.float32(1.0 / 12.92), where=code <= np.float32(0.04045))
    return body


def srgb_encode(light: FloatArray) -> FloatArray:
    """Light to code values of the sRGB curve, float32; the inverse of :func:`srgb_decode` for every finite value."""
    body = np.maximum(light, np.float32(0.0))
    np.power(body, np.float32(1.0 / 2.4), out=body)
    body *= np.float32(1.055)
    body -= np.float32(0.055)
    np.copyto(body, light * np.float32(12.92), where=light <= np.float32(0.0031308))
    return body


def lab_curve(ratio: FloatArray) -> FloatArray:
    """The Lab non-linearity f of a light ratio in [0, 1], float32."""
    root = np.cbrt(ratio)
    toe = ratio * np.float32(_KAPPA)
    toe += np.float32(16.0 / 116.0)
    np.copyto(root, toe, where=ratio <= np.float32(_EPSILON))
    return root


def lab_curve_inverse(value: FloatArray) -> FloatArray:
    """The inverse of :func:`lab_curve`, float32; below zero it goes on linearly."""
    cube = value * value
    cube *= value
    toe = value - np.float32(16.0 / 116.0)
    toe *= np.float32(1.0 / _KAPPA)
    np.copyto(cube, toe, where=value <= np.float32(0.2068966))
    return cube


def display_to_lab(rgb: FloatArray) -> tuple[FloatArray, FloatArray]:
    """sRGB display colours to Lab in network units.

    Args:
        rgb: (H, W, 3) float32 sRGB code values in [0, 1].

    Returns:
        L (H, W) and ab (2, H, W), float32, network units.
    """
    light = srgb_decode(np.asarray(rgb, dtype=np.float32))
    flat = light.reshape(-1, 3)
    matrix = (RGB_TO_XYZ / WHITE[:, None]).astype(np.float32)
    x, y, z = (lab_curve(flat @ row) for row in matrix)
    height, width = rgb.shape[:2]
    luminance = np.float32(116.0 / 50.0) * y - np.float32(66.0 / 50.0)
    ab = np.stack([(x - y) * np.float32(500.0 / CHROMA_SCALE), (y - z) * np.float32(200.0 / CHROMA_SCALE)])
    return luminance.reshape(height, width), ab.reshape(2, height, width)


def display_luminance(rgb: FloatArray) -> FloatArray:
    """L alone, (H, W) float32 network units, of (H, W, 3) float32 sRGB code values in [0, 1]."""
    light = srgb_decode(np.asarray(rgb, dtype=np.float32)) @ RGB_TO_XYZ[1].astype(np.float32)
    return np.float32(116.0 / 50.0) * lab_curve(light) - np.float32(66.0 / 50.0)


def lab_to_linear(luminance: FloatArray, ab: FloatArray) -> FloatArray:
    """Lab in network units to linear Rec.709 light, unclamped: L (H, W), ab (2, H, W) -> (H, W, 3) float32."""
    fy = (np.asarray(luminance, np.float32) + np.float32(66.0 / 50.0)) * np.float32(50.0 / 116.0)
    x = lab_curve_inverse(fy + ab[0] * np.float32(CHROMA_SCALE / 500.0))
    y = lab_curve_inverse(fy)
    z = lab_curve_inverse(fy - ab[1] * np.float32(CHROMA_SCALE / 200.0))
    matrix = (XYZ_TO_RGB * WHITE[None, :]).astype(np.float32)
    return np.stack([x * row[0] + y * row[1] + z * row[2] for row in matrix], axis=-1)


def lab_to_display(luminance: FloatArray, ab: FloatArray) -> FloatArray:
    """Lab in network units to sRGB display colours, clamped to [0, 1]: L (H, W), ab (2, H, W) -> (H, W, 3) float32."""
    return srgb_encode(np.clip(lab_to_linear(luminance, ab), np.float32(0.0), np.float32(1.0)))

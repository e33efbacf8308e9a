"""Put predicted chroma on a plate whose luminance is sacred.

Luminance here is relative CIE luminance: the space's own weights over linear light in its own primaries
(:meth:`ColourSpace.luminance`). For an encoded space (sRGB, Rec.709, ACEScct...) the light is decoded first, so it is
light and not the sum of code values that stays.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from colormnet.colour.lab import CHROMA_SCALE, WHITE, XYZ_TO_RGB, FloatArray, lab_curve, lab_curve_inverse
from colormnet.colour.lab import display_luminance as _display_luminance
from colormnet.colour.spaces import ColourSpace
from colormnet.errors import InputError

_BLOCK = 1 << 16  # pixels; keeps the intermediate planes in the cache
_LAST_CODE = np.float32(1.0 / (255.0 * 12.92))  # light of the darkest 8-bit code above black

_MATRIX = (XYZ_TO_RGB * WHITE[None, :]).astype(np.float32)


def plate_luminance(rgb: FloatArray, space: ColourSpace) -> tuple[FloatArray, int]:
    """What the network sees of a plate.

    The plate is brought to the sRGB display without a tone curve (scene-linear 0.18 -> 0.46) and clamped there, and
    only there. Pixels that are not finite are replaced by :func:`contain`.

    Args:
        rgb: (H, W, 3) float32 in ``space``.
        space: the plate's colour space.

    Returns:
        L (H, W) float32 in network units, and the number of pixels that were not finite.
    """
    clean, count = contain(rgb)
    if np.array_equal(clean[..., 0], clean[..., 1]) and np.array_equal(clean[..., 1], clean[..., 2]):
        # A grey plate, the usual case: equal channels stay equal on the way to the display, so one is enough.
        with np.errstate(over="ignore"):
            light = space.to_linear(np.ascontiguousarray(clean[..., 0]) if space.channelwise else clean)
        lit = np.clip(light if space.channelwise else light[..., 0], np.float32(0.0), np.float32(1.0))
        return np.float32(116.0 / 50.0) * lab_curve(lit) - np.float32(66.0 / 50.0), count
    return _display_luminance(space.to_display(clean)), count


def contain(rgb: FloatArray) -> tuple[FloatArray, int]:
    """Replace pixels with a NaN or infinite channel by the mean of the finite pixels around them.

    Args:
        rgb: (H, W, 3) float32.

    Returns:
        The array itself when all is finite, else a copy without NaN and Inf; and the number of pixels replaced.
        A neighbourhood without a finite pixel is widened until it has one; a frame without any becomes 0.
    """
    with np.errstate(invalid="ignore"):
        total = rgb.sum(dtype=np.float64)
    if np.isfinite(total):
        return rgb, 0
    good = np.asarray(np.isfinite(rgb).all(axis=-1), dtype=np.bool_)
    count = int(good.size - np.count_nonzero(good))
    clean = np.where(good[..., None], rgb, np.float32(0.0))
    missing = ~good
    weight = good.astype(np.float32)
    bounded = np.clip(clean, np.float32(-65504.0), np.float32(65504.0))
    size = 3
    while missing.any() and size < 4 * max(good.shape):
        share = cv2.boxFilter(weight, -1, (size, size), borderType=cv2.BORDER_CONSTANT)
        mean = cv2.boxFilter(bounded, -1, (size, size), borderType=cv2.BORDER_CONSTANT)
        reached = missing & (share > 0.5 / (size * size))
        clean[reached] = mean[reached] / share[reached][:, None]
        missing &= ~reached
        size = size * 2 + 1
    return clean, count


def transfer(
    rgb: FloatArray, ab: FloatArray, space: ColourSpace, saturation: float = 1.0, ceiling: float | None = None
) -> FloatArray:
    """Give a plate the chroma ``ab`` and keep the luminance of every pixel.

    The hue and saturation of a pixel are those of Lab (L, a, b) with L from the pixel's own luminance clamped to [0,
    1]; the result is scaled to the luminance it had, so a highlight of 8.0 gets the colour of white with this chroma,
    eight times as bright. Then, with the luminance unchanged:

    - a colour that would need a negative amount of a Rec.709 primary, or more light in a channel than ``ceiling``, is
      moved towards grey until it does not;
    - chroma fades to none over the last 8-bit code above black (light below 0.0003);
    - a pixel with no light (luminance zero or negative) and one with a NaN or infinite channel is returned as it is;
    - a grey pixel with chroma (0, 0) is returned bit for bit.

    Args:
        rgb: (H, W, 3) float32, the plate in ``space``; never written to.
        ab: (2, H, W) float32, network units.
        space: the plate's colour space.
        saturation: scales the chroma; 0 gives a grey picture of the same luminance.
        ceiling: the most light a channel may have; None = ``space.ceiling``: the light of code value 1 for an encoded
            space (integer files and movies hold no more), 65504 for a linear one. A pixel brighter than that is grey.
            Pass 1.0 when a linear plate goes to an integer file.

    Returns:
        (H, W, 3) float32 in ``space``.

    Raises:
        InputError: shapes that do not agree, or a saturation that is negative or not a number.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or ab.shape != (2, *rgb.shape[:2]):
        raise InputError(f"The chroma {ab.shape} does not fit the plate {rgb.shape}; both must have one size.")
    if not (np.isfinite(saturation) and saturation >= 0.0):
        raise InputError(f"The saturation must be a number from 0 up, not {saturation}.")
    top = np.float32(space.ceiling if ceiling is None else ceiling)
    height, width = rgb.shape[:2]
    result = np.empty((height, width, 3), dtype=np.float32)
    # A space that OpenColorIO converts is best given whole frames: each call to the library costs as much as a block.
    rows = max(1, _BLOCK // max(width, 1)) if space.channelwise else height
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for first in range(0, height, rows):
            part = slice(first, first + rows)
            block = np.asarray(rgb[part], dtype=np.float32)
            _transfer_block(block, np.asarray(ab[:, part], np.float32), space, saturation, top, result[part])
    return result


def _transfer_block(
    rgb: FloatArray, ab: FloatArray, space: ColourSpace, saturation: float, top: np.float32, result: FloatArray
) -> None:
    """:func:`transfer` for a block of rows, written into ``result``. Planes, because numpy is fastest on those."""
    zero, one, tiny = np.float32(0.0), np.float32(1.0), np.float32(1e-30)
    planes = [np.ascontiguousarray(rgb[..., channel]) for channel in range(3)]
    grey = (planes[0] == planes[1]) & (planes[1] == planes[2])
    all_grey = bool(grey.all())
    if not all_grey:
        luminance = space.luminance(rgb)
    elif space.channelwise:
        luminance = space.to_linear(planes[0])
    else:
        luminance = np.ascontiguousarray(space.to_linear(rgb)[..., 0])

    # Lab at the clamped luminance, as light relative to the white point; y is the clamped luminance itself.
    y = np.clip(luminance, zero, one)
    fy = lab_curve(y)
    scale = np.float32(saturation * CHROMA_SCALE)
    dx = lab_curve_inverse(fy + ab[0] * (scale * np.float32(1 / 500.0)))
    dx -= y
    dz = lab_curve_inverse(fy - ab[1] * (scale * np.float32(1 / 200.0)))
    dz -= y

    # Departure of each Rec.709 channel from grey, limited so that no channel goes below zero.
    away = [dx * row[0] + dz * row[2] for row in _MATRIX]
    lowest = np.minimum(np.minimum(away[0], away[1]), away[2])
    np.negative(lowest, out=lowest)
    share = np.minimum(one, y / np.maximum(lowest, tiny))
    share *= np.minimum(luminance * (one / _LAST_CODE), one)
    share /= np.maximum(y, tiny)

    # Over to the plate's primaries and to its own luminance: light = luminance * (1 + away), weights * away = 0.
    for plane in away:
        plane *= share
    away = space.planes_from_rec709(away)
    weights = [np.float32(weight) for weight in space.luminance_weights]
    mean = away[0] * weights[0]
    mean += away[1] * weights[1]
    mean += away[2] * weights[2]
    gain = one / (mean + one)
    for plane in away:
        plane -= mean
        plane *= gain
    most = np.maximum(np.maximum(away[0], away[1]), away[2])
    most *= luminance
    room = np.maximum(top - luminance, zero)
    if bool((most > room).any()):
        luminance_share = np.minimum(one, room / np.maximum(most, tiny)) * luminance
    else:
        luminance_share = luminance
    for channel, plane in enumerate(away):
        plane *= luminance_share
        plane += luminance
        if space.channelwise:
            result[..., channel] = space.from_linear(plane)
        else:
            result[..., channel] = plane
    if not space.channelwise:
        result[...] = space.from_linear(result)

    keep = ~(luminance > zero)
    finite = (
        np.isfinite(planes[0])
        & np.isfinite(planes[1])
        & np.isfinite(planes[2])
        & np.isfinite(away[0] + away[1] + away[2])
    )
    keep |= ~finite
    if saturation == 0.0:
        keep |= grey
    else:
        keep |= grey & (ab[0] == zero) & (ab[1] == zero)
    if bool(keep.any()):
        np.copyto(result, rgb, where=keep[..., None])


def non_finite_pixels(rgb: FloatArray) -> npt.NDArray[np.bool_]:
    """(H, W) bool: pixels with a NaN or infinite channel."""
    return np.asarray(~np.isfinite(rgb).all(axis=-1), dtype=np.bool_)

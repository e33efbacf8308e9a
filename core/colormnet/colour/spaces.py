"""Colour spaces by OCIO name, and the way from a plate's own space to the display and back.

The config is the one ``$OCIO`` names, else a pinned built-in one (``ocio://default`` changes between library
versions). OpenColorIO is reached through OpenImageIO. It is asked once, when a space is opened, what the space does
to a set of probe colours; a space that turns out to be a matrix, the sRGB curve or a plain gamma is then computed
directly (ten times faster and without the library's fast approximations), anything else goes through OpenColorIO
frame by frame.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio  # noqa: N813 - the name its own documentation uses

from colormnet.colour.lab import FloatArray, srgb_decode, srgb_encode
from colormnet.errors import InputError

PINNED_CONFIG = "ocio://cg-config-v2.1.0_aces-v1.3_ocio-v2.3"

VIDEO_SPACE = "Rec.709"
"""The one name that is ours: a Rec.709 video signal taken code for code as an sRGB monitor shows it.

That is what players on computers do, how stills are grabbed from movies and how the networks' training footage was
read; a still grabbed from a movie therefore agrees with the movie. ``Rec.1886 Rec.709 - Display`` names the other
reading (a BT.1886 reference monitor), and a config with a space of its own called Rec.709 is obeyed.
"""

# Red, green, blue and white chromaticities (x, y) of the linear spaces that an encoded space may be built on.
_CHROMATICITIES: dict[str, tuple[float, ...]] = {
    "Rec.709": (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290),
    "AP1": (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767),
    "AP0": (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767),
    "Rec.2020": (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),
    "P3-D65": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),
}

_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

# What people write (lower case, letters and digits only) -> names under which configs know that space, best first.
_LINEAR_REC709 = (
    "lin_rec709_srgb",
    "Linear Rec.709 (sRGB)",
    "lin_rec709_scene",
    "lin_rec709",
    "lin_srgb",
    "Utility - Linear - Rec.709",
    "Utility - Linear - sRGB",
    "scene-linear Rec.709-sRGB",
    "linear",
)
# Names of linear spaces by their primaries: the linear side of encoded spaces that OpenColorIO converts.
_LINEAR_NAMES: dict[str, tuple[str, ...]] = {
    "Rec.709": _LINEAR_REC709,
    "AP1": ("ACEScg", "lin_ap1", "ACES - ACEScg"),
    "AP0": ("ACES2065-1", "lin_ap0", "ACES - ACES2065-1"),
    "Rec.2020": ("lin_rec2020", "Linear Rec.2020", "Utility - Linear - Rec.2020"),
    "P3-D65": ("lin_p3d65", "Linear P3-D65", "Utility - Linear - P3-D65"),
}
_SRGB = ("srgb_tx", "sRGB - Texture", "srgb_texture", "Utility - sRGB - Texture", "sRGB Encoded Rec.709 (sRGB)", "sRGB")
_ALIASES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        [
            "linear",
            "lin",
            "scenelinearrec709",
            "scenelinearrec709srgb",
            "linearrec709",
            "linrec709",
            "linearsrgb",
            "linsrgb",
            "scenelinearsrgb",
            "rec709linear",
            "srgblinear",
            "linearrec709srgb",
            "linrec709srgb",
        ],
        _LINEAR_REC709,
    ),
    **dict.fromkeys(["srgb", "srgbtexture", "srgbtx", "srgbdisplay"], _SRGB),
    **dict.fromkeys(
        ["bt1886", "rec1886", "gamma24", "rec709gamma24", "g24rec709"], ("rec1886_rec709_display", "g24_rec709_tx")
    ),
    **dict.fromkeys(["gamma22", "g22"], ("g22_rec709_tx", "Gamma 2.2 Rec.709 - Texture")),
    **dict.fromkeys(["acescg", "ap1", "linap1"], ("ACEScg", "lin_ap1", "ACES - ACEScg")),
    **dict.fromkeys(["aces", "aces2065", "aces20651", "ap0", "linap0"], ("ACES2065-1", "lin_ap0", "ACES - ACES2065-1")),
    **dict.fromkeys(["linearrec2020", "rec2020linear", "linrec2020"], ("lin_rec2020", "Linear Rec.2020")),
    **dict.fromkeys(["linearp3", "linearp3d65", "p3linear"], ("lin_p3d65", "Linear P3-D65")),
}
_VIDEO_NAMES = frozenset(["rec709", "bt709", "rec709video", "itur709", "video"])

_SRGB_TOLERANCE = 2e-4  # OpenColorIO's own fast power is good to a few 1e-5
_CURVE_PROBES = np.array(
    [-0.5, -0.02, 0.0, 0.002, 0.02, 0.0392, 0.0405, 0.05, 0.1, 0.18, 0.3, 0.5, 0.7, 0.9, 1.0, 1.3, 2.0],
    dtype=np.float32,
)


def config_in_use(config: str | None = None) -> str:
    """The OCIO config: the one given, else ``$OCIO``, else the pinned built-in one."""
    return config or os.environ.get("OCIO") or PINNED_CONFIG


@functools.lru_cache(maxsize=8)
def _open_config(name: str) -> Any:
    if "://" not in name and not os.path.isfile(name):
        raise InputError(f"The OCIO config {name} does not exist; correct or unset $OCIO.")
    config = oiio.ColorConfig(name)
    problem = config.geterror()
    if problem or not config.getColorSpaceNames():
        raise InputError(f"The OCIO config {name} cannot be used ({_one_line(problem) or 'it has no colour spaces'}).")
    return config


def space_names(config: str | None = None) -> list[str]:
    """Names of all colour spaces of the config, in its order."""
    return list(_open_config(config_in_use(config)).getColorSpaceNames())


def resolve(name: str, config: str | None = None) -> str:
    """The config's own name of a colour space given by name, alias, role or common name.

    Raises:
        InputError: no such space (near names are offered) or the config cannot be read.
    """
    chosen = config_in_use(config)
    known = _open_config(chosen)
    found = _find(known, name)
    if found is not None:
        return found
    plain = _plain(name)
    if plain in _VIDEO_NAMES:
        return VIDEO_SPACE
    for candidate in _ALIASES.get(plain, ()):
        found = _find(known, candidate)
        if found is not None:
            return found
    names = list(known.getColorSpaceNames())
    spellings = {_plain(spelling): own for own in reversed(names) for spelling in (own, *known.getAliases(own))}
    if plain in spellings:
        return str(spellings[plain])
    near = difflib.get_close_matches(plain, [*spellings, *_VIDEO_NAMES], n=6, cutoff=0.5)
    offered = list(dict.fromkeys(spellings.get(spelling, VIDEO_SPACE) for spelling in near))[:3]
    hint = f"did you mean {' or '.join(offered)}?" if offered else f"it has {', '.join(names[:6])}..."
    raise InputError(f'The colour space "{name}" is not in the OCIO config {chosen}; {hint}')


def _find(config: Any, name: str) -> str | None:
    """Exact name, alias or role, whatever the case."""
    index = int(config.getColorSpaceIndex(name))
    if index >= 0:
        return str(config.getColorSpaceNameByIndex(index))
    for role in config.getRoles():
        if role.lower() == name.lower():
            return str(config.getColorSpaceNameByRole(role))
    return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _one_line(text: str) -> str:
    return " ".join(str(text).split()).rstrip(".")


def default_space(
    format: str,
    floating: bool = False,
    tag: str | None = None,
    chromaticities: Sequence[float] | None = None,
    config: str | None = None,
) -> str:
    """The space of footage whose user did not name one; arguments are the fields of :class:`..media.frames.ColourHint`.

    EXR: scene-linear Rec.709 (in a config without it the role scene_linear), or the ACES space whose chromaticities
    its header states. PNG, JPEG, TIFF: sRGB; TIFF
    with half or float pixels: scene-linear Rec.709. Movies: Rec.709, or PQ where they say so. DPX: by the transfer
    characteristic in its header: linear and Rec.709 ("ITU-R 709", SMPTE 274M and the other video ones) as they say,
    an unset one as Rec.709; a logarithmic one (printing density) has no safe default.

    Returns:
        A name that :func:`resolve` takes, in the config in use.

    Raises:
        InputError: a logarithmic DPX, an HLG movie.
    """
    if format == "exr" and chromaticities is not None and len(chromaticities) == 8:
        for known, name in (("AP1", "ACEScg"), ("AP0", "ACES2065-1")):
            if np.allclose(chromaticities, _CHROMATICITIES[known], atol=2e-3):
                return resolve(name, config)
    if format == "exr" or (floating and format != "dpx"):
        try:
            return resolve("scene-linear Rec.709", config)
        except InputError:  # a studio config without it: its own working space
            return resolve("scene_linear", config)
    if format == "movie" and tag == "arib-std-b67":
        raise InputError("The movie is HLG, for which there is no safe default; name its colour space.")
    if format == "movie" and tag == "smpte2084":
        return resolve("rec2100_pq_display", config)
    if format == "movie":
        return resolve(VIDEO_SPACE, config)
    if format == "dpx":
        words = _plain(tag or "")
        if "log" in words or "density" in words:
            raise InputError(
                "The DPX plate says that it is logarithmic (printing density) and not by which curve; name its colour "
                "space (an OCIO config with film spaces can be given in $OCIO)."
            )
        return resolve("scene-linear Rec.709" if "linear" in words else VIDEO_SPACE, config)
    return resolve("sRGB", config)


@dataclass(frozen=True)
class _Curve:
    """How code values become light, one channel at a time."""

    kind: Literal["linear", "srgb", "gamma", "ocio"]
    gamma: float = 1.0
    negatives: Literal["mirror", "clamp"] = "mirror"


class ColourSpace:
    """A colour space of an OCIO config: ``ColourSpace("ACEScg")``, ``ColourSpace("sRGB")``, ``ColourSpace("Rec.709")``.

    Attributes:
        name: the config's own name (or :data:`VIDEO_SPACE`).
        config: the config's path or address.
        linear: code values are proportional to light.
        channelwise: :meth:`to_linear` works on each channel alone, and so on arrays with any last axis.
        luminance_weights: weights of linear light in this space's own primaries that give its relative luminance
            (CIE Y of its primaries with its own white as 1), e.g. (0.2126, 0.7152, 0.0722) for Rec.709 primaries and
            (0.2722, 0.6741, 0.0537) for ACEScg. For an encoded space they apply after :meth:`to_linear`.
        ceiling: the largest light a channel may carry: that of code value 1 for an encoded space, the largest
            half-float (65504) for a linear one.

    All arrays are (..., 3) float32. Objects are immutable and may be shared between threads.
    """

    def __init__(self, name: str, config: str | None = None) -> None:
        self.config = config_in_use(config)
        self.name = resolve(name, self.config)
        known = _open_config(self.config)
        is_video = self.name == VIDEO_SPACE and _find(known, VIDEO_SPACE) is None
        self._ocio_name = "" if is_video else self.name
        if is_video:
            self._curve, matrix = _Curve("srgb"), np.eye(3)
            weights = weights_from_chromaticities(_CHROMATICITIES["Rec.709"])
        else:
            self._refuse_data(known)
            self._anchor, self._anchor_to_rec709 = _anchor(self.config)
            self._curve, primaries, matrix = self._probe()
            weights = self._own_weights(known, primaries, matrix)
            self._own_linear = next(
                (found for name in _LINEAR_NAMES.get(primaries or "", ()) if (found := _find(known, name))), None
            )
        self.linear = self._curve.kind == "linear"
        self.channelwise = self._curve.kind != "ocio"
        self._to_rec709 = _snap_identity(matrix)
        self._from_rec709 = None if self._to_rec709 is None else np.linalg.inv(self._to_rec709).astype(np.float32)
        self.luminance_weights = (float(weights[0]), float(weights[1]), float(weights[2]))
        if self.linear:
            self.ceiling = 65504.0
        else:
            self.ceiling = float(max(self.to_linear(np.ones((1, 1, 3), np.float32)).min(), 1e-6))

    def __repr__(self) -> str:
        return f"ColourSpace({self.name!r}, config={self.config!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ColourSpace) and (self.name, self.config) == (other.name, other.config)

    def __hash__(self) -> int:
        return hash((self.name, self.config))

    def same_codes(self, other: ColourSpace) -> bool:
        """Whether the same code values mean the same light in both, whatever they are called."""
        if self == other:
            return True
        if self._curve.kind == "ocio" or self._curve != other._curve:
            return False
        one, two = (np.eye(3) if space._to_rec709 is None else space._to_rec709 for space in (self, other))
        return bool(np.allclose(one, two, atol=1e-4))

    # -- light in the space's own primaries ------------------------------------------------------------------------

    def to_linear(self, rgb: FloatArray) -> FloatArray:
        """Code values of this space -> light in its own primaries; the same array for a linear space."""
        curve = self._curve
        if curve.kind == "linear":
            return rgb
        if curve.kind == "srgb":
            return srgb_decode(rgb)
        if curve.kind == "gamma":
            return _power(rgb, curve.gamma, curve.negatives)
        if self._own_linear is not None:
            return self._ocio(rgb, self._ocio_name, self._own_linear)
        light = self._ocio(rgb, self._ocio_name, self._anchor)
        light = _apply(light, self._anchor_to_rec709)
        return _apply(light, self._from_rec709)

    def from_linear(self, light: FloatArray) -> FloatArray:
        """Light in this space's own primaries -> its code values."""
        curve = self._curve
        if curve.kind == "linear":
            return light
        if curve.kind == "srgb":
            return srgb_encode(light)
        if curve.kind == "gamma":
            return _power(light, 1.0 / curve.gamma, curve.negatives)
        if self._own_linear is not None:
            return self._ocio(light, self._own_linear, self._ocio_name)
        anchored = _apply(light, self._to_rec709)
        back = None if self._anchor_to_rec709 is None else np.linalg.inv(self._anchor_to_rec709)
        return self._ocio(_apply(anchored, back), self._anchor, self._ocio_name)

    def linear_to_rec709(self, light: FloatArray) -> FloatArray:
        """Light in this space's primaries -> light in Rec.709 primaries (unclamped)."""
        return _apply(light, self._to_rec709)

    def linear_from_rec709(self, light: FloatArray) -> FloatArray:
        """Light in Rec.709 primaries -> light in this space's primaries (unclamped)."""
        return _apply(light, self._from_rec709)

    def planes_from_rec709(self, planes: list[FloatArray]) -> list[FloatArray]:
        """:meth:`linear_from_rec709` on three separate planes of one shape; linear, so it takes differences too."""
        matrix = self._from_rec709
        if matrix is None:
            return planes
        return [planes[0] * row[0] + planes[1] * row[1] + planes[2] * row[2] for row in matrix]

    def luminance(self, rgb: FloatArray) -> FloatArray:
        """Relative luminance (...) float32 of code values (..., 3) of this space: weights over :meth:`to_linear`.

        A pixel with three equal channels has exactly that light as its luminance.
        """
        light = self.to_linear(rgb)
        red, green, blue = light[..., 0], light[..., 1], light[..., 2]
        _, green_weight, blue_weight = (np.float32(weight) for weight in self.luminance_weights)
        # Written around red so that equal channels give their value without rounding.
        result: FloatArray = red + green_weight * (green - red) + blue_weight * (blue - red)
        return result

    # -- the display -----------------------------------------------------------------------------------------------

    def to_display(self, rgb: FloatArray) -> FloatArray:
        """This space -> the picture on an sRGB monitor: (H, W, 3) float32 code values clamped to [0, 1].

        A plain view without tone curve: light is clamped at 1 and encoded, so that scene-linear 0.18 becomes 0.46 and
        an ordinary picture looks as it did when it was delivered. Values may be as large as they like; NaN stays NaN.
        """
        if self._curve.kind == "srgb" and self._to_rec709 is None:
            return np.clip(rgb, np.float32(0.0), np.float32(1.0))
        # Beyond these bounds the display has long been at its end, and float32 would overflow on the way.
        bound = np.float32(1e6 if self.linear else 1e2)
        light = np.clip(self.to_linear(np.clip(rgb, -bound, bound)), np.float32(-1e9), np.float32(1e9))
        light = self.linear_to_rec709(light)
        return srgb_encode(np.clip(light, np.float32(0.0), np.float32(1.0)))

    def from_display(self, rgb: FloatArray) -> FloatArray:
        """sRGB code values (H, W, 3) float32 -> this space; the inverse of :meth:`to_display` inside [0, 1]."""
        if self._curve.kind == "srgb" and self._to_rec709 is None:
            return np.array(rgb, dtype=np.float32)
        return self.from_linear(self.linear_from_rec709(srgb_decode(np.asarray(rgb, np.float32))))

    # -- opening a space -------------------------------------------------------------------------------------------

    def _refuse_data(self, known: Any) -> None:
        is_data = getattr(known, "isData", None)
        if (is_data is not None and is_data(self.name)) or _plain(self.name) in {
            "raw",
            "data",
            "utilityraw",
            "noncolor",
        }:
            raise InputError(f'"{self.name}" holds data, not colour; name the colour space the plate is in.')

    def _ocio(self, rgb: FloatArray, source: str, target: str) -> FloatArray:
        flat = np.ascontiguousarray(rgb, dtype=np.float32)
        shape = flat.shape
        if flat.ndim != 3:
            flat = flat.reshape(1, -1, 3)
        converted = oiio.ImageBufAlgo.colorconvert(oiio.ImageBuf(flat), source, target, False, "", "", self.config)
        if converted.has_error:
            raise InputError(f'OCIO cannot convert "{source}" to "{target}": {_one_line(converted.geterror())}.')
        return np.asarray(converted.get_pixels(oiio.FLOAT), dtype=np.float32).reshape(shape)

    def _probe_rec709(self, codes: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Rec.709 light of probe colours (N, 3) by OCIO."""
        probes = np.asarray(codes, np.float32)[None]
        light: npt.NDArray[np.float64] = self._ocio(probes, self._ocio_name, self._anchor)[0].astype(np.float64)
        if self._anchor_to_rec709 is not None:
            light = light @ self._anchor_to_rec709.T
        return light

    def _probe(self) -> tuple[_Curve, str | None, npt.NDArray[np.float64]]:
        """Curve, name of the primaries if known, and the matrix from the space's own light to Rec.709."""
        generator = np.random.default_rng(0)
        colours = generator.uniform(-0.5, 4.0, (32, 3))
        ramp = np.repeat(_CURVE_PROBES[:, None], 3, axis=1)
        inside = generator.uniform(0.05, 0.95, (24, 3))
        mixed = np.concatenate([inside[:, :1], generator.uniform(0.05, 0.95, (24, 2))], axis=1)
        probes: list[npt.NDArray[Any]] = [np.eye(3), np.zeros((1, 3)), colours, ramp, inside, mixed]
        lights = np.split(self._probe_rec709(np.concatenate(probes)), np.cumsum([len(probe) for probe in probes])[:-1])
        basis, zero, answer, ramp_light, inside_light, mixed_light = lights
        if np.allclose(zero, 0.0, atol=1e-6) and np.allclose(colours @ basis, answer, rtol=1e-4, atol=1e-4):
            matrix = basis.T
            primaries = next((n for n in _CHROMATICITIES if np.allclose(_to_rec709(n), matrix, atol=2e-4)), None)
            return _Curve("linear"), primaries, matrix if primaries is None else _to_rec709(primaries)
        for primaries in _CHROMATICITIES:
            back = np.linalg.inv(_to_rec709(primaries)).T
            first, second = inside_light @ back, mixed_light @ back
            scale = np.abs(first[:, 0]) + 1e-3
            if np.all(np.abs(first[:, 0] - second[:, 0]) < 2e-3 * scale):
                light = (ramp_light @ back).mean(axis=1)
                return _recognise(light), primaries, _to_rec709(primaries)
        return _Curve("ocio"), "Rec.709", np.eye(3)

    def _own_weights(
        self, known: Any, primaries: str | None, matrix: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        if primaries is not None:
            return weights_from_chromaticities(_CHROMATICITIES[primaries])
        stated = known.get_chromaticities(self.name) if hasattr(known, "get_chromaticities") else None
        if stated is not None and len(stated) == 8 and min(stated[1::2]) > 0.01:
            return weights_from_chromaticities(stated)
        weights = weights_from_chromaticities(_CHROMATICITIES["Rec.709"]) @ matrix
        return np.asarray(weights / weights.sum(), dtype=np.float64)


def convert(rgb: FloatArray, source: ColourSpace, target: ColourSpace, alpha: FloatArray | None = None) -> FloatArray:
    """Code values (H, W, 3) float32 of one space as those of another; unclamped. The same array where they agree.

    ``alpha`` (H, W): what the values are multiplied by, and are again afterwards. A curve is meant for the values
    without it: that of half a white is not half the curve of white.
    """
    if source.same_codes(target):
        return rgb
    if alpha is not None:
        share = np.where(alpha > 0, np.maximum(alpha, np.float32(1e-6)), np.float32(1.0)).astype(np.float32)[..., None]
        return np.asarray(convert(rgb / share, source, target) * share, dtype=np.float32)
    light = source.linear_to_rec709(source.to_linear(rgb))
    return np.asarray(target.from_linear(target.linear_from_rec709(light)), dtype=np.float32)


def weights_from_chromaticities(chromaticities: Sequence[float]) -> npt.NDArray[np.float64]:
    """Luminance weights (3,) of (xr, yr, xg, yg, xb, yb, xw, yw): the Y row of RGB to XYZ (SMPTE RP 177)."""
    return np.asarray(_rgb_to_xyz(chromaticities)[1], dtype=np.float64)


def _rgb_to_xyz(chromaticities: Sequence[float]) -> npt.NDArray[np.float64]:
    xr, yr, xg, yg, xb, yb, xw, yw = (float(value) for value in chromaticities)
    columns = np.array([[x / y, 1.0, (1.0 - x - y) / y] for x, y in ((xr, yr), (xg, yg), (xb, yb))]).T
    white = np.array([xw / yw, 1.0, (1.0 - xw - yw) / yw])
    return np.asarray(columns * np.linalg.solve(columns, white), dtype=np.float64)


@functools.lru_cache(maxsize=16)
def _to_rec709(primaries: str) -> npt.NDArray[np.float64]:
    """Matrix from linear light of these primaries to Rec.709, white to white by Bradford adaptation."""
    source, target = _CHROMATICITIES[primaries], _CHROMATICITIES["Rec.709"]
    one, other = _rgb_to_xyz(source), _rgb_to_xyz(target)
    white_from, white_to = _BRADFORD @ one.sum(axis=1), _BRADFORD @ other.sum(axis=1)
    adapt = np.linalg.inv(_BRADFORD) @ np.diag(white_to / white_from) @ _BRADFORD
    return np.asarray(np.linalg.inv(other) @ adapt @ one, dtype=np.float64)


@functools.lru_cache(maxsize=8)
def _anchor(config: str) -> tuple[str, npt.NDArray[np.float64] | None]:
    """A linear space of the config with known primaries, and its matrix to Rec.709 (None: it is Rec.709)."""
    known = _open_config(config)
    for candidate in _LINEAR_REC709:
        found = _find(known, candidate)
        if found is not None:
            return found, None
    for role, primaries in (("aces_interchange", "AP0"), ("ACES2065-1", "AP0"), ("ACEScg", "AP1")):
        found = _find(known, role)
        if found is not None:
            return found, _to_rec709(primaries)
    raise InputError(
        f"The OCIO config {config} has neither a linear Rec.709 space nor an ACES one, so plates cannot be "
        "brought to the display; add the role aces_interchange or unset $OCIO."
    )


def _recognise(light: npt.NDArray[np.float64]) -> _Curve:
    """The curve that turns the probe codes into this light, if it is a simple one."""
    codes = _CURVE_PROBES
    body = (codes >= 0.0) & (codes <= 2.0)
    expected = srgb_decode(codes)
    if np.all(np.abs(light - expected)[body] <= _SRGB_TOLERANCE * np.abs(expected[body]) + 1e-6):
        return _Curve("srgb")
    half = light[int(np.argmin(np.abs(codes - 0.5)))]
    if 0.0 < half < 1.0:
        gamma = float(np.log(half) / np.log(0.5))
        gamma = round(gamma, 1) if abs(gamma - round(gamma, 1)) < 2e-3 else gamma
        expected = np.power(np.maximum(codes, 0.0), np.float32(gamma))
        if np.all(np.abs(light - expected)[body] <= 2 * _SRGB_TOLERANCE * expected[body] + 1e-5):
            return _Curve("gamma", gamma, "mirror" if light[0] < -1e-3 else "clamp")
    return _Curve("ocio")


def _snap_identity(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float32] | None:
    return None if np.allclose(matrix, np.eye(3), atol=2e-5) else matrix.astype(np.float32)


def _apply(light: FloatArray, matrix: npt.NDArray[np.floating[Any]] | None) -> FloatArray:
    """Matrix (3, 3) on the last axis; None is identity."""
    if matrix is None:
        return light
    result: FloatArray = light @ matrix.T.astype(np.float32)
    return result


def _power(values: FloatArray, exponent: float, negatives: str) -> FloatArray:
    size = np.power(np.abs(values), np.float32(exponent))
    result: FloatArray = np.copysign(size, values) if negatives == "mirror" else np.where(values > 0, size, 0)
    return result.astype(np.float32, copy=False)

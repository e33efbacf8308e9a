import numpy as np
import OpenImageIO as oiio  # noqa: N813 - the name its own documentation uses
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colormnet.colour import spaces
from colormnet.colour.spaces import PINNED_CONFIG, ColourSpace, default_space, resolve
from colormnet.errors import InputError

NAMES = [name for name in spaces.space_names(PINNED_CONFIG) if name != "Raw"]


@pytest.fixture(autouse=True)
def no_studio_config(monkeypatch):
    monkeypatch.delenv("OCIO", raising=False)


def ocio(pixels, source, target, config=PINNED_CONFIG):
    image = oiio.ImageBuf(np.ascontiguousarray(pixels, dtype=np.float32))
    done = oiio.ImageBufAlgo.colorconvert(image, source, target, False, "", "", config)
    assert not done.has_error, done.geterror()
    return done.get_pixels(oiio.FLOAT)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scene-linear Rec.709", "Linear Rec.709 (sRGB)"),
        ("linear", "Linear Rec.709 (sRGB)"),
        ("lin_rec709", "Linear Rec.709 (sRGB)"),
        ("Utility - Linear - sRGB", "Linear Rec.709 (sRGB)"),
        ("sRGB", "sRGB - Texture"),
        ("srgb_tx", "sRGB - Texture"),
        ("Rec.709", "Rec.709"),
        ("rec709", "Rec.709"),
        ("ACEScg", "ACEScg"),
        ("acescg", "ACEScg"),
        ("ACES2065-1", "ACES2065-1"),
        ("scene_linear", "ACEScg"),
        ("bt.1886", "Rec.1886 Rec.709 - Display"),
        ("linear rec.2020", "Linear Rec.2020"),
    ],
)
def test_names_aliases_and_roles(name, expected):
    assert resolve(name) == expected


@pytest.mark.parametrize(
    ("name", "near"), [("ACESg", "ACEScg"), ("srbg", "sRGB"), ("rec708", "Rec.709"), ("zzz", "it has")]
)
def test_unknown_space_offers_near_names(name, near):
    with pytest.raises(InputError, match=near.replace(".", r"\.")) as caught:
        resolve(name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_data_is_not_colour():
    with pytest.raises(InputError, match="data"):
        ColourSpace("Raw")


def test_scene_linear_mid_grey_on_the_display():
    shown = ColourSpace("linear").to_display(np.full((1, 1, 3), 0.18, np.float32))
    assert shown == pytest.approx(0.46135, abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_display_agrees_with_opencolorio(name):
    """Our direct computation against the library, inside the display's range (it clamps nothing itself)."""
    random = np.random.default_rng(0)
    inside = ocio(random.uniform(0.02, 0.98, (8, 8, 3)), "sRGB - Texture", name)
    expected = ocio(inside, name, "sRGB - Texture")
    assert np.abs(ColourSpace(name).to_display(inside) - expected).max() < 3e-4
    assert np.abs(ColourSpace(name).from_display(expected) - inside).max() < 6e-4 * max(1.0, np.abs(inside).max())


@pytest.mark.parametrize("name", [*NAMES, "Rec.709"])
def test_light_and_back(name):
    space = ColourSpace(name)
    # A log space spans so much light that the library's own matrices round its dark channels beside bright ones.
    low, high = (0.4, 0.5) if name == "ACEScc" else (0.05, 1.0)
    codes = np.random.default_rng(1).uniform(low, high, (6, 6, 3)).astype(np.float32)
    back = space.from_linear(space.to_linear(codes))
    assert np.abs(back - codes).max() < 2e-5


def test_video_is_taken_code_for_code():
    codes = np.random.default_rng(1).uniform(0, 1, (6, 6, 3)).astype(np.float32)
    assert np.array_equal(ColourSpace("Rec.709").to_display(codes), codes)


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("linear", (0.2126, 0.7152, 0.0722)),
        ("sRGB", (0.2126, 0.7152, 0.0722)),
        ("Rec.709", (0.2126, 0.7152, 0.0722)),
        ("ACEScg", (0.2722, 0.6741, 0.0537)),
        ("ACEScct", (0.2722, 0.6741, 0.0537)),
        ("ACES2065-1", (0.3440, 0.7282, -0.0721)),
        ("lin_rec2020", (0.2627, 0.6780, 0.0593)),
        ("lin_p3d65", (0.2290, 0.6917, 0.0793)),
        ("cie_xyz_d65", (0.0, 1.0, 0.0)),
    ],
)
def test_own_luminance_weights(name, weights):
    assert ColourSpace(name).luminance_weights == pytest.approx(weights, abs=1e-4)
    assert sum(ColourSpace(name).luminance_weights) == pytest.approx(1.0, abs=1e-6)


LINEAR = [ColourSpace(name, PINNED_CONFIG) for name in ("linear", "ACEScg", "ACES2065-1")]


@given(st.floats(-1e6, 1e6, width=32), st.sampled_from(LINEAR))
def test_luminance_of_grey_is_exactly_its_value(value, space):
    grey = np.full((1, 1, 3), value, np.float32)
    assert space.luminance(grey)[0, 0] == np.float32(value)


def test_huge_and_negative_values_reach_the_display_clamped():
    plate = np.array([[[65504, 1e30, 3e38], [-5, -1e30, 0], [3e38, 3e38, -3e38]]], np.float32)
    for name in ("linear", "ACEScg", "sRGB", "Rec.1886 Rec.709 - Display", "ACEScct"):
        shown = ColourSpace(name).to_display(plate)
        assert np.isfinite(shown).all()
        assert shown.min() >= 0.0
        assert shown.max() <= 1.0


def test_defaults_by_format():
    assert default_space("exr") == "Linear Rec.709 (sRGB)"
    ap1 = (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767)
    rec709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
    assert default_space("exr", True, None, ap1) == "ACEScg"
    assert default_space("exr", True, None, rec709) == "Linear Rec.709 (sRGB)"
    for kind in ("png", "jpeg", "tiff"):
        assert default_space(kind) == "sRGB - Texture"
    assert default_space("tiff", True) == "Linear Rec.709 (sRGB)"
    assert default_space("movie", tag="bt709") == "Rec.709"
    assert default_space("dpx", tag="ITU-R 709-4") == "Rec.709"
    assert default_space("dpx", tag="User defined") == "Rec.709"
    assert default_space("dpx", tag="Linear") == "Linear Rec.709 (sRGB)"
    for tag in ("KodakLog", "Printing density", "Logarithmic"):
        with pytest.raises(InputError, match="logarithmic"):
            default_space("dpx", tag=tag)
    assert default_space("movie", tag="smpte2084") == "Rec.2100-PQ - Display"
    with pytest.raises(InputError, match="HLG"):
        default_space("movie", tag="arib-std-b67")


STUDIO = """
ocio_profile_version: 2
roles:
  scene_linear: house_linear
  aces_interchange: ap0
  default: house_linear
file_rules:
  - !<Rule> {name: Default, colorspace: house_linear}
displays:
  monitor:
    - !<View> {name: Raw, colorspace: house_linear}
active_displays: []
active_views: []
colorspaces:
  - !<ColorSpace>
    name: ap0
  - !<ColorSpace>
    name: house_linear
    to_scene_reference: !<MatrixTransform> {matrix: [0.5, 0.2, 0.3, 0, 0.1, 0.8, 0.1, 0, 0, 0.1, 0.9, 0, 0, 0, 0, 1]}
  - !<ColorSpace>
    name: house_log
    to_scene_reference: !<GroupTransform>
      children:
        - !<LogTransform> {base: 2, direction: inverse}
        - !<MatrixTransform> {matrix: [0.5, 0.2, 0.3, 0, 0.1, 0.8, 0.1, 0, 0, 0.1, 0.9, 0, 0, 0, 0, 1]}
"""


def test_studio_config_is_honoured(tmp_path, monkeypatch):
    path = tmp_path / "config.ocio"
    path.write_text(STUDIO)
    monkeypatch.setenv("OCIO", str(path))
    space = ColourSpace("scene_linear")
    assert (space.name, space.config, space.linear) == ("house_linear", str(path), True)
    assert sum(space.luminance_weights) == pytest.approx(1.0)
    grey = np.full((1, 1, 3), 0.18, np.float32)
    assert space.to_display(grey) == pytest.approx(0.46135, abs=1e-3)
    log = ColourSpace("house_log")
    assert not log.linear
    codes = np.random.default_rng(0).uniform(-3, 0, (3, 4, 3)).astype(np.float32)
    assert np.abs(log.from_linear(log.to_linear(codes)) - codes).max() < 1e-4
    assert default_space("exr") == "house_linear"
    with pytest.raises(InputError, match=r"config\.ocio"):
        resolve("ACEScg")
    assert ColourSpace("ACEScg", PINNED_CONFIG).name == "ACEScg"


def test_config_that_is_not_there_or_broken(tmp_path, monkeypatch):
    monkeypatch.setenv("OCIO", str(tmp_path / "none.ocio"))
    with pytest.raises(InputError, match="does not exist"):
        resolve("sRGB")
    (tmp_path / "bad.ocio").write_text("not: [a config")
    monkeypatch.setenv("OCIO", str(tmp_path / "bad.ocio"))
    with pytest.raises(InputError, match=r"bad\.ocio cannot be used"):
        resolve("sRGB")

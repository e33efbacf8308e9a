import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from colormnet.colour.lab import display_to_lab, lab_to_display
from colormnet.colour.spaces import ColourSpace
from colormnet.colour.transfer import contain, plate_luminance, transfer
from colormnet.errors import InputError

LINEAR = ["linear", "ACEScg", "ACES2065-1", "lin_rec2020", "lin_p3d65"]
ENCODED = ["sRGB", "Rec.709", "Rec.1886 Rec.709 - Display", "Gamma 2.2 AP1 - Texture", "sRGB Encoded P3-D65 - Texture"]
SPACES = {name: ColourSpace(name) for name in [*LINEAR, *ENCODED, "ACEScct"]}

half_floats = st.floats(-65504, 65504, width=16, allow_nan=False, allow_infinity=False)
# All magnitudes of a half float alike, from the denormals up.
hdr = st.one_of(
    half_floats, st.builds(lambda e, s: np.float16(s * 2.0**e), st.floats(-20, 15.9), st.sampled_from([1, 1, -1]))
)
chroma = hnp.arrays(np.float32, (2, 3, 4), elements=st.floats(-1.25, 1.25, width=32))


def grey(values):
    return np.repeat(np.asarray(values, np.float32)[..., None], 3, axis=-1)


def assert_luminance_kept(space, before, after, unit=2.0**-11):
    """Within one rounding of a half float of every channel, that is half precision of the luminance."""
    one, other = space.luminance(before).astype(np.float64), space.luminance(after).astype(np.float64)
    spread = np.abs(np.asarray(space.luminance_weights)) @ np.moveaxis(np.abs(space.to_linear(after)), -1, 0).reshape(
        3, -1
    )
    limit = unit * np.maximum(spread.reshape(one.shape), np.abs(one)) + 2.0**-24
    worst = np.abs(one - other) - limit
    assert (worst <= 0).all(), (before[worst > 0][0], after[worst > 0][0])


@settings(max_examples=40)
@given(hnp.arrays(np.float16, (3, 4), elements=hdr), chroma, st.sampled_from(LINEAR), st.floats(0, 3))
def test_scene_linear_luminance_survives_half_floats(values, ab, name, saturation):
    space, plate = SPACES[name], grey(values)
    coloured = transfer(plate, ab, space, saturation)
    stored = coloured.astype(np.float16).astype(np.float32)
    assert np.isfinite(stored).all()
    assert_luminance_kept(space, plate, stored)
    assert_luminance_kept(space, plate, coloured, unit=4e-6)


@settings(max_examples=40)
@given(
    hnp.arrays(np.float32, (3, 4, 3), elements=st.floats(-4, 50, width=32)),
    chroma,
    st.sampled_from(LINEAR),
    st.floats(0, 2),
)
def test_luminance_of_a_plate_that_has_colour_survives(plate, ab, name, saturation):
    space = SPACES[name]
    coloured = transfer(plate, ab, space, saturation)
    assert np.isfinite(coloured).all()
    before, after = space.luminance(plate), space.luminance(coloured)
    assert np.all(np.abs(before - after) <= 1e-5 * np.abs(plate).max(axis=-1) + 1e-7)


@settings(max_examples=40)
@given(
    hnp.arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)), chroma, st.sampled_from([*ENCODED, "ACEScct"])
)
def test_encoded_pictures_keep_light_and_stay_in_range(values, ab, name):
    space, plate = SPACES[name], grey(values)
    coloured = transfer(plate, ab, space)
    assert coloured.min() >= min(0.0, values.min()) - 1e-6
    assert coloured.max() <= 1.0 + 2e-5
    before, after = space.luminance(plate), space.luminance(coloured)
    assert np.all(np.abs(before - after) <= 3e-5 * np.maximum(before, 1e-3))


@pytest.mark.parametrize("name", SPACES)
def test_no_chroma_on_a_grey_plate_is_bit_exact(name):
    values = np.random.default_rng(0).normal(0.3, 2.0, (40, 50)).astype(np.float16)
    values[:2, :3] = [[np.nan, np.inf, -np.inf], [0.0, -0.0, 65504]]
    plate = grey(values)
    for ab, saturation in ((np.zeros((2, 40, 50), np.float32), 1.0), (np.ones((2, 40, 50), np.float32), 0.0)):
        result = transfer(plate, ab, SPACES[name], saturation)
        assert np.array_equal(result.view(np.uint32), plate.view(np.uint32))


@pytest.mark.parametrize("name", SPACES)
def test_dark_and_negative_and_broken_pixels_are_left_alone(name):
    plate = np.array(
        [[[0, 0, 0], [-1, -1, -1], [-0.5, -0.2, -0.01], [np.nan, 1, 1], [1, np.inf, 1], [np.inf] * 3]], np.float32
    )
    result = transfer(plate, np.full((2, 1, 6), 0.3, np.float32), SPACES[name])
    assert np.array_equal(result, plate, equal_nan=True)


def test_truth_comes_back_on_its_own_grey():
    """Luminance and chroma of a picture, taken apart and put together."""
    rgb = np.random.default_rng(0).uniform(0.02, 1, (30, 40, 3)).astype(np.float32)
    luminance, ab = display_to_lab(rgb)
    plate = lab_to_display(luminance, np.zeros_like(ab))
    for name in ("sRGB", "Rec.709"):
        assert np.abs(transfer(plate, ab, SPACES[name]) - rgb).max() < 2e-3
    linear = SPACES["linear"]
    coloured = transfer(linear.from_display(plate), ab, linear)
    assert np.abs(linear.to_display(coloured) - rgb).max() < 2e-3
    for name in ("ACEScg", "ACES2065-1", "ACEScct"):
        space = SPACES[name]
        coloured = transfer(space.from_display(plate), ab, space)
        assert np.abs(space.to_display(coloured) - rgb).mean() < 0.01  # their white and weights differ a little


def test_highlights_keep_the_hue_of_white_scaled():
    values = np.float32([[1.0, 2.0, 8.0, 100.0]])
    ab = np.broadcast_to(np.float32([[[0.2]], [[0.3]]]), (2, 1, 4))
    coloured = transfer(grey(values), ab, SPACES["linear"])
    ratio = coloured / values[..., None]
    assert np.allclose(ratio, ratio[:, :1], rtol=1e-5)
    assert ratio[0, 0, 0] > 1.2 > 0.8 > ratio[0, 0, 2]


def test_saturation_scales_the_distance_from_grey():
    plate, ab = grey(np.full((1, 1), 0.5)), np.float32([[[0.1]], [[-0.1]]])
    spread = [np.ptp(transfer(plate, ab, SPACES["linear"], amount)) for amount in (0.0, 0.5, 1.0, 2.0)]
    assert spread[0] == 0.0
    assert spread[1] < spread[2] < spread[3]


def test_ceiling_keeps_an_integer_file_in_range():
    values = np.float32([[0.5, 0.9, 0.99, 1.0, 1.5]])
    ab = np.full((2, 1, 5), 0.5, np.float32)
    coloured = transfer(grey(values), ab, SPACES["linear"], ceiling=1.0)
    assert coloured[0, :4].max() <= 1.0 + 1e-6
    assert np.ptp(coloured[0, 4]) == 0.0  # brighter than the ceiling: grey
    assert np.ptp(coloured[0, 0]) > 0.1
    assert SPACES["linear"].luminance(coloured)[0] == pytest.approx(values[0], rel=1e-5)


def test_colour_comes_up_continuously_from_black():
    values = np.float32([np.linspace(0, 0.002, 2000)])
    coloured = transfer(grey(values), np.full((2, 1, 2000), 0.3, np.float32), SPACES["linear"])
    assert np.abs(np.diff(coloured[0], axis=0)).max() < 2e-5
    assert coloured.min() >= -1e-9


def test_the_plate_is_not_written_to_and_views_are_fine():
    plate = grey(np.random.default_rng(0).uniform(0, 2, (20, 31)))
    copy, ab = plate.copy(), np.full((2, 20, 31), 0.2, np.float32)
    whole = transfer(plate, ab, SPACES["linear"])
    assert np.array_equal(plate, copy)
    assert np.array_equal(transfer(plate[::2, ::-1], ab[:, ::2, ::-1], SPACES["linear"]), whole[::2, ::-1])
    plate.flags.writeable = False
    transfer(plate, ab, SPACES["sRGB"])


def test_blocks_do_not_show():
    """Large pictures are computed in blocks; a pixel does not depend on the block it is in."""
    random = np.random.default_rng(0)
    plate, ab = grey(random.uniform(-0.1, 3, (300, 700))), random.normal(0, 0.2, (2, 300, 700)).astype(np.float32)
    whole = transfer(plate, ab, SPACES["ACEScg"])
    assert np.array_equal(whole[123:130], transfer(plate[123:130], ab[:, 123:130], SPACES["ACEScg"]))


def test_shapes_and_saturation_are_checked():
    plate, ab = grey(np.zeros((4, 5))), np.zeros((2, 4, 5), np.float32)
    for bad in (ab[:, :3], ab[:1]):
        with pytest.raises(InputError):
            transfer(plate, bad, SPACES["linear"])
    for saturation in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="saturation"):
            transfer(plate, ab, SPACES["linear"], saturation)


@pytest.mark.parametrize("name", SPACES)
def test_plate_luminance_of_grey_and_colour_agree_with_the_display(name):
    space = SPACES[name]
    random = np.random.default_rng(0)
    for plate in (grey(random.normal(0.4, 0.5, (10, 12))), random.normal(0.4, 0.5, (10, 12, 3)).astype(np.float32)):
        luminance, count = plate_luminance(plate, space)
        expected, _ = display_to_lab(space.to_display(plate))
        assert count == 0
        assert luminance.dtype == np.float32
        assert np.abs(luminance - expected).max() < 2e-5
        assert luminance.min() >= -1.0 - 1e-6
        assert luminance.max() <= 1.0 + 1e-6


def test_broken_pixels_are_counted_and_contained():
    plate = grey(np.full((20, 20), 0.5))
    plate[3, 4] = np.nan
    plate[8, 8, 1] = np.inf
    plate[9, 8] = [-np.inf, 0, 0]
    clean, count = contain(plate)
    assert count == 3
    assert np.allclose(clean, 0.5)
    assert np.isnan(plate[3, 4]).all()  # the plate itself keeps them
    luminance, counted = plate_luminance(plate, SPACES["linear"])
    assert counted == 3
    assert np.ptp(luminance) < 1e-5
    same, none = contain(clean)
    assert same is clean
    assert none == 0


def test_frames_with_hardly_a_finite_pixel():
    plate = np.full((30, 40, 3), np.nan, np.float32)
    clean, count = contain(plate)
    assert (count, np.abs(clean).max()) == (1200, 0.0)
    plate[0, 0] = 0.25
    clean, count = contain(plate)
    assert count == 1199
    assert np.allclose(clean, 0.25)
    huge, none = contain(np.full((4, 4, 3), 3e38, np.float32))
    assert none == 0
    assert np.isfinite(huge).all()

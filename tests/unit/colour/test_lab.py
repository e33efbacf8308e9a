import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from colormnet.colour.lab import (
    display_luminance,
    display_to_lab,
    lab_to_display,
    srgb_decode,
    srgb_encode,
)

colours = hnp.arrays(np.float32, (3, 4, 3), elements=st.floats(0, 1, width=32))


@settings(max_examples=25)
@given(colours)
def test_agrees_with_scikit_image(rgb):
    from skimage.color import rgb2lab

    luminance, ab = display_to_lab(rgb)
    expected = rgb2lab(rgb.astype(np.float64))
    assert np.abs(luminance * 50 + 50 - expected[..., 0]).max() < 1e-3
    assert np.abs(ab * 110 - np.moveaxis(expected[..., 1:], -1, 0)).max() < 2e-3
    assert np.abs(display_luminance(rgb) - luminance).max() < 1e-6


@settings(max_examples=25)
@given(colours)
def test_round_trip(rgb):
    assert np.abs(lab_to_display(*display_to_lab(rgb)) - rgb).max() < 1e-4


def test_grey_has_no_chroma_and_known_lightness():
    grey = np.full((1, 1, 3), 119 / 255, np.float32)
    luminance, ab = display_to_lab(grey)
    assert abs(luminance[0, 0] * 50 + 50 - 50.03) < 0.01
    assert np.abs(ab).max() < 1e-4  # the white of the matrix and of the definition differ in the fifth place


@settings(max_examples=25)
@given(hnp.arrays(np.float32, 8, elements=st.floats(-100, 100, width=32)))
def test_curve_is_invertible_beyond_its_range(light):
    back = srgb_decode(srgb_encode(light))
    assert np.all(np.abs(back - light) <= 2e-5 * np.abs(light) + 1e-6)


def test_out_of_gamut_colours_are_clamped():
    shown = lab_to_display(np.full((1, 1), 0.9, np.float32), np.full((2, 1, 1), 1.0, np.float32))
    assert shown.min() >= 0.0
    assert shown.max() <= 1.0

import math

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import structural_similarity

from colormnet.evaluation import metrics

pictures = arrays(np.uint8, (6, 5, 3))


def flat(value, size=(12, 16)):
    return np.full((*size, 3), value, np.uint8)


@pytest.mark.parametrize("offset", [1, 10, 100])
def test_true_psnr_of_an_even_offset_is_the_textbook_value(offset):
    assert metrics.psnr(flat(100), flat(100 + offset)) == pytest.approx(20 * math.log10(255 / offset))


@given(pictures, pictures)
def test_true_psnr_never_wraps_and_is_symmetric(first, second):
    error = np.mean((first.astype(float) - second.astype(float)) ** 2)
    expected = 100.0 if error == 0 else min(100.0, 10 * math.log10(255**2 / error))
    assert metrics.psnr(first, second) == pytest.approx(expected)
    assert metrics.psnr(second, first) == metrics.psnr(first, second)


def test_the_wrapped_scale_flatters_large_errors():
    # 16 squared is 256, which an 8-bit square wraps to 0: a visible error that this scale calls perfect.
    assert metrics.psnr_wrapped_uint8(flat(100), flat(116)) == metrics.PSNR_CEILING
    assert metrics.psnr(flat(100), flat(116)) == pytest.approx(24.05, abs=0.01)


@given(arrays(np.int16, (6, 5, 3), elements=st.integers(-15, 15)))
def test_the_wrapped_scale_agrees_with_the_true_one_while_nothing_wraps(difference):
    truth = np.full((6, 5, 3), 128, np.uint8)
    result = (128 + difference).astype(np.uint8)
    assert metrics.psnr_wrapped_uint8(truth, result) == pytest.approx(metrics.psnr(truth, result))


def test_chroma_psnr_is_in_lab_units():
    truth = np.zeros((2, 4, 4), np.float32)
    result = truth + np.float32(11.0 / 110.0)  # 11 units of a and b everywhere
    assert metrics.psnr_chroma(truth, result) == pytest.approx(20 * math.log10(255 / 11), abs=1e-4)
    assert metrics.psnr_chroma(truth, truth) == metrics.PSNR_CEILING


def test_ssim_of_flat_pictures_is_the_luminance_term():
    first, second, constant = 100.0, 150.0, (0.01 * 255) ** 2
    expected = (2 * first * second + constant) / (first**2 + second**2 + constant)
    assert metrics.ssim(flat(100), flat(150)) == pytest.approx(expected, abs=1e-5)


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.sampled_from([2.0, 20.0, 200.0]))
def test_ssim_is_that_of_scikit_image(seed, noise):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 256, (20, 24, 3), dtype=np.uint8)
    result = np.clip(truth + generator.normal(0, noise, truth.shape), 0, 255).astype(np.uint8)
    expected = structural_similarity(
        truth, result, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert metrics.ssim(truth, result) == pytest.approx(expected, abs=1e-5)


def test_ssim_falls_with_noise():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 256, (32, 40, 3), dtype=np.uint8)
    little = np.clip(truth + generator.normal(0, 5, truth.shape), 0, 255).astype(np.uint8)
    much = np.clip(truth + generator.normal(0, 50, truth.shape), 0, 255).astype(np.uint8)
    assert metrics.ssim(truth, truth) == pytest.approx(1.0)
    assert metrics.ssim(truth, truth) > metrics.ssim(truth, little) > metrics.ssim(truth, much)


def test_colourfulness_of_half_red_half_blue_by_hand():
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[:2, :, 0] = 255
    picture[2:, :, 2] = 255
    # red - green: 255 and 0; (red + green) / 2 - blue: 127.5 and -255
    expected = math.hypot(127.5, 191.25) + 0.3 * math.hypot(127.5, 63.75)
    assert metrics.colourfulness(picture) == pytest.approx(expected)
    assert metrics.colourfulness(flat(77)) == 0.0


def test_chroma_magnitude_is_a_length_in_lab_units():
    chroma = np.stack([np.full((3, 3), 30 / 110), np.full((3, 3), -40 / 110)]).astype(np.float32)
    assert metrics.chroma_magnitude(chroma) == pytest.approx(50.0, rel=1e-5)


def test_histograms_are_shares_of_pixels():
    picture = flat(0)
    picture[:6, :, 1] = 255
    histograms = metrics.colour_histograms(picture)
    assert histograms.shape == (3, 256)
    assert histograms.sum(axis=1) == pytest.approx([1, 1, 1])
    assert histograms[1, 0] == histograms[1, 255] == 0.5


def test_cdc_of_a_still_clip_is_zero():
    histogram = metrics.colour_histograms(np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    assert metrics.colour_distribution_consistency([histogram] * 6) == 0.0


def test_cdc_of_a_flickering_clip_is_known():
    # Black and white alternate: disjoint one frame apart (divergence ln 2), equal two and four frames apart.
    frames = [metrics.colour_histograms(flat(0 if index % 2 else 255)) for index in range(9)]
    assert metrics.colour_distribution_consistency(frames) == pytest.approx(math.log(2) / 3)


def test_cdc_of_a_half_changed_channel_is_known():
    one, two = flat(0), flat(0)
    two[:6, :, 0] = 9  # half of one channel's pixels move: JS of (1, 0) and (1/2, 1/2), a third of the channels
    p, q = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    middle = (p + q) / 2
    divergence = 0.5 * math.log(1 / middle[0]) + 0.5 * sum(q * np.log(q / middle))
    found = metrics.colour_distribution_consistency([metrics.colour_histograms(one), metrics.colour_histograms(two)])
    assert found == pytest.approx(divergence / 3)


def test_cdc_needs_two_frames():
    assert metrics.colour_distribution_consistency([metrics.colour_histograms(flat(1))]) is None


def standard_features(samples, dimensions, seed=0):
    """Samples whose mean is exactly 0 and whose unbiased covariance is exactly the identity."""
    raw = np.random.default_rng(seed).normal(size=(samples, dimensions))
    raw -= raw.mean(axis=0)
    return raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False)).T)


def test_frechet_distance_of_a_shift_is_its_squared_length():
    features = standard_features(50, 4)
    shift = np.array([3.0, 0.0, -4.0, 0.0])
    assert metrics.frechet_distance(features, features + shift) == pytest.approx(25.0)


def test_frechet_distance_of_scaled_axes_is_the_difference_of_deviations():
    features = standard_features(60, 3)
    scales = np.array([2.0, 1.0, 0.25])
    expected = np.sum((scales - 1.0) ** 2)
    assert metrics.frechet_distance(features, features * scales) == pytest.approx(expected)
    assert metrics.frechet_distance(features * scales, features) == pytest.approx(expected)


def test_frechet_distance_of_rotated_features_is_known():
    # Covariances diag(4, 1) and diag(1, 4): trace 10, less twice the trace of the root of their product, 2 * 4.
    features = standard_features(40, 2)
    assert metrics.frechet_distance(features * [2.0, 1.0], features * [1.0, 2.0]) == pytest.approx(2.0)


def test_frechet_distance_agrees_with_the_matrix_square_root():
    generator = np.random.default_rng(4)
    first = generator.normal(size=(80, 16)) @ generator.normal(size=(16, 16))
    second = generator.normal(0.3, 1.5, size=(90, 16))
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    difference = first.mean(axis=0) - second.mean(axis=0)
    expected = difference @ difference + np.trace(one + two - 2 * scipy.linalg.sqrtm(one @ two).real)
    assert metrics.frechet_distance(first, second) == pytest.approx(expected, rel=1e-8)


@settings(max_examples=30)
@given(st.integers(2, 12), st.integers(1, 20), st.integers(0, 1000))
def test_frechet_distance_to_itself_is_zero_even_with_fewer_samples_than_dimensions(samples, dimensions, seed):
    features = np.random.default_rng(seed).normal(size=(samples, dimensions))
    assert metrics.frechet_distance(features, features) == pytest.approx(0.0, abs=1e-6)


def test_frechet_distance_refuses_what_has_no_covariance():
    with pytest.raises(ValueError, match="two samples"):
        metrics.frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="same D"):
        metrics.frechet_distance(np.zeros((4, 3)), np.zeros((4, 2)))

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colormnet.colour.lab import display_to_lab
from colormnet.colour.spaces import ColourSpace
from colormnet.colouring import FrameColouring
from colormnet.errors import InputError

SRGB = ColourSpace("sRGB")


def grey(picture):
    return np.repeat((picture @ np.float32([0.2126, 0.7152, 0.0722]))[..., None], 3, axis=2).astype(np.float32)


@pytest.fixture
def colouring(demo_frames):
    height, width = demo_frames[0].shape[:2]
    return FrameColouring(SRGB, height, width, short_side=48)


def test_network_sees_the_working_size_and_the_plate_keeps_its_own(colouring, demo_frames):
    prepared = colouring.prepare(grey(demo_frames[0]))
    assert prepared.luminance.shape == (48, 85)
    assert prepared.full_luminance.shape == demo_frames[0].shape[:2]
    assert prepared.luminance.dtype == prepared.full_luminance.dtype == np.float32


def test_a_colour_plate_keeps_its_luminance(colouring, demo_frames):
    plate = demo_frames[3]
    frame = colouring.prepare(plate)
    done = colouring.finish(plate, frame, np.full((2, 48, 85), 0.2, np.float32))
    np.testing.assert_allclose(SRGB.luminance(done.pixels), SRGB.luminance(plate), rtol=2e-3, atol=1e-4)
    assert not np.allclose(done.pixels, plate, atol=0.02)


def test_the_plates_own_chroma_comes_back_as_its_own_colour(colouring, demo_frames):
    truth = demo_frames[0]
    frame = colouring.prepare(grey(truth))
    _, chroma = display_to_lab(truth)
    done = colouring.finish(grey(truth), frame, chroma)
    assert np.abs(done.pixels - truth).mean() < 0.01


def test_saturation_zero_is_grey_and_larger_is_more_colourful(demo_frames):
    plate = grey(demo_frames[0])
    chroma = np.full((2, *plate.shape[:2]), 0.15, np.float32)
    spread = []
    for saturation in (0.0, 0.5, 1.0):
        colouring = FrameColouring(SRGB, *plate.shape[:2], short_side=48, saturation=saturation)
        pixels = colouring.finish(plate, colouring.prepare(plate), chroma).pixels
        spread.append(float((pixels.max(axis=2) - pixels.min(axis=2)).mean()))
    assert spread[0] < 1e-6
    assert spread[0] < spread[1] < spread[2]


def test_non_finite_pixels_are_counted_kept_and_contained(colouring, demo_frames):
    clean = grey(demo_frames[0])
    plate = clean.copy()
    plate[10, 20] = np.nan
    plate[40, 100, 1] = np.inf
    frame = colouring.prepare(plate)
    assert frame.non_finite == 2
    assert np.isfinite(frame.luminance).all()
    chroma = np.full((2, 48, 85), 0.1, np.float32)
    done = colouring.finish(plate, frame, chroma)
    np.testing.assert_array_equal(done.pixels[10, 20], plate[10, 20])
    np.testing.assert_array_equal(done.pixels[40, 100], plate[40, 100])
    assert (~np.isfinite(done.pixels).all(axis=2)).sum() == 2
    reference = colouring.finish(clean, colouring.prepare(clean), chroma).pixels
    far = np.ones(plate.shape[:2], bool)
    far[2:19, 12:29] = far[32:49, 92:109] = False
    np.testing.assert_allclose(done.pixels[far], reference[far], atol=2e-3)


def test_confidence_comes_at_the_plates_size(colouring, demo_frames):
    plate = grey(demo_frames[0])
    done = colouring.finish(
        plate, colouring.prepare(plate), np.zeros((2, 48, 85), np.float32), np.full((48, 85), 0.7, np.float32)
    )
    assert done.confidence is not None
    assert done.confidence.shape == plate.shape[:2]
    np.testing.assert_allclose(done.confidence, 0.7, atol=1e-6)


def test_exemplar_of_another_size_is_brought_to_the_working_size(colouring, demo_frames):
    twice = cv2.resize(demo_frames[0], (256, 144), interpolation=cv2.INTER_LINEAR)
    same = colouring.prepare_exemplar(demo_frames[0], SRGB)
    other = colouring.prepare_exemplar(twice, SRGB)
    square = colouring.prepare_exemplar(cv2.resize(twice, (100, 100)), SRGB)
    assert (same.resized, other.resized, square.resized) == (False, True, True)
    assert (same.same_aspect, other.same_aspect, square.same_aspect) == (True, True, False)
    assert same.full_chroma is not None
    assert other.full_chroma is None
    assert same.luminance.shape == other.luminance.shape == square.luminance.shape == (48, 85)
    assert np.abs(same.chroma - other.chroma).mean() < 0.01


def test_exemplar_without_colour_is_recognised(colouring, demo_frames):
    assert colouring.prepare_exemplar(demo_frames[0], SRGB).has_colour
    assert not colouring.prepare_exemplar(grey(demo_frames[0]), SRGB).has_colour


def test_a_frames_own_exemplar_is_told_from_its_neighbours(colouring, demo_frames):
    own = colouring.prepare(grey(demo_frames[0]))
    exemplar = colouring.prepare_exemplar(demo_frames[0], SRGB)
    graded = colouring.prepare_exemplar(np.clip(demo_frames[0] ** 0.8 * 0.9 + 0.03, 0, 1), SRGB)
    assert colouring.shows_frame(exemplar, own)
    assert colouring.shows_frame(graded, own)
    assert not colouring.shows_frame(exemplar, colouring.prepare(grey(demo_frames[11])))
    assert not colouring.shows_frame(exemplar, colouring.prepare(grey(demo_frames[0][:, ::-1].copy())))
    assert not colouring.shows_frame(exemplar, colouring.prepare(1.0 - grey(demo_frames[0])))


def _light(code):
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def _code(light):
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


WAYS_OF_GREY = {
    "Rec.709 light": lambda p: _code(_light(p) @ [0.2126, 0.7152, 0.0722]),
    "Rec.601 code": lambda p: p @ [0.299, 0.587, 0.114],
    "mean of code": lambda p: p.mean(axis=-1),
    "mean of light": lambda p: _code(_light(p).mean(axis=-1)),
    "lightness": lambda p: (p.max(axis=-1) + p.min(axis=-1)) / 2,
    "brightest channel": lambda p: p.max(axis=-1),
    "green": lambda p: p[..., 1],
    "orthochromatic film": lambda p: _code(_light(p) @ [0.05, 0.6, 0.35]),
    "red filter": lambda p: p @ [0.6, 0.3, 0.1],
    "mean, graded": lambda p: p.mean(axis=-1) ** 1.25 * 0.85 + 0.06,
}


def _plate(code):
    return np.repeat(np.clip(code, 0, 1)[..., None], 3, axis=-1).astype(np.float32)


@pytest.fixture(scope="session")
def apart(demo_clip):
    """Frames of the demo clip far apart, at 192x108."""
    from colormnet.media.frames import open_source

    with open_source(demo_clip, "1,20,40,60") as source:
        full = [source.read(number).pixels for number in source.frames]
    return [cv2.resize(frame, (192, 108), interpolation=cv2.INTER_AREA) for frame in full]


@pytest.mark.parametrize("way", WAYS_OF_GREY)
def test_a_still_is_known_whatever_way_the_plate_was_made_grey(apart, way):
    colouring = FrameColouring(SRGB, 108, 192, short_side=108)
    grey_of = WAYS_OF_GREY[way]
    for number, still in enumerate(apart):
        exemplar = colouring.prepare_exemplar(still, SRGB)
        assert colouring.shows_frame(exemplar, colouring.prepare(_plate(grey_of(still)))), number
        others = [grey_of(frame) for index, frame in enumerate(apart) if index != number]
        others += [grey_of(still)[:, ::-1], grey_of(still)[::-1], 1.0 - grey_of(still), np.roll(grey_of(still), 9, 1)]
        for place, other in enumerate(others):
            assert not colouring.shows_frame(exemplar, colouring.prepare(_plate(other))), (number, place)


@settings(max_examples=40)
@given(
    weights=st.tuples(st.floats(0.1, 1.0), st.floats(0.1, 1.0), st.floats(0.1, 1.0)),
    gamma=st.floats(0.75, 1.35),
    index=st.integers(0, 3),
)
def test_any_weights_and_grade_are_the_same_picture_and_another_picture_is_not(apart, weights, gamma, index):
    colouring = FrameColouring(SRGB, 108, 192, short_side=54)
    exemplar = colouring.prepare_exemplar(apart[index], SRGB)
    factors = np.asarray(weights) / sum(weights)
    assert colouring.shows_frame(exemplar, colouring.prepare(_plate((apart[index] @ factors) ** gamma)))
    other = apart[(index + 1) % len(apart)]
    assert not colouring.shows_frame(exemplar, colouring.prepare(_plate((other @ factors) ** gamma)))


def test_a_flat_frame_matches_a_flat_exemplar(colouring):
    plate = np.full((72, 128, 3), 0.4, np.float32)
    paint = np.zeros((72, 128, 3), np.float32) + np.float32([0.6, 0.35, 0.2])
    assert colouring.shows_frame(colouring.prepare_exemplar(paint, SRGB), colouring.prepare(plate))


def test_frames_of_another_size_and_senseless_saturation_are_refused(colouring):
    with pytest.raises(InputError, match="64x64"):
        colouring.prepare(np.zeros((64, 64, 3), np.float32))
    with pytest.raises(InputError, match="saturation"):
        FrameColouring(SRGB, 72, 128, 48, saturation=-1.0)


def test_one_object_serves_many_threads(colouring, demo_frames):
    chroma = np.linspace(-0.3, 0.3, 2 * 48 * 85, dtype=np.float32).reshape(2, 48, 85)

    def work(picture):
        plate = grey(picture)
        return colouring.finish(plate, colouring.prepare(plate), chroma).pixels

    alone = [work(frame) for frame in demo_frames]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, demo_frames))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)

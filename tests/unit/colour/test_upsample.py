import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from colormnet.colour.measure_upsampling import frames_of, main, measure
from colormnet.colour.upsample import upsample_chroma
from colormnet.errors import InputError

CORPUS = Path(os.environ.get("COLORMNET_CORPUS") or Path(__file__).parents[4] / "shared" / "corpus")


def test_equal_sizes_are_the_identity():
    ab, guide = np.random.default_rng(0).normal(size=(2, 9, 11)).astype(np.float32), np.zeros((9, 11), np.float32)
    assert upsample_chroma(ab, guide, guide) is ab


@pytest.mark.parametrize("size", [(40, 60), (41, 67), (33, 50), (20, 90), (200, 31)])
def test_flat_chroma_stays_flat_whatever_the_guide_and_sizes(size):
    random = np.random.default_rng(0)
    full = random.normal(size=size).astype(np.float32)
    guide = cv2.resize(full, (30, 20), interpolation=cv2.INTER_AREA)
    ab = np.stack([np.full((20, 30), 0.3, np.float32), np.full((20, 30), -0.1, np.float32)])
    result = upsample_chroma(ab, guide, full)
    assert (result.shape, result.dtype) == ((2, *size), np.float32)
    assert np.allclose(result, ab[:, :1, :1], atol=1e-5)


def test_an_edge_of_chroma_lands_on_the_edge_of_luminance():
    """The border between two colours lies inside a pixel of the working size."""
    columns = np.arange(160)
    border = 70
    full = np.broadcast_to(np.where(columns < border, -0.4, 0.4), (120, 160)).astype(np.float32)
    truth = np.stack([full * 0.5, full * -0.25])
    guide = cv2.resize(full, (40, 30), interpolation=cv2.INTER_AREA)
    ab = np.stack([cv2.resize(plane, (40, 30), interpolation=cv2.INTER_AREA) for plane in truth])
    near = slice(border - 6, border + 6)
    error = np.abs(upsample_chroma(ab, guide, full) - truth)[..., near].mean()
    bilinear = np.abs(np.stack([cv2.resize(plane, (160, 120)) for plane in ab]) - truth)[..., near].mean()
    assert error < 0.55 * bilinear


def test_luminance_without_colour_edges_leaves_no_print():
    """A texture of luminance on evenly changing chroma must not appear in the chroma."""
    random = np.random.default_rng(0)
    full = cv2.GaussianBlur(random.normal(0, 1, (120, 160)).astype(np.float32), (0, 0), 1.2)
    ramp = np.broadcast_to(np.linspace(-0.2, 0.2, 160, dtype=np.float32), (120, 160))
    guide = cv2.resize(full, (40, 30), interpolation=cv2.INTER_AREA)
    ab = np.stack([cv2.resize(ramp, (40, 30), interpolation=cv2.INTER_AREA)] * 2)
    assert np.abs(upsample_chroma(ab, guide, full) - ramp)[:, 4:-4, 4:-4].mean() < 2e-3


def test_area_average_is_kept():
    random = np.random.default_rng(0)
    full = random.normal(0, 0.3, (80, 120)).astype(np.float32)
    guide = cv2.resize(full, (40, 30)[::1], interpolation=cv2.INTER_AREA)
    ab = cv2.GaussianBlur(random.normal(0, 0.3, (30, 40, 2)).astype(np.float32), (0, 0), 2).transpose(2, 0, 1)
    back = np.stack([cv2.resize(p, (40, 30), interpolation=cv2.INTER_AREA) for p in upsample_chroma(ab, guide, full)])
    assert np.abs(back - ab).mean() < 2e-3


def test_a_plate_smaller_than_the_working_size():
    ab = np.random.default_rng(0).normal(size=(2, 40, 60)).astype(np.float32)
    result = upsample_chroma(ab, np.zeros((40, 60), np.float32), np.zeros((20, 30), np.float32))
    assert np.allclose(result, ab.reshape(2, 20, 2, 30, 2).mean(axis=(2, 4)), atol=1e-6)


def test_sizes_that_do_not_agree():
    with pytest.raises(InputError):
        upsample_chroma(np.zeros((2, 4, 4), np.float32), np.zeros((4, 5), np.float32), np.zeros((8, 8), np.float32))


def test_beats_bilinear_on_the_bundled_clip():
    import colormnet

    folder = Path(colormnet.__file__).parent / "demo_media"
    frames = list(frames_of(folder, 2))
    assert frames
    for factor in (2, 4):
        scores = measure(frames, factor)
        assert scores["edge-aware"].overall > scores["bilinear"].overall
        assert scores["edge-aware"].edges > scores["bilinear"].edges


@pytest.mark.slow
@pytest.mark.corpus
@pytest.mark.skipif(not (CORPUS / "val").is_dir(), reason="corpus not found: set COLORMNET_CORPUS")
def test_beats_bilinear_on_the_corpus_overall_and_near_edges():
    frames = list(frames_of(CORPUS / "val", 1))
    assert len(frames) > 10
    for factor, gain in ((2, 1.5), (4, 2.0)):
        scores = measure(frames, factor)
        ours, base = scores["edge-aware"], scores["bilinear"]
        assert ours.overall - base.overall > gain
        assert ours.edges - base.edges > gain
        assert ours.least_gain > 0.0  # on every single frame
        assert ours.overall > scores["bicubic"].overall


def test_measuring_command(capsys):
    import colormnet

    main([str(Path(colormnet.__file__).parent / "demo_media"), "--frames", "1", "--factors", "2"])
    assert "edge-aware" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([str(Path(__file__).parent)])


@pytest.mark.benchmark
def test_costs_no_more_than_a_few_interpolations():
    random = np.random.default_rng(0)
    ab, guide = random.random((2, 240, 427), np.float32), random.random((240, 427), np.float32)
    full = random.random((480, 854), np.float32)

    def seconds(call):
        call()
        times = []
        for _ in range(15):
            start = time.process_time()
            call()
            times.append(time.process_time() - start)
        return min(times)

    cubic = seconds(lambda: [cv2.resize(plane, (854, 480), interpolation=cv2.INTER_CUBIC) for plane in ab])
    assert seconds(lambda: upsample_chroma(ab, guide, full)) < 40 * cubic

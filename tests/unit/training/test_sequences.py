"""Training sequences are repeatable, in range, and move as footage does."""

import itertools

import numpy as np
import pytest

from colormnet.training.footage import Footage
from colormnet.training.sequences import SequenceMaker
from colormnet.training.settings import TrainingSettings
from colormnet.training.sources import RESEARCH_ONLY, free_sources


@pytest.fixture(scope="module")
def media():
    rng = np.random.default_rng(0)
    photo = (rng.random((80, 100, 3)) * 255).astype(np.uint8)
    clip = np.stack([np.roll(photo, 2 * t, axis=1) for t in range(12)])
    return [Footage("rolling", clip)], [photo]


def maker(media, tmp_path, **changes):
    settings = TrainingSettings(out=tmp_path, clips=(tmp_path,), size=64, **changes)
    return SequenceMaker(*media, settings)


@pytest.mark.parametrize("photos", [False, True])
@pytest.mark.parametrize("foreign", [False, True])
def test_same_seed_same_sequence(media, tmp_path, photos, foreign):
    first = maker(media, tmp_path).draw(3, 1, foreign, photos)
    again = maker(media, tmp_path).draw(3, 1, foreign, photos)
    other = maker(media, tmp_path).draw(4, 1, foreign, photos)
    assert np.array_equal(first.luminance, again.luminance)
    assert np.array_equal(first.chroma, again.chroma)
    assert not np.array_equal(first.luminance, other.luminance)


@pytest.mark.parametrize("photos", [False, True])
def test_shapes_and_ranges(media, tmp_path, photos):
    for step in range(8):
        drawn = maker(media, tmp_path, frames=5, photo_frames=5).draw(step, 0, step % 2 == 0, photos)
        assert drawn.luminance.shape == (5, 1, 64, 64)
        assert drawn.chroma.shape == (5, 2, 64, 64)
        assert drawn.luminance.dtype == drawn.chroma.dtype == np.float32
        assert np.abs(drawn.luminance).max() < 1.3  # film grain may pass the end of the scale
        assert np.abs(drawn.chroma).max() < 2.0
        assert np.isfinite(drawn.luminance).all()


def test_a_short_clip_plays_there_and_back(media, tmp_path):
    drawn = maker(media, tmp_path, frames=40, hue_share=0.0).draw(1, 0, False, False)
    assert drawn.luminance.shape[0] == 40
    assert all(not np.array_equal(a, b) for a, b in itertools.pairwise(drawn.luminance))


def test_hue_rotation_turns_the_whole_sequence_alike(media, tmp_path):
    plain = maker(media, tmp_path, hue_share=0.0).draw(5, 0, False, False).chroma
    turned = maker(media, tmp_path, hue_share=1.0).draw(5, 0, False, False).chroma
    a = plain[:, 0] + 1j * plain[:, 1]
    b = turned[:, 0] + 1j * turned[:, 1]
    ratio = (b * a.conj()).sum() / (abs(a) ** 2).sum()
    assert abs(b - ratio * a).max() < 1e-3
    assert abs(ratio - 1) > 0.05


def test_research_only_sources_can_be_left_out(tmp_path):
    research = tuple(tmp_path / f"{name}.tar" for name in RESEARCH_ONLY)
    own = tmp_path / "my_photos.tar"
    assert free_sources((*research, own)) == (own,)

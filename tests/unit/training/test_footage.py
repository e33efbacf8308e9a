"""Footage for training: read with the program's own ffmpeg, scaled on the way."""

import cv2
import numpy as np
import pytest

from colormnet.errors import InputError
from colormnet.media.frames import open_source
from colormnet.training.footage import load_movie


def test_frames_are_those_of_the_movie_scaled_down_and_never_up(demo_clip):
    clip = load_movie(demo_clip, 90, limit=3)
    assert clip.frames.shape == (3, 90, 160, 3)
    assert load_movie(demo_clip, 1000, limit=1).frames.shape == (1, 360, 640, 3)
    with open_source(demo_clip, "1-3") as source:
        for number, frame in zip(source.frames, clip.frames, strict=True):
            whole = cv2.resize(source.read(number).pixels, (160, 90), interpolation=cv2.INTER_AREA)
            assert np.abs(frame / 255.0 - whole).mean() < 0.004


def test_what_is_no_movie_is_named(tmp_path, demo_clip):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no movie" * 100)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(demo_clip.read_bytes()[:20_000])
    for path in (broken, cut):
        with pytest.raises(InputError, match=path.name) as caught:
            load_movie(path, 90)
        assert "\n" not in str(caught.value)

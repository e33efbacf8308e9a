import cv2
import numpy as np
import pytest

from colormnet.evaluation.clips import Clip, Size


def painted(height=64, width=96, seed=0):
    """A smooth colour texture with detail for optical flow to hold on to, uint8 sRGB."""
    generator = np.random.default_rng(seed)
    coarse = cv2.resize(
        generator.uniform(40, 215, (6, 9, 3)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    fine = cv2.resize(generator.uniform(-25, 25, (height // 3, width // 3)).astype(np.float32), (width, height))
    return np.clip(coarse + fine[..., None], 0, 255).astype(np.uint8)


def clip_of(frames, name="clip"):
    frames = np.stack(frames)
    return Clip(name, frames, list(range(1, len(frames) + 1)), Size(frames.shape[2], frames.shape[1]))


@pytest.fixture
def panning():
    """Sixteen frames of a texture that moves three pixels a frame."""
    wide = painted(width=96 + 3 * 16)
    return clip_of([wide[:, 3 * index : 3 * index + 96] for index in range(16)], "panning")


@pytest.fixture
def make_clip():
    return clip_of


@pytest.fixture
def paint():
    return painted


@pytest.fixture
def no_metric_weights(tmp_path, monkeypatch):
    """An empty weights folder: LPIPS, FID and FVD have nothing to work with."""
    folder = tmp_path / "no-weights"
    folder.mkdir()
    monkeypatch.setenv("COLORMNET_WEIGHTS", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home" / "data"))
    return folder

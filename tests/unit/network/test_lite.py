"""The lite network: what makes it fast changes nothing, and what it keeps between frames survives a snapshot."""

import copy

import cv2
import numpy as np
import pytest
import torch
from torch import nn

import colormnet
from colormnet import Colorizer, load_model
from colormnet.media.frames import open_source
from colormnet.network import checkpoint
from colormnet.network.folding import fold_norms
from colormnet.network.lite import Lite, LiteConfig
from colormnet.network.motion import backward_flow, warp


@pytest.fixture(scope="module")
def planes():
    """Eight frames of the bundled clip, (1, 1, 96, 160) in network units."""
    folder = checkpoint.LITE_FILE.parents[1] / "demo_media"
    with open_source(folder / "big_buck_bunny.mp4") as source:
        pixels = [cv2.resize(source.read(n).pixels, (160, 96)).mean(-1) for n in source.frames[:8]]
    return [torch.from_numpy(p * 2 - 1)[None, None].float() for p in pixels]


@pytest.fixture(scope="module")
def unsettled():
    """The shipped network as its checkpoint has it."""
    stored = checkpoint.read_weights(checkpoint.LITE_FILE)
    config = checkpoint.header_config(stored, "lite")
    network = Lite(LiteConfig(**config)).eval()
    checkpoint.load_into(network, stored.tensors, "lite")
    return network


def test_settling_for_speed_changes_nothing_but_rounding(unsettled, planes):
    settled = copy.deepcopy(unsettled)
    settled.settle()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in settled.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in unsettled.modules())
    with torch.inference_mode():
        one, two = unsettled.encode_key(planes[0]), settled.encode_key(planes[0])
    for before, after in zip((one.key, one.shrinkage, *one.maps), (two.key, two.shrinkage, *two.maps), strict=True):
        assert torch.allclose(before, after, rtol=1e-4, atol=1e-5 * float(before.abs().max()))


def test_a_norm_that_follows_no_convolution_stays():
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm2d(3), nn.ReLU())
    fold_norms(net.eval())
    assert isinstance(net[1], nn.BatchNorm2d)


def test_the_fingerprint_is_that_of_the_weights_in_the_file(unsettled):
    shipped = load_model("lite", device="cpu")
    assert shipped.fingerprint == colormnet.Model("lite", copy.deepcopy(unsettled)).fingerprint


@pytest.mark.parametrize(("kept", "frame"), [(7, 0), (11, 5)], ids=["anchor", "memorised"])
def test_the_motion_to_a_farther_frame_follows_the_chain(planes, kept, frame):
    """After each step the kept motion takes that frame's luminance to the newest's better than no motion does."""
    session = Colorizer(load_model("lite", device="cpu"), clip_length=len(planes))
    chroma = np.zeros((2, 96, 160), np.float32)
    session.add_exemplar(planes[0][0, 0].numpy(), chroma, first_frame=True)
    for plane in planes[:-1]:
        session.step(plane[0, 0].numpy())
    last = planes[-2]
    still = (planes[frame] - last).abs().mean()
    moved = (warp(planes[frame], session._reference[kept]) - last).abs().mean()
    assert moved < 0.8 * still


def test_a_picture_is_padded_no_further_than_its_tokens_need(unsettled):
    """The backbone's coarsest map halves the token grid; half a token more must change nothing that is kept."""
    with torch.inference_mode():
        keys = unsettled.encode_key(torch.rand(1, 1, 240, 416))
    assert keys.key.shape[-2:] == (15, 26)
    assert [plane.shape[-2:] for plane in keys.maps[:4]] == [(15, 26), (30, 52), (60, 104), (120, 208)]


def test_a_start_is_taken_up_by_the_search(planes):
    start = torch.zeros(1, 96, 160, 2).permute(0, 3, 1, 2)  # laid out as DIS has it, which writes where it starts
    start[:, 0] = 3.0
    cold, warm = backward_flow(planes[4], planes[0]), backward_flow(planes[4], planes[0], start)
    assert not torch.equal(cold, warm)
    assert torch.equal(warm, backward_flow(planes[4], planes[0], start))
    assert float(start.sum()) == 3.0 * 96 * 160


@pytest.mark.parametrize("size", [(16, 16), (16, 64), (64, 96)])
def test_small_pictures_have_motion_too(size):
    plane = torch.rand(1, 1, *size)
    flow = backward_flow(plane, plane)
    assert flow.shape == (1, 2, *size)
    assert torch.isfinite(flow).all()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_stays_near_the_whole_one(planes, precision):
    """Motion is kept in float32: in halves a picture's far side has no single pixels any more."""

    def run(given):
        session = Colorizer(load_model("lite", device="cpu", precision=given), clip_length=len(planes))
        chroma = np.stack([planes[0][0, 0].numpy(), -planes[0][0, 0].numpy()]) * 0.3
        session.add_exemplar(planes[0][0, 0].numpy(), chroma, first_frame=True)
        return np.stack([session.step(plane[0, 0].numpy()) for plane in planes])

    assert np.abs(run(precision) - run("float32")).mean() < 2e-3

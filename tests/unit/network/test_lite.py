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


def test_the_motion_to_the_anchor_follows_the_chain(unsettled, planes):
    """After each step the kept motion takes the anchor's luminance to the frame's better than no motion does."""
    model = load_model("lite", device="cpu")
    session = Colorizer(model, clip_length=len(planes))
    chroma = np.zeros((2, 96, 160), np.float32)
    session.add_exemplar(planes[0][0, 0].numpy(), chroma, first_frame=True)
    for plane in planes[:-1]:
        session.step(plane[0, 0].numpy())
    last = planes[-2]
    flow = session._reference[6]
    still = (planes[0] - last).abs().mean()
    moved = (warp(planes[0], flow) - last).abs().mean()
    assert moved < 0.8 * still


def test_a_start_is_taken_up_by_the_search(planes):
    start = torch.zeros(1, 96, 160, 2).permute(0, 3, 1, 2)  # laid out as DIS has it, which writes where it starts
    start[:, 0] = 3.0
    cold, warm = backward_flow(planes[4], planes[0]), backward_flow(planes[4], planes[0], start)
    assert not torch.equal(cold, warm)
    assert torch.equal(warm, backward_flow(planes[4], planes[0], start))
    assert float(start.sum()) == 3.0 * 96 * 160


@pytest.mark.parametrize("size", [(32, 32), (32, 64), (64, 96)])
def test_small_pictures_have_motion_too(size):
    plane = torch.rand(1, 1, *size)
    flow = backward_flow(plane, plane)
    assert flow.shape == (1, 2, *size)
    assert torch.isfinite(flow).all()

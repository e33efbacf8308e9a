"""A training sequence is colorized as the session colorizes a shot."""

import copy

import cv2
import numpy as np
import pytest
import torch

from colormnet import Colorizer, Model
from colormnet.colour.lab import display_to_lab
from colormnet.media.frames import open_source
from colormnet.network import checkpoint
from colormnet.network.lite import Lite, LiteConfig
from colormnet.training import loop
from colormnet.training.unroll import roll_out, unroll


@pytest.fixture(scope="module")
def network():
    """A lite network with weights that make every part count."""
    torch.manual_seed(3)
    # A network in training has no reluctance.
    network = Lite(
        LiteConfig(gate_reluctance=0.0, anchor_reluctance=0.0, memorised_reluctance=0.0, exemplar_reluctance=0.0)
    )
    with torch.no_grad():
        network.out.weight.normal_(0, 0.02)
        network.guess.weight.normal_(0, 0.02)
        network.out.bias[20:24] = 0.0  # the gate half open
    loop.freeze_norms(network)
    return network


@pytest.fixture(scope="module")
def shot():
    """Twelve frames of the bundled clip: (T, 1, 64, 96) and (T, 2, 64, 96) in network units."""
    clip = checkpoint.LITE_FILE.parents[1] / "demo_media" / "big_buck_bunny.mp4"
    with open_source(clip) as source:
        frames = [display_to_lab(cv2.resize(source.read(n).pixels, (96, 64))) for n in source.frames[:12]]
    luminance = torch.from_numpy(np.stack([light for light, _ in frames]))[:, None].float()
    return luminance, torch.from_numpy(np.stack([chroma for _, chroma in frames])).float()


@pytest.mark.parametrize("foreign", [False, True])
def test_a_roll_out_gives_what_the_session_gives(network, shot, foreign):
    luminance, chroma = shot
    with torch.no_grad():
        rolled = list(roll_out(network, luminance[None], chroma[None], foreign, memory_every=5, top_k=30))
    whole = Model("lite", copy.deepcopy(network), loop.memory_settings("lite"))
    session = Colorizer(whole, clip_length=len(luminance) - foreign)
    session.add_exemplar(luminance[0, 0], chroma[0], first_frame=not foreign)
    start = 1 if foreign else 0
    stepped = [session.step(luminance[t, 0], last=t == len(luminance) - 1) for t in range(start, len(luminance))]
    assert len(rolled) == len(luminance) - 1
    # A foreign exemplar's first frame is memorised by the session, which has no earlier one; training leaves that out.
    compared = 1 if foreign else len(rolled)
    for mine, theirs in list(zip(rolled, stepped[1 - start :], strict=True))[:compared]:
        assert torch.allclose(mine.chroma[0].clamp(-1, 1), theirs, atol=2e-5)


def test_a_roll_out_goes_on_with_what_was_learnt(network, shot):
    luminance, chroma = (plane[None, :4] for plane in shot)
    straight = [p.chroma.detach() for p in roll_out(network, luminance, chroma, False, 5, 30)]
    rolling = roll_out(network, luminance, chroma, False, 5, 30)
    first = next(rolling).chroma
    first.square().sum().backward()
    assert network.key.weight.grad is not None  # the exemplar's part of the memory learns too
    with torch.no_grad():
        network.guess.bias.add_(0.5)
    second = next(rolling).chroma
    with torch.no_grad():
        network.guess.bias.sub_(0.5)
    network.zero_grad()
    assert torch.equal(first, straight[0])
    assert not torch.allclose(second, straight[1], atol=1e-3)


def test_a_whole_sequence_has_gradients_through_its_memory(network, shot):
    luminance, chroma = (plane[None, :4] for plane in shot)
    last = unroll(network, luminance, chroma, False, 1, 30)[-1]
    last.chroma.sum().backward()
    assert float(network.value_out.weight.grad.abs().sum()) > 0
    network.zero_grad()

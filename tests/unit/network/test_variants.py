"""Every variant of the paper's Table 2 builds, runs forward and takes one training step."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from colormnet import Colorizer, Model
from colormnet.errors import InputError
from colormnet.memory.readout import read
from colormnet.network.config import NetworkConfig, small
from colormnet.network.interface import Readout
from colormnet.network.model import ColorMNet
from colormnet.network.variants import SMALL, VARIANTS, build_variant, variant


def small_network(name, seed=0):
    torch.manual_seed(seed)
    return build_variant(SMALL + name)


def planes(frames=4, height=100, width=120, seed=0):
    generator = np.random.default_rng(seed)
    luminance = generator.uniform(-1, 1, (frames, height, width)).astype(np.float32)
    chroma = generator.uniform(-0.5, 0.5, (frames, 2, height, width)).astype(np.float32)
    return luminance, chroma


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_colorizes(name):
    model = Model(name, small_network(name), variant(name).memory)
    luminance, chroma = planes()
    session = Colorizer(model)
    session.add_exemplar(luminance[0], chroma[0], first_frame=True)
    assert np.array_equal(session.step(luminance[0]), chroma[0])
    for plane in luminance[1:]:
        ab = session.step(plane)
        assert ab.shape == (2, 100, 120)
        assert np.isfinite(ab).all()
        assert np.abs(ab).max() <= 1
        assert ab.std() > 0


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_takes_a_training_step(name):
    network = small_network(name).train()
    memory = variant(name).memory
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 1e-5)
    light = torch.rand(2, 2, 1, 112, 112, generator=torch.Generator().manual_seed(1)) * 2 - 1
    truth = torch.rand(2, 2, 2, 112, 112, generator=torch.Generator().manual_seed(2)) - 0.5
    before = {n: p.detach().clone() for n, p in network.named_parameters()}
    statistics = {n: b.clone() for n, b in network.named_buffers()}

    def loss():
        first, second = network.encode_key(light[:, 0]), network.encode_key(light[:, 1])
        values = network.encode_value(first, light[:, 0], truth[:, 0], network.initial_hidden(first), deep=True)
        answer = read(
            second.key.flatten(2),
            second.selection.flatten(2),
            first.key.flatten(2),
            first.shrinkage.flatten(2),
            values.value.flatten(2),
            memory.top_k,
        )
        readout = Readout(answer.value.unflatten(2, (7, 7)), answer.similarity.unflatten(2, (7, 7)))
        local = network.read_locally(second, light[:, 1], network.reference(first, light[:, 0], truth[:, 0], values))
        decoded = network.decode(second, light[:, 1], readout, local, values.hidden, update_hidden=True)
        return (decoded.chroma - truth[:, 1]).abs().mean() + 1e-3 * decoded.hidden.square().mean()

    start = loss()
    start.backward()
    optimizer.step()
    changed = {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}
    unused = {n for n, p in network.named_parameters() if p.requires_grad and n not in changed}
    # With its last convolution's weights at random, every trainable part must have moved.
    assert not unused, sorted(unused)
    assert not any("network2" in n for n in changed), "no gradient flows through the global branch"
    assert all(torch.equal(b, statistics[n]) for n, b in network.named_buffers()), "stored statistics stay"
    assert loss() < start


def test_variants_differ_where_table_2_says():
    def parts(name):
        return {n.split(".")[1] for n in small_network(name).state_dict() if n.startswith("key_encoder.")}

    assert "network2" not in parts("resnet")
    assert "layer3" not in parts("dinov2")
    assert {"network2", "layer3", "fuse3"} <= parts("concat") & parts("released")
    assert not any(n.startswith("short_term_attn") for n in small_network("no-local-attention").state_dict())
    assert any("crossattn" in n for n in small_network("released").state_dict())
    assert not any("crossattn" in n for n in small_network("concat").state_dict())
    assert VARIANTS["paper"].memory.consolidation == "selected"
    assert VARIANTS["paper"].memory.local_reference == "previous"


def test_propagation_changes_the_colours():
    luminance, chroma = planes(frames=9)
    results = {}
    for name in ("released", "stacking", "recurrent", "no-local-attention", "paper"):
        model = Model(name, small_network(name), replace(variant(name).memory, every=2))
        session = Colorizer(model)
        session.add_exemplar(luminance[0], chroma[0], first_frame=True)
        results[name] = [session.step(plane) for plane in luminance][-1]
    names = list(results)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            assert not np.array_equal(results[one], results[other]), (one, other)


def test_settings_survive_a_header():
    config = small(replace(NetworkConfig(), features="concat", local_attention=False))
    assert NetworkConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    "wrong",
    [
        {"features": "vgg"},
        {"window": 4},
        {"width": 0.3},
        {"transformer": {"channels": 7, "layers": [0]}},
        {"colour": 1},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(InputError):
        NetworkConfig.from_dict(wrong)


def test_an_unknown_variant_names_those_there_are():
    with pytest.raises(InputError, match="no-local-attention"):
        build_variant("resnet101")


def test_the_released_size_is_the_default():
    with torch.device("meta"):
        network = ColorMNet()
    assert sum(t.numel() for t in network.state_dict().values()) == 123_647_484

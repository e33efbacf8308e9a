"""Savings that claim to be exact, against the plain computation."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from colormnet.network.blocks import CBAM, FusionBlock, add_to_groups, conv3, conv_over_image_and_groups
from colormnet.network.config import TransformerConfig
from colormnet.network.local_attention import LocalAttention
from colormnet.network.pvgfe import CrossChannelAttention, PatchFeatures, UpsampledConvolution

DOUBLE = torch.float64


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


@settings(max_examples=25)
@given(height=st.integers(1, 9), width=st.integers(1, 9), factor=st.sampled_from([1, 2, 4]), seed=st.integers(0, 999))
def test_contracting_before_upsampling_changes_nothing_borders_included(height, width, factor, seed):
    torch.manual_seed(seed)
    layer = UpsampledConvolution(5, 3, factor).to(DOUBLE)
    x = random(2, 5, height, width, seed=seed)
    plain = F.conv2d(
        F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False), layer.weight, layer.bias, padding=1
    )
    torch.testing.assert_close(layer(x), plain, rtol=1e-12, atol=1e-12)


def test_the_images_share_of_a_convolution_is_the_same_for_both_groups():
    torch.manual_seed(0)
    conv = conv3(7, 4).to(DOUBLE)
    image, grouped = random(3, 5, 6, 8), random(6, 2, 6, 8, seed=1)
    plain = conv(torch.cat([image.repeat_interleave(2, 0), grouped], 1))
    torch.testing.assert_close(conv_over_image_and_groups(conv, image, grouped), plain, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(add_to_groups(grouped, image[:, :2]), grouped + image[:, :2].repeat_interleave(2, 0))


def test_fusion_block_follows_its_definition():
    torch.manual_seed(0)
    block = FusionBlock(6, 3, 16).to(DOUBLE)
    image, g = random(2, 6, 5, 5), random(4, 3, 5, 5, seed=1)
    both = torch.cat([image.repeat_interleave(2, 0), g], 1)
    first = block.block1.conv2(F.relu(block.block1.conv1(F.relu(both)))) + block.block1.downsample(both)
    mixed = first + block.attention(first)
    expected = block.block2.conv2(F.relu(block.block2.conv1(F.relu(mixed)))) + mixed
    torch.testing.assert_close(block(image, g), expected, rtol=1e-11, atol=1e-12)


def test_cbam_gates_channels_then_pixels():
    torch.manual_seed(0)
    gate = CBAM(32).to(DOUBLE)
    x = random(2, 32, 7, 6)
    mlp = gate.ChannelGate.mlp
    scale = torch.sigmoid(mlp(x.mean((2, 3))) + mlp(x.amax((2, 3))))
    y = x * scale[:, :, None, None]
    summary = torch.stack([y.amax(1), y.mean(1)], 1)
    expected = y * torch.sigmoid(gate.SpatialGate.spatial.conv(summary))
    torch.testing.assert_close(gate(x), expected)


def test_cross_channel_attention_by_heads_equals_all_heads_at_once():
    torch.manual_seed(0)
    layer = CrossChannelAttention(8, 4).to(DOUBLE)
    layer.temperature.data.uniform_(0.5, 2)
    e, local = random(2, 8, 5, 6), random(2, 8, 5, 6, seed=1)
    q = layer.to_q_dw(layer.to_q(e)).flatten(2).unflatten(1, (4, 4))
    k = layer.to_k_dw(layer.to_k(local)).flatten(2).unflatten(1, (4, 4))
    v = layer.to_v_dw(layer.to_v(local)).flatten(2).unflatten(1, (4, 4))
    weight = (F.normalize(q, dim=3) @ F.normalize(k, dim=3).transpose(2, 3) * layer.temperature).softmax(3)
    expected = layer.to_out[0]((weight @ v).flatten(1, 2).unflatten(2, (5, 6)))
    torch.testing.assert_close(layer(e, local), expected, rtol=1e-11, atol=1e-12)


def dense_local_attention(layer, query, key, value):
    """Every pixel against every pixel, with those outside the window masked."""
    _, channels, height, width = query.shape
    reach = layer.window // 2
    bias = layer.relative_emb_k(query)
    gathered = torch.zeros_like(value)
    for y in range(height):
        for x in range(width):
            logits, values = [], []
            for d in range(layer.window**2):
                yy, xx = y + d // layer.window - reach, x + d % layer.window - reach
                inside = 0 <= yy < height and 0 <= xx < width
                if inside:
                    dot = (query[:, :, y, x] * key[:, :, yy, xx]).sum(1) / math.sqrt(channels)
                    logits.append(dot + bias[:, d, y, x])
                    values.append(value[:, :, yy, xx])
                else:
                    logits.append(torch.full((query.shape[0],), -1e8, dtype=query.dtype))
                    values.append(torch.zeros_like(value[:, :, 0, 0]))
            weight = torch.stack(logits, 1).softmax(1)
            gathered[:, :, y, x] = (weight[:, :, None] * torch.stack(values, 1)).sum(1)
    mixed = layer.dw_conv.conv(gathered)
    return layer.projection(mixed.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@settings(max_examples=12)
@given(
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    window=st.sampled_from([1, 3, 5, 9]),
    batch=st.integers(1, 2),
    seed=st.integers(0, 999),
)
def test_local_attention_equals_the_dense_oracle(height, width, window, batch, seed):
    torch.manual_seed(seed)
    layer = LocalAttention(4, 6, window).to(DOUBLE)
    query, key = random(batch, 4, height, width, seed=seed), random(batch, 4, height, width, seed=seed + 1)
    value = random(batch, 6, height, width, seed=seed + 2)
    with torch.no_grad():
        torch.testing.assert_close(
            layer(query, key, value), dense_local_attention(layer, query, key, value), rtol=1e-10, atol=1e-11
        )


@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (16, 9), (5, 40), (80, 48)])
def test_position_table_is_resized_by_scale_factors(rows, columns):
    torch.manual_seed(0)
    backbone = PatchFeatures(TransformerConfig(channels=12, depth=1, heads=2, layers=(0,), grid=37))
    table = backbone.pos_embed[:, 1:].reshape(1, 37, 37, 12).permute(0, 3, 1, 2)
    by_factor = F.interpolate(table, scale_factor=((rows + 0.1) / 37, (columns + 0.1) / 37), mode="bicubic")
    ours = backbone.positions(rows, columns)
    assert ours.shape == (1, 1 + rows * columns, 12)
    assert torch.equal(ours[0, 0], backbone.pos_embed[0, 0])
    torch.testing.assert_close(ours[:, 1:], by_factor.flatten(2).transpose(1, 2))
    by_size = F.interpolate(table, size=(rows, columns), mode="bicubic").flatten(2).transpose(1, 2)
    assert not torch.allclose(ours[:, 1:], by_size, atol=1e-5), "the rule differs from the library's default"


def test_position_table_at_its_own_size_is_untouched():
    backbone = PatchFeatures(TransformerConfig(channels=12, depth=1, heads=2, layers=(0,), grid=37))
    assert backbone.positions(37, 37) is backbone.pos_embed

"""The memory read-out against a plain dense version of the same formula."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from colormnet.memory.readout import read


def dense_read(query, selection, key, shrinkage, value, top_k):
    """The definition, with every matrix written out."""
    difference = key[:, :, None, :] - query[:, :, :, None]
    similarity = -shrinkage * (selection[..., None] * difference**2).sum(1) / math.sqrt(query.shape[1])
    if top_k is not None and top_k < key.shape[-1]:
        threshold = similarity.topk(top_k, dim=2).values[..., -1:]
        similarity = similarity.masked_fill(similarity < threshold, -math.inf)
    weight = similarity.softmax(2)
    return value @ weight.transpose(1, 2), similarity.amax(2)[:, None], weight.sum(1)


def random_inputs(seed, batch, channels, queries, tokens, values, dtype=torch.float64, grad=False):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    tensors = [
        draw(batch, channels, queries),
        draw(batch, channels, queries).sigmoid(),
        draw(batch, channels, tokens),
        draw(batch, 1, tokens) ** 2 + 1,
        draw(batch, values, tokens),
    ]
    return [t.requires_grad_(grad) for t in tensors]


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    channels=st.integers(1, 9),
    queries=st.integers(1, 90),
    tokens=st.sampled_from([1, 2, 29, 31, 200, 1500, 4111]),
    top_k=st.sampled_from([None, 1, 5, 30]),
)
def test_equals_the_dense_oracle(seed, batch, channels, queries, tokens, top_k):
    inputs = random_inputs(seed, batch, channels, queries, tokens, 7)
    for ours, oracle in zip(read(*inputs, top_k=top_k), dense_read(*inputs, top_k), strict=True):
        assert ours.shape == oracle.shape
        # usage is summed in fixed point, 2^-40 per weight
        torch.testing.assert_close(ours, oracle, rtol=1e-9, atol=1e-9)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    queries=st.integers(1, 200),
    tokens=st.sampled_from([3, 40, 900, 5003]),
    chunk=st.integers(1, 300),
    top_k=st.sampled_from([None, 5, 30]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_bits_do_not_depend_on_the_chunk(seed, queries, tokens, chunk, top_k, dtype):
    inputs = random_inputs(seed, 1, 16, queries, tokens, 12, dtype)
    whole = read(*inputs, top_k=top_k, chunk=10**6)
    for ours, other in zip(whole, read(*inputs, top_k=top_k, chunk=chunk), strict=True):
        assert torch.equal(ours, other)


@pytest.mark.parametrize("top_k", [None, 5])
def test_gradients_equal_the_dense_oracle(top_k):
    inputs = random_inputs(3, 2, 6, 33, 2000, 5, grad=True)

    def gradients(answer):
        value, similarity = answer[0], answer[1]
        return torch.autograd.grad(value.square().sum() + similarity.sum(), inputs)

    for ours, oracle in zip(gradients(read(*inputs, top_k=top_k)), gradients(dense_read(*inputs, top_k)), strict=True):
        torch.testing.assert_close(ours, oracle, rtol=1e-8, atol=1e-10)


def test_a_query_that_is_in_the_memory_finds_itself():
    query, selection, key, shrinkage, value = random_inputs(5, 1, 32, 4, 3000, 3, torch.float32)
    key[:, :, 1000:1004] = query.detach() * 1.0
    shrinkage[:, :, 1000:1004] = 200
    answer = read(query, selection, key, shrinkage, value)
    # the direct form of the distance is exactly zero here, which the expanded form is not
    assert torch.equal(answer.similarity, torch.zeros(1, 1, 4))


def test_usage_is_the_whole_weight_and_carries_no_gradient():
    inputs = random_inputs(6, 2, 8, 50, 700, 4, grad=True)
    answer = read(*inputs, top_k=30)
    assert not answer.usage.requires_grad
    torch.testing.assert_close(answer.usage.sum(1), torch.full((2,), 50.0, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_computes_similarity_in_float32(dtype):
    exact = random_inputs(7, 1, 16, 40, 900, 6, torch.float32)
    half = [t.to(dtype) for t in exact]
    answer = read(*half, top_k=30)
    assert answer.value.dtype == dtype
    assert answer.similarity.dtype == torch.float32
    oracle = dense_read(*[t.double() for t in half], 30)
    torch.testing.assert_close(answer.similarity.double(), oracle[1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(answer.value.double(), oracle[0], rtol=0.03, atol=0.03)


def test_under_autocast_the_result_stays_the_same():
    inputs = random_inputs(8, 1, 16, 40, 900, 6, torch.float32)
    plain = read(*inputs, top_k=30)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = read(*inputs, top_k=30)
    assert torch.equal(plain.value, mixed.value)


def test_an_empty_memory_is_refused():
    query, selection, *_ = random_inputs(9, 1, 4, 3, 2, 2)
    with pytest.raises(ValueError, match="empty"):
        read(query, selection, torch.zeros(1, 4, 0), torch.ones(1, 1, 0), torch.zeros(1, 2, 0))


@pytest.mark.parametrize("top_k", [5, None])
def test_without_a_selection_every_channel_counts_fully(top_k):
    query, selection, key, shrinkage, value = random_inputs(11, 2, 9, 70, 300, 4)
    plain = read(query, None, key, shrinkage, value, top_k)
    ones = read(query, torch.ones_like(selection), key, shrinkage, value, top_k)
    for one, other in zip(plain, ones, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_kept_keys_gathered_in_parts_give_the_same_bits(monkeypatch):
    inputs = random_inputs(12, 1, 16, 130, 900, 4, dtype=torch.float32)
    whole = read(*inputs, top_k=30)
    monkeypatch.setattr("colormnet.memory.readout._GATHERED_BYTES", 1)
    for one, other in zip(whole, read(*inputs, top_k=30), strict=True):
        assert torch.equal(one, other)

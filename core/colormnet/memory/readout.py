"""Reading the memory: similarity, top-k, softmax, weighted sum of values (paper equations 9-10; network.md section 5).

The similarity of a query token ``q`` with selection ``e`` to a memory token ``k`` with shrinkage ``s`` is the
anisotropic L2 ``-s * sum_c e_c (k_c - q_c)^2 / sqrt(Ck)``. No matrix of all queries by all tokens ever exists: queries
go in chunks, and with a top-k only the kept similarities reach the softmax and the backward pass.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Matrix products of few rows take other code paths in the BLAS; rows come in multiples of this, so that the bits of a
# row do not depend on the chunk it is computed in.
_ROW_MULTIPLE = 64
_CHUNK_BYTES = 64 * 2**20
_GATHERED_BYTES = 2 * 2**20  # of kept keys at a time on a processor: they are gone through twice, in its cache
_BLOCK = 64
# Usage is summed in fixed point: integer addition is associative, so the sum is the same on every run of every device.
_USAGE_SCALE = float(2**40)


class MemoryRead(NamedTuple):
    """What a read returns, and what it tells the memory about itself."""

    value: Tensor  # (B, Cv, N), dtype of the values
    similarity: Tensor  # (B, 1, N), the best similarity found per query, <= 0
    usage: Tensor  # (B, M), the total weight each memory token received; carries no gradient


def read(
    query: Tensor,
    selection: Tensor | None,
    key: Tensor,
    shrinkage: Tensor,
    value: Tensor,
    top_k: int | None = 30,
    chunk: int | None = None,
) -> MemoryRead:
    """Weighted mean of the memory's values for each query token.

    Args:
        query: (B, Ck, N) key of the frame that asks.
        selection: (B, Ck, N) weight of each key channel, in [0, 1]; None: 1 for all.
        key: (B, Ck, M) keys of the memory.
        shrinkage: (B, 1, M) sharpness of each memory token, >= 1.
        value: (B, Cv, M) values of the memory. Token-major storage (a transposed view) saves a copy.
        top_k: how many tokens take part per query (all when None or at least M).
        chunk: queries computed at once with a top-k; chosen from the size of the memory when None. The result does not
            depend on it.

    Returns:
        A `MemoryRead`. Differentiable in all five tensors. Similarity and softmax are computed in float32 (float64 for
        float64 input), under autocast too.
    """
    dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
    batch, _, count = query.shape
    tokens = key.shape[-1]
    if tokens == 0:
        raise ValueError("the memory is empty: nothing to read from")
    keep = None if top_k is None or top_k >= tokens else top_k
    rows = chunk if chunk is not None else _CHUNK_BYTES // (tokens * dtype.itemsize)
    rows = max(_ROW_MULTIPLE, rows // _ROW_MULTIPLE * _ROW_MULTIPLE) if keep is not None else _ROW_MULTIPLE

    values, similarities, usages = [], [], []
    with torch.autocast(query.device.type, enabled=False):
        for b in range(batch):
            q = query[b].T.to(dtype)
            e = None if selection is None else selection[b].T.to(dtype)
            k = key[b].T.to(dtype).contiguous()
            s = shrinkage[b].T.to(dtype)
            v = value[b].T.contiguous()
            index_side = _memory_side(k, s, e is not None)
            usage = torch.zeros(tokens, dtype=torch.int64, device=query.device)
            parts, bests = [], []
            for start in range(0, count, rows):
                qc, ec = q[start : start + rows], None if e is None else e[start : start + rows]
                if keep is None:
                    part, best = _read_all(qc, ec, index_side, v, usage)
                else:
                    part, best = _read_top(qc, ec, k, s, v, index_side, keep, usage)
                parts.append(part)
                bests.append(best)
            values.append(torch.cat(parts).T)
            similarities.append(torch.cat(bests)[None])
            usages.append(usage.to(dtype) / _USAGE_SCALE)
    return MemoryRead(torch.stack(values), torch.stack(similarities), torch.stack(usages))


def _memory_side(k: Tensor, s: Tensor, selective: bool) -> Tensor:
    """(M, 2 Ck + 1), or (M, Ck + 2) without selection: the memory's factor of the similarity as one matrix product."""
    squares = k * k if selective else k.square().sum(1, keepdim=True)
    return torch.cat([squares, k, torch.ones_like(s)], 1) * (s / -math.sqrt(k.shape[1]))


def _query_side(q: Tensor, e: Tensor | None) -> Tensor:
    """(n, 2 Ck + 1), or (n, Ck + 2) without selection, rows padded with zeros to a multiple of `_ROW_MULTIPLE`."""
    eq = q if e is None else e * q
    side = torch.cat([torch.ones_like(q[:, :1]) if e is None else e, -2 * eq, (eq * q).sum(1, keepdim=True)], 1)
    return F.pad(side, (0, 0, 0, -side.shape[0] % _ROW_MULTIPLE))


def _top(similarity: Tensor, keep: int) -> Tensor:
    """Indices (n, keep) of the largest entries of each row, the order being of no importance.

    A large row is searched in two steps: the ``keep`` largest entries can only lie in the ``keep`` blocks with the
    largest maxima, and a maximum of blocks is much faster than a partial sort of the row.
    """
    rows, tokens = similarity.shape
    blocks = tokens // _BLOCK
    if blocks <= 2 * keep:
        return similarity.topk(keep, dim=1).indices
    body = torch.unflatten(similarity[:, : blocks * _BLOCK], 1, (blocks, _BLOCK))
    best = body.amax(2).topk(keep, dim=1).indices
    candidates = (best[:, :, None] * _BLOCK + torch.arange(_BLOCK, device=best.device)).flatten(1)
    tail = torch.arange(blocks * _BLOCK, tokens, device=best.device).expand(rows, -1)
    candidates = torch.cat([candidates, tail], 1)
    return candidates.gather(1, similarity.gather(1, candidates).topk(keep, dim=1).indices)


def _read_top(
    q: Tensor, e: Tensor | None, k: Tensor, s: Tensor, v: Tensor, memory_side: Tensor, keep: int, usage: Tensor
) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        chosen = _top(_query_side(q, e) @ memory_side.T, keep)[: q.shape[0]]
    flat = chosen.flatten()
    distance = _kept_distance(q, e, k, chosen)
    similarity = distance * (s[:, 0].index_select(0, flat).view(chosen.shape) / -math.sqrt(k.shape[1]))
    weight = similarity.softmax(1)
    _count(usage, flat, weight)
    return _weighted_sum(chosen, weight, v), similarity.amax(1)


def _kept_distance(q: Tensor, e: Tensor | None, k: Tensor, chosen: Tensor) -> Tensor:
    """(n, keep): squared distance of each row's chosen tokens, each channel weighted by ``e``.

    Computed again in the direct form: it loses no digits to cancellation, and it is all that the backward pass has to
    see.
    """
    count, keep = chosen.shape
    rows = count if k.is_cuda else max(1, _GATHERED_BYTES // (keep * k.shape[1] * k.element_size()))
    parts = []
    for start in range(0, count, rows):
        some, query = chosen[start : start + rows], q[start : start + rows, None]
        squares = torch.unflatten(k.index_select(0, some.flatten()), 0, some.shape).sub_(query).square()
        parts.append((squares if e is None else e[start : start + rows, None] * squares).sum(2))
    return torch.cat(parts)


def _weighted_sum(chosen: Tensor, weight: Tensor, v: Tensor) -> Tensor:
    """(n, Cv): sum over each row's chosen tokens of weight times value, without a copy of the gathered values."""
    return F.embedding_bag(chosen, v, per_sample_weights=weight.to(v.dtype), mode="sum")


def _read_all(q: Tensor, e: Tensor | None, memory_side: Tensor, v: Tensor, usage: Tensor) -> tuple[Tensor, Tensor]:
    count = q.shape[0]
    similarity = (_query_side(q, e) @ memory_side.T).clamp(max=0)
    weight = similarity.softmax(1)
    used = (weight[:count].detach().double() * _USAGE_SCALE).round().long()
    usage += used.sum(0)
    return (weight.to(v.dtype) @ v)[:count], similarity[:count].amax(1)


def _count(usage: Tensor, flat: Tensor, weight: Tensor) -> None:
    usage.scatter_add_(0, flat, (weight.detach().flatten().double() * _USAGE_SCALE).round().long())

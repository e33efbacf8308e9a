"""Compressing the working memory's older frames into prototypes (paper equations 6-8; network.md section 5)."""

import torch
from torch import Tensor

from colormnet.memory.readout import read
from colormnet.memory.tokens import Tokens


def consolidate(candidates: Tokens, prototypes: int, weighted: bool) -> Tokens:
    """The most used candidates as prototypes, at most ``prototypes`` of them, with usage 0 and a new life.

    ``weighted``: value and shrinkage of a prototype are the mean over *all* candidates, weighted by the softmax of
    their similarity to the prototype's key under the prototype's selection (the release). Otherwise they are the
    selected token's own (the paper).
    """
    chosen = candidates.take(_largest(candidates.rate(), min(prototypes, len(candidates))))
    if not weighted:
        return Tokens.fresh(chosen.key, chosen.shrinkage, chosen.selection, chosen.value)
    content = torch.cat([candidates.value, candidates.shrinkage.to(candidates.value.dtype)], 1)
    mixed = (
        read(
            chosen.key.T[None],
            chosen.selection.T[None],
            candidates.key.T[None],
            candidates.shrinkage.T[None],
            content.T[None],
            top_k=None,
        )
        .value[0]
        .T
    )
    shrinkage = mixed[:, -1:].to(chosen.shrinkage.dtype)
    return Tokens.fresh(chosen.key, shrinkage, chosen.selection, mixed[:, :-1].contiguous())


def evict(tokens: Tokens, keep: int) -> Tokens:
    """The ``keep`` tokens with the highest usage per read, in their old order; all of them if there are no more."""
    if len(tokens) <= keep:
        return tokens
    return tokens.take(_largest(tokens.rate(), keep).sort().values)


def _largest(rate: Tensor, count: int) -> Tensor:
    """Indices of the largest entries; of equal ones the earlier first, on every device."""
    return rate.argsort(descending=True, stable=True)[:count]

"""A set of memory tokens."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

NEW_LIFE = 1e-7  # a token's life before its first read; keeps usage / life finite


@dataclass(frozen=True)
class Tokens:
    """M memory tokens, token-major, so that a read gathers values without a copy."""

    key: Tensor  # (M, Ck)
    shrinkage: Tensor  # (M, 1)
    selection: Tensor  # (M, Ck)
    value: Tensor  # (M, Cv)
    usage: Tensor  # (M,) total weight received in reads, float32 or float64
    life: Tensor  # (M,) reads lived through

    @classmethod
    def fresh(cls, key: Tensor, shrinkage: Tensor, selection: Tensor, value: Tensor) -> "Tokens":
        """Tokens that no read has seen yet."""
        dtype = torch.float64 if key.dtype == torch.float64 else torch.float32
        usage = torch.zeros(key.shape[0], dtype=dtype, device=key.device)
        return cls(key, shrinkage, selection, value, usage, torch.full_like(usage, NEW_LIFE))

    @classmethod
    def join(cls, *parts: "Tokens") -> "Tokens":
        """The tokens of all parts, in order."""
        return cls(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def __len__(self) -> int:
        return self.key.shape[0]

    def rate(self) -> Tensor:
        """(M,): usage per read, the paper's normalised cumulative similarity (equation 6)."""
        return self.usage / self.life

    def take(self, which: Tensor | slice) -> "Tokens":
        """The tokens at the given places; an index tensor copies them."""
        return self.map(lambda field: field[which])

    def map(self, function: Callable[[Tensor], Tensor]) -> "Tokens":
        """The same tokens with a function applied to every field."""
        return Tokens(*(function(getattr(self, f.name)) for f in fields(self)))

    def tensors(self) -> dict[str, Tensor]:
        """Fields by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def nbytes(self) -> int:
        """Bytes held."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors().values())

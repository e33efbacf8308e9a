"""How the memory propagates features across frames (paper section 3.2; network.md section 5)."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from colormnet.errors import InputError

_CHOICES = {
    "consolidation": ("weighted", "selected"),
    "local_reference": ("memorised", "previous"),
    "propagation": ("mfp", "stacking", "recurrent"),
}


@dataclass(frozen=True)
class MemorySettings:
    """Rules of the memory. The defaults are the released network's.

    Attributes:
        every: a frame is memorised this many frames after the last memorised one (the paper's gamma).
        working_frames: frames in the working memory, the exemplar counted, at which it is consolidated (N_s).
        kept_frames: frames that then stay, the exemplar counted (N_s - N_e).
        prototypes: tokens that a consolidation makes of the frames between (M).
        long_term_tokens: capacity of the long-term memory.
        count_long_term_usage: whether long-term tokens that are seldom read are evicted when the capacity is reached.
            None: the release's rule where the clip's length is known (only clips long enough to fill the memory), else
            yes. False: nothing is ever evicted, and the long-term memory has no bound.
        top_k: memory tokens that take part in a read, per query; all when None.
        consolidation: ``weighted``: a prototype's value is a similarity-weighted mean (the release); ``selected``: the
            selected vectors themselves (the paper's equations 7-8).
        local_reference: the frame that local attention reads: the newest ``memorised`` one (the release) or the
            ``previous`` one (the paper).
        propagation: ``mfp``; or the alternatives of the paper's Table 2: ``stacking`` memorises every frame and never
            consolidates; ``recurrent`` remembers the exemplars and the previous frame only.
    """

    every: int = 5
    working_frames: int = 10
    kept_frames: int = 5
    prototypes: int = 128
    long_term_tokens: int = 10_000
    count_long_term_usage: bool | None = None
    top_k: int | None = 30
    consolidation: Literal["weighted", "selected"] = "weighted"
    local_reference: Literal["memorised", "previous"] = "memorised"
    propagation: Literal["mfp", "stacking", "recurrent"] = "mfp"

    def __post_init__(self) -> None:
        for name in ("every", "working_frames", "kept_frames", "prototypes", "long_term_tokens"):
            if getattr(self, name) < 1:
                raise InputError(f"memory setting {name} must be at least 1, not {getattr(self, name)}")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"memory setting top_k must be at least 1 (or None for all tokens), not {self.top_k}")
        if self.kept_frames >= self.working_frames:
            raise InputError(
                f"memory setting kept_frames ({self.kept_frames}) must be below working_frames ({self.working_frames})"
            )
        if self.prototypes > self.long_term_tokens:
            raise InputError(
                f"memory setting prototypes ({self.prototypes}) exceeds long_term_tokens ({self.long_term_tokens})"
            )
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(f"memory setting {name} must be one of {', '.join(choices)}")

    def evicts(self, clip_length: int | None, frames_seen: int) -> bool:
        """Whether a full long-term memory gives up its least used tokens.

        The release decides from the clip's length, ``length / (T - K) * M >= capacity``. A clip that outlasts the
        length it was declared with is treated as one of unknown length, so that the memory stays bounded.
        """
        if self.count_long_term_usage is not None:
            return self.count_long_term_usage
        if clip_length is None or frames_seen > clip_length:
            return True
        consolidated = self.working_frames - self.kept_frames
        return clip_length / consolidated * self.prototypes >= self.long_term_tokens

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a snapshot's header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "MemorySettings":
        """The inverse of `to_dict`. Raises InputError for unknown settings."""
        unknown = set(data) - {f.name for f in fields(cls)}
        if unknown:
            raise InputError(f"unknown memory settings: {', '.join(sorted(unknown))}")
        return cls(**data)

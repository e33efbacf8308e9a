"""MFP: the tokens of one clip in tiers, permanent (exemplars), working and long-term (network.md section 5)."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from colormnet.memory.consolidation import consolidate, evict
from colormnet.memory.readout import MemoryRead, read
from colormnet.memory.settings import MemorySettings
from colormnet.memory.tokens import Tokens
from colormnet.network.interface import Keys, Readout


@dataclass(frozen=True)
class MemorisedFrame:
    """A frame in the memory: how many tokens it has, and whether it stays for ever."""

    tokens: int
    permanent: bool


class MemoryBank:
    """Tokens ``[long-term | frames in the order they came]``; frames are permanent or working.

    Batch size is 1. Nothing here learns: values enter and leave, the bank counts how they are used.
    """

    def __init__(self, settings: MemorySettings) -> None:
        self.settings = settings
        self.frames: list[MemorisedFrame] = []
        self.long_term = 0  # tokens
        self._tokens: Tokens | None = None

    def __len__(self) -> int:
        return 0 if self._tokens is None else len(self._tokens)

    @property
    def tokens(self) -> Tokens | None:
        """All tokens, or None while the memory is empty."""
        return self._tokens

    def nbytes(self) -> int:
        """Bytes held by all tiers."""
        return 0 if self._tokens is None else self._tokens.nbytes()

    def read(self, keys: Keys, exemplars: bool = False) -> Readout:
        """The memory's answer to a frame; counts the usage and the life of every token.

        ``exemplars``: ask the permanent frames once more on their own, where there are any; that counts nothing.
        """
        if self._tokens is None:
            raise ValueError("the memory is empty: nothing to read from")
        tokens = self._tokens
        answer = self._ask(keys, tokens)
        self._tokens = replace(tokens, usage=tokens.usage + answer.usage[0], life=tokens.life + 1)
        own = self._permanent() if exemplars else None
        return _readout(keys, answer, None if own is None else _readout(keys, self._ask(keys, own)))

    def _ask(self, keys: Keys, tokens: Tokens) -> MemoryRead:
        return read(
            keys.key.flatten(2),
            keys.selection.flatten(2),
            tokens.key.T[None],
            tokens.shrinkage.T[None],
            tokens.value.T[None],
            self.settings.top_k,
        )

    def _permanent(self) -> Tokens | None:
        found = [tokens for frame, tokens in self._by_frame() if frame.permanent]
        return Tokens.join(*found) if found else None

    def memorise(self, keys: Keys, value: Tensor, permanent: bool, evicting: bool) -> None:
        """Add a frame, (1, C, h, w) each, then consolidate if the working memory is full.

        ``evicting``: whether a full long-term memory gives up its least used tokens first.
        """
        maps = (keys.key, keys.shrinkage, keys.selection, value)
        fresh = Tokens.fresh(*(m[0].flatten(1).T.contiguous() for m in maps))
        if not permanent and self.settings.propagation == "recurrent":
            self._drop_working()
        self._tokens = fresh if self._tokens is None else Tokens.join(self._tokens, fresh)
        self.frames.append(MemorisedFrame(len(fresh), permanent))
        if self.settings.propagation == "mfp" and self._working() + 1 >= self.settings.working_frames:
            self._consolidate(evicting)

    def _working(self) -> int:
        return sum(not frame.permanent for frame in self.frames)

    def _consolidate(self, evicting: bool) -> None:
        """Permanent frames and the newest ``kept_frames - 1`` stay; the others become prototypes.

        Of several exemplars only the first counts as a frame of the working memory: others do not crowd it out.
        """
        older = self._working() - (self.settings.kept_frames - 1)
        if older <= 0 or self._tokens is None:
            return
        long_term, stay, leave, kept = self._tokens.take(slice(0, self.long_term)), [], [], []
        for frame, tokens in self._by_frame():
            if not frame.permanent and older > 0:
                older -= 1
                leave.append(tokens)
            else:
                stay.append(tokens)
                kept.append(frame)
        if evicting and len(long_term) >= self.settings.long_term_tokens - self.settings.prototypes:
            long_term = evict(long_term, self.settings.long_term_tokens - self.settings.prototypes)
        weighted = self.settings.consolidation == "weighted"
        prototypes = consolidate(Tokens.join(*leave), self.settings.prototypes, weighted)
        self.long_term = len(long_term) + len(prototypes)
        self._tokens = Tokens.join(long_term, prototypes, *stay)
        self.frames = kept

    def _drop_working(self) -> None:
        pairs = [(frame, tokens) for frame, tokens in self._by_frame() if frame.permanent]
        self.frames = [frame for frame, _ in pairs]
        self._tokens = Tokens.join(*(tokens for _, tokens in pairs)) if pairs else None

    def _by_frame(self) -> list[tuple[MemorisedFrame, Tokens]]:
        pairs: list[tuple[MemorisedFrame, Tokens]] = []
        start = self.long_term
        if self._tokens is not None:
            for frame in self.frames:
                pairs.append((frame, self._tokens.take(slice(start, start + frame.tokens))))
                start += frame.tokens
        return pairs

    def state(self) -> tuple[list[MemorisedFrame], int, Tokens | None]:
        """All of the bank, for `restore`. Tokens are never changed in place, so this costs nothing."""
        return list(self.frames), self.long_term, self._tokens

    def restore(self, frames: list[MemorisedFrame], long_term: int, tokens: Tokens | None) -> None:
        """Put an earlier or a saved `state` back. Raises ValueError if its parts do not agree."""
        expected = long_term + sum(frame.tokens for frame in frames)
        if expected != (0 if tokens is None else len(tokens)):
            raise ValueError(f"{expected} tokens announced, {0 if tokens is None else len(tokens)} found")
        self.frames = list(frames)
        self.long_term = long_term
        self._tokens = tokens


def _readout(keys: Keys, answer: MemoryRead, exemplars: Readout | None = None) -> Readout:
    height, width = keys.key.shape[2:]
    value, similarity = (torch.unflatten(plane, 2, (height, width)) for plane in (answer.value, answer.similarity))
    return Readout(value, similarity, exemplars)

"""MFP: the tokens of one clip in tiers, permanent (exemplars), working and long-term (network.md section 5)."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from colormnet.memory.consolidation import consolidate, evict
from colormnet.memory.readout import MemoryRead, read
from colormnet.memory.settings import MemorySettings
from colormnet.memory.tokens import Tokens
from colormnet.network.interface import Keys, Readout, Values

_AHEAD = 2  # answers kept for frames to come: the next one's, while that of the frame in hand is still needed


@dataclass(frozen=True)
class MemorisedFrame:
    """A frame in the memory: how many tokens it has, and whether it stays for ever."""

    tokens: int
    permanent: bool


class _Ahead(NamedTuple):
    """What the exemplars ``known`` at the time answer to a frame that has not come yet."""

    asked: Tensor
    known: Tokens
    answer: Readout


class MemoryBank:
    """Tokens ``[long-term | frames in the order they came]``; frames are permanent or working.

    Where the network has a finer grid, the exemplars are kept once more as `fine` tokens, which are only looked up: the
    rules of the tiers do not touch them.

    Batch size is 1. Nothing here learns: values enter and leave, the bank counts how they are used.
    """

    def __init__(self, settings: MemorySettings) -> None:
        self.settings = settings
        self.frames: list[MemorisedFrame] = []
        self.long_term = 0  # tokens
        self._tokens: Tokens | None = None
        self._fine: Tokens | None = None
        self._ahead: tuple[_Ahead, ...] = ()

    def __len__(self) -> int:
        return 0 if self._tokens is None else len(self._tokens)

    @property
    def tokens(self) -> Tokens | None:
        """All tokens, or None while the memory is empty."""
        return self._tokens

    @property
    def fine(self) -> Tokens | None:
        """The exemplars' tokens on the finer grid, or None where there are none."""
        return self._fine

    def nbytes(self) -> int:
        """Bytes held by all tiers and by the fine tokens."""
        return sum(tokens.nbytes() for tokens in (self._tokens, self._fine) if tokens is not None)

    def read(self, keys: Keys) -> Readout:
        """The memory's answer to a frame, and the exemplars' own; counts the usage and the life of every token."""
        if self._tokens is None:
            raise ValueError("the memory is empty: nothing to read from")
        tokens = self._tokens
        answer = self._ask(keys.key, keys.selection, tokens)
        self._tokens = replace(tokens, usage=tokens.usage + answer.usage[0], life=tokens.life + 1)
        return _readout(keys.key, answer, self._exemplars_answer(keys))

    def look_up(self, keys: Keys) -> None:
        """Work out ahead what the exemplars will answer to a frame; `read` finds it. Another thread may do this."""
        known = self._fine  # once: an exemplar may come in while they are asked, and this is not its answer
        if keys.fine is not None and known is not None:
            answer = _readout(keys.fine, self._ask(keys.fine, None, known))
            self._ahead = (*self._ahead[1 - _AHEAD :], _Ahead(keys.fine, known, answer))

    def _exemplars_answer(self, keys: Keys) -> Readout | None:
        if keys.fine is None or self._fine is None:
            return None
        for ahead in self._ahead:
            if ahead.asked is keys.fine and ahead.known is self._fine:
                return ahead.answer
        return _readout(keys.fine, self._ask(keys.fine, None, self._fine))

    def _ask(self, key: Tensor, selection: Tensor | None, tokens: Tokens) -> MemoryRead:
        return read(
            key.flatten(2),
            None if selection is None else selection.flatten(2),
            tokens.key.T[None],
            tokens.shrinkage.T[None],
            tokens.value.T[None],
            self.settings.top_k,
        )

    def memorise(self, keys: Keys, values: Values, permanent: bool, evicting: bool) -> None:
        """Add a frame, (1, C, h, w) each, then consolidate if the working memory is full.

        ``evicting``: whether a full long-term memory gives up its least used tokens first.
        """
        fresh = _tokens(keys.key, keys.shrinkage, keys.selection, values.value)
        if permanent and keys.fine is not None and values.fine is not None:
            # Asked without selection, and never consolidated: none is kept.
            known = _tokens(keys.fine, torch.ones_like(keys.fine[:, :1]), keys.fine[:, :0], values.fine)
            self._fine = known if self._fine is None else Tokens.join(self._fine, known)
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

    def state(self) -> tuple[list[MemorisedFrame], int, Tokens | None, Tokens | None]:
        """All of the bank, for `restore`. Tokens are never changed in place, so this costs nothing."""
        return list(self.frames), self.long_term, self._tokens, self._fine

    def restore(
        self, frames: list[MemorisedFrame], long_term: int, tokens: Tokens | None, fine: Tokens | None = None
    ) -> None:
        """Put an earlier or a saved `state` back. Raises ValueError if its parts do not agree."""
        expected = long_term + sum(frame.tokens for frame in frames)
        if expected != (0 if tokens is None else len(tokens)):
            raise ValueError(f"{expected} tokens announced, {0 if tokens is None else len(tokens)} found")
        self.frames = list(frames)
        self.long_term = long_term
        self._tokens = tokens
        self._fine = fine


def _tokens(*maps: Tensor) -> Tokens:
    """Fresh tokens of key, shrinkage, selection and value, (1, C, h, w) each."""
    return Tokens.fresh(*(m[0].flatten(1).T.contiguous() for m in maps))


def _readout(asked: Tensor, answer: MemoryRead, exemplars: Readout | None = None) -> Readout:
    height, width = asked.shape[2:]
    value, similarity = (torch.unflatten(plane, 2, (height, width)) for plane in (answer.value, answer.similarity))
    return Readout(value, similarity, exemplars)

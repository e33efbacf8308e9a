"""A network run over a batch of sequences, with gradients; the training twin of the session's steps."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from colormnet.memory.readout import read
from colormnet.network.interface import ColorNetwork, Keys, Readout, Values
from colormnet.network.lite import Lite


class Prediction(NamedTuple):
    """What a frame's loss sees."""

    chroma: Tensor  # (B, 2, H, W), before clamping where the network allows it
    certainty: Tensor | None  # logits (B, 1, H, W), lite only
    memory: Tensor | None  # (B, 2, H/4, W/4) chroma as the memory read gives it, lite only
    exemplars: Tensor | None  # (B, 2, H/4, W/4) chroma as a read of the exemplars alone gives it, lite only
    guess: Tensor | None  # (B, 2, H/4, W/4), lite only
    local: Tensor | None  # (B, 8, H/8, W/8) chroma as local attention gives it, folded 2x2, lite only


def unroll(
    network: ColorNetwork,
    luminance: Tensor,
    chroma: Tensor,
    foreign: bool,
    memory_every: int,
    top_k: int,
    propagation: str = "mfp",
) -> list[Prediction]:
    """Colorize short sequences, to learn from all of their frames at once.

    Args:
        network: the network, in training mode.
        luminance: (B, T, 1, H, W); chroma: (B, T, 2, H, W) true planes. Frame 0 is the exemplar.
        foreign: frame 0 is not a frame of the shot, and nothing is carried from it to frame 1.
        memory_every: every so many frames are memorised.
        top_k: tokens a read keeps.
        propagation: ``mfp``; ``stacking`` memorises every frame; ``recurrent`` keeps the exemplar and the newest.

    Returns:
        Predictions of frames 1 to T - 1, with gradients through the memory and the hidden state. The chroma that
        travels to later frames is detached: each frame answers for itself.
    """
    batch, count = luminance.shape[:2]
    every = network.encode_key(luminance.flatten(0, 1))
    keys = [_frame(every, batch, count, t) for t in range(count)]
    shot = _Shot(network, memory_every, top_k, propagation)
    values = shot.remember_exemplar(keys[0], luminance[:, 0], chroma[:, 0], foreign)
    if not foreign:
        shot.refer(keys[0], luminance[:, 0], chroma[:, 0], values)
    return [
        shot.colorize(keys[t], luminance[:, t], t, last=t == count - 1, dtype=chroma.dtype) for t in range(1, count)
    ]


def roll_out(
    network: ColorNetwork,
    luminance: Tensor,
    chroma: Tensor,
    foreign: bool,
    memory_every: int,
    top_k: int,
    propagation: str = "mfp",
) -> Iterator[Prediction]:
    """Colorize long sequences frame after frame; the network may learn from each before the next is asked for.

    What a long run wears away is then there to be seen: nothing is given but the exemplar. A frame's prediction has
    gradients through that frame and the exemplar; what earlier frames left behind is taken as it is.

    Args:
        network, luminance, chroma, foreign, memory_every, top_k, propagation: as for `unroll`.

    Yields:
        Predictions of frames 1 to T - 1.
    """
    batch, count = luminance.shape[:2]
    shot = _Shot(network, memory_every, top_k, propagation)
    for t in range(1, count):
        both = network.encode_key(luminance[:, [0, t]].flatten(0, 1))
        exemplar, keys = _frame(both, batch, 2, 0), _frame(both, batch, 2, 1)
        values = shot.remember_exemplar(exemplar, luminance[:, 0], chroma[:, 0], foreign)
        if t == 1 and not foreign:
            shot.refer(exemplar, luminance[:, 0], chroma[:, 0], values)
        yield shot.colorize(keys, luminance[:, t], t, last=t == count - 1, dtype=chroma.dtype)
        shot.forget_gradients()


class _Shot:
    """The state of a batch of shots: the memory as a plain list, the hidden state, local attention's reference."""

    def __init__(self, network: ColorNetwork, memory_every: int, top_k: int, propagation: str) -> None:
        self._network, self._every, self._top_k, self._propagation = network, memory_every, top_k, propagation
        self._bank: list[tuple[Keys, Tensor]] = []
        self._exemplar: tuple[Tensor, Tensor] | None = None  # on the finer grid: keys, values
        self._hidden: Tensor | None = None
        self._reference: tuple[Tensor, ...] | None = None

    def remember_exemplar(self, keys: Keys, luminance: Tensor, chroma: Tensor, foreign: bool) -> Values:
        """Memorise the exemplar first of all, or once more with the network as it is by now."""
        hidden = self._network.initial_hidden(keys)
        values = self._network.encode_value(keys, luminance, chroma, hidden, deep=not foreign)
        if not self._bank:
            self._hidden = values.hidden if not foreign else hidden
        self._bank[:1] = [(keys, values.value)]
        if keys.fine is not None and values.fine is not None:
            self._exemplar = keys.fine, values.fine
        return values

    def refer(
        self,
        keys: Keys,
        luminance: Tensor,
        chroma: Tensor,
        values: Values | None,
        kept: tuple[Tensor, ...] | None = None,
    ) -> None:
        """Make a frame the one that local attention reads."""
        reference = self._network.reference(keys, luminance, chroma, values, self._reference, kept)
        # Matching is learned through the query's side alone; scattering gradients into the reference buys nothing.
        self._reference = tuple(r.detach() for r in reference)

    def colorize(self, keys: Keys, luminance: Tensor, t: int, last: bool, dtype: torch.dtype) -> Prediction:
        """Predict frame ``t``, memorise it if it is due, and make it the reference."""
        network = self._network
        local = None if self._reference is None else network.read_locally(keys, luminance, self._reference)
        readout = self._read(keys)
        memorise = (self._propagation != "mfp" or t % self._every == 0) and not last
        if isinstance(network, Lite):
            planes, logits, (memory, exemplars, guess, read) = network.compose(keys, luminance, readout, local)
            prediction = Prediction(planes, logits, memory, exemplars, guess, None if local is None else read)
            kept: tuple[Tensor, ...] | None = network.kept(logits.detach(), local)
        else:
            decoded = network.decode(keys, luminance, readout, local, self._hidden, update_hidden=not memorise)
            self._hidden = decoded.hidden
            prediction = Prediction(decoded.chroma, None, None, None, None, None)
            kept = decoded.kept
        carried_on = prediction.chroma.detach().clamp(-1, 1).to(dtype)
        values = None
        if memorise or network.reference_needs_value:
            values = network.encode_value(keys, luminance, carried_on, self._hidden, deep=memorise)
        if memorise and values is not None:
            self._hidden = values.hidden
            if self._propagation == "recurrent":
                del self._bank[1:]
            self._bank.append((keys, values.value))
        self.refer(keys, luminance, carried_on, values, kept)
        return prediction

    def forget_gradients(self) -> None:
        """Keep what the memory and the hidden state hold, not how it came about."""
        self._bank = [(_detached(keys), value.detach()) for keys, value in self._bank]
        self._hidden = None if self._hidden is None else self._hidden.detach()

    def _read(self, keys: Keys) -> Readout:
        """What the memory answers, and the exemplar on its own where the network has a finer grid."""
        frames, exemplar = self._bank, self._exemplar
        found = None
        if keys.fine is not None and exemplar is not None:
            known, values = exemplar
            found = self._ask(keys.fine, None, known.flatten(2), torch.ones_like(known[:, :1]).flatten(2), values)
        return self._ask(
            keys.key,
            keys.selection.flatten(2),
            torch.cat([k.key.flatten(2) for k, _ in frames], 2),
            torch.cat([k.shrinkage.flatten(2) for k, _ in frames], 2),
            torch.cat([v.flatten(2) for _, v in frames], 2),
        )._replace(exemplars=found)

    def _ask(self, query: Tensor, selection: Tensor | None, key: Tensor, shrinkage: Tensor, value: Tensor) -> Readout:
        got = read(query.flatten(2), selection, key, shrinkage, value.flatten(2), top_k=self._top_k)
        planes = torch.unflatten(got.value, 2, query.shape[2:]), torch.unflatten(got.similarity, 2, query.shape[2:])
        value, similarity = (plane.to(query.dtype) for plane in planes)
        return Readout(value, similarity)


def _frame(keys: Keys, batch: int, count: int, t: int) -> Keys:
    def pick(x: Tensor) -> Tensor:
        return x.view(batch, count, *x.shape[1:])[:, t]

    return _each(keys, pick)


def _detached(keys: Keys) -> Keys:
    return _each(keys, Tensor.detach)


def _each(keys: Keys, function: Callable[[Tensor], Tensor]) -> Keys:
    maps = tuple(function(m) for m in keys.maps)
    fine = None if keys.fine is None else function(keys.fine)
    return Keys(function(keys.key), function(keys.shrinkage), function(keys.selection), maps, fine)

"""A network run over a batch of short sequences, with gradients; the training twin of the session's steps."""

from typing import NamedTuple

import torch
from torch import Tensor

from colormnet.memory.readout import read
from colormnet.network.interface import ColorNetwork, Keys, Readout
from colormnet.network.lite import Lite


class Prediction(NamedTuple):
    """What a frame's loss sees."""

    chroma: Tensor  # (B, 2, H, W), before clamping where the network allows it
    certainty: Tensor | None  # logits (B, 1, h, w), lite only
    memory: Tensor | None  # (B, 2, H/4, W/4) chroma as the memory read gives it, lite only
    guess: Tensor | None  # (B, 2, H/4, W/4), lite only
    local: Tensor | None  # (B, 8, H/8, W/8) chroma as local attention gives it, folded 2x2, lite only


def unroll(
    network: ColorNetwork,
    luminance: Tensor,
    chroma: Tensor,
    worn: Tensor,
    foreign: bool,
    memory_every: int,
    top_k: int,
    propagation: str = "mfp",
) -> list[Prediction]:
    """Colorize the frames of each sequence as in the middle of a real run; errors travel on as they do there.

    Args:
        network: the network, in training mode.
        luminance: (B, T, 1, H, W); chroma: (B, T, 2, H, W) true planes. Frame 0 is the exemplar.
        worn: (B, 2, H, W) frame 1's chroma as a long run would have carried it there.
        foreign: frame 0 is not a frame of the shot: frame 1 is predicted from the memory alone. Else frame 1 is given
            as ``worn``, and frame 2 is the first to be predicted.
        memory_every: every so many frames are memorised.
        top_k: tokens a read keeps.
        propagation: ``mfp``; ``stacking`` memorises every frame; ``recurrent`` keeps the exemplar and the newest.

    Returns:
        Predictions of the last T - 1 (foreign) or T - 2 frames. The chroma that travels to later frames is detached:
        each frame answers for itself.
    """
    batch, count = luminance.shape[:2]
    every = network.encode_key(luminance.flatten(0, 1))
    keys = [_frame(every, batch, count, t) for t in range(count)]
    hidden = network.initial_hidden(keys[0])
    values = network.encode_value(keys[0], luminance[:, 0], chroma[:, 0], hidden, deep=not foreign)
    bank = [(keys[0], values.value)]
    reference: tuple[Tensor, ...] | None = None
    if not foreign:
        reference = _detached(network.reference(keys[0], luminance[:, 0], chroma[:, 0], values))
        values = network.encode_value(keys[1], luminance[:, 1], worn, values.hidden, deep=True)
        hidden = values.hidden
        bank.append((keys[1], values.value))
        with torch.no_grad():
            local = network.read_locally(keys[1], luminance[:, 1], reference)
        reference = _detached(network.reference(keys[1], luminance[:, 1], worn, values, reference, local))
    predictions = []
    for t in range(1 if foreign else 2, count):
        local = None if reference is None else network.read_locally(keys[t], luminance[:, t], reference)
        readout = _read(keys[t], bank, top_k)
        memorise = (propagation != "mfp" or t % memory_every == 0) and t < count - 1
        if isinstance(network, Lite):
            planes, certainty, (memory, guess, read) = network.compose(keys[t], luminance[:, t], readout, local)
            prediction = Prediction(planes, certainty, memory, guess, None if local is None else read)
        else:
            decoded = network.decode(keys[t], luminance[:, t], readout, local, hidden, update_hidden=not memorise)
            hidden = decoded.hidden
            prediction = Prediction(decoded.chroma, None, None, None, None)
        predictions.append(prediction)
        carried_on = prediction.chroma.detach().clamp(-1, 1).to(chroma.dtype)
        values_t = None
        if memorise or network.reference_needs_value:
            values_t = network.encode_value(keys[t], luminance[:, t], carried_on, hidden, deep=memorise)
        if memorise and values_t is not None:
            hidden = values_t.hidden
            if propagation == "recurrent":
                del bank[1:]
            bank.append((keys[t], values_t.value))
        reference = _detached(network.reference(keys[t], luminance[:, t], carried_on, values_t, reference, local))
    return predictions


def _frame(keys: Keys, batch: int, count: int, t: int) -> Keys:
    def pick(x: Tensor) -> Tensor:
        return x.view(batch, count, *x.shape[1:])[:, t]

    return Keys(pick(keys.key), pick(keys.shrinkage), pick(keys.selection), tuple(pick(m) for m in keys.maps))


def _detached(reference: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # Matching is learned through the query's side alone; scattering gradients into the reference buys nothing.
    return tuple(r.detach() for r in reference)


def _read(keys: Keys, bank: list[tuple[Keys, Tensor]], top_k: int) -> Readout:
    size = keys.key.shape[-2:]
    got = read(
        keys.key.flatten(2),
        keys.selection.flatten(2),
        torch.cat([k.key.flatten(2) for k, _ in bank], 2),
        torch.cat([k.shrinkage.flatten(2) for k, _ in bank], 2),
        torch.cat([v.flatten(2) for _, v in bank], 2),
        top_k=top_k,
    )
    dtype, batch = keys.key.dtype, keys.key.shape[0]
    return Readout(got.value.reshape(batch, -1, *size).to(dtype), got.similarity.reshape(batch, 1, *size).to(dtype))

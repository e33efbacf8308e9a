"""One measurement in a process of its own: time per frame and peak memory of a model at a size, with a full memory.

Prints one line of JSON. ``--dense`` runs the same frames through the plain dense matrices instead.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from colormnet import Colorizer, Model, load_model
from colormnet.memory import bank
from colormnet.memory.bank import MemorisedFrame
from colormnet.memory.readout import MemoryRead
from colormnet.memory.tokens import Tokens
from colormnet.network.local_attention import LocalAttention, window_indices
from colormnet.network.model import ColorMNet


def dense_read(query: Tensor, selection: Tensor | None, key: Tensor, shrinkage: Tensor, value: Tensor, top_k: int):
    """The read-out with its matrix of all queries by all tokens, and a dense one of the kept weights."""
    selection = torch.ones_like(query) if selection is None else selection
    squares = key.square().transpose(1, 2) @ selection
    products = key.transpose(1, 2) @ (selection * query)
    offsets = (selection * query.square()).sum(1, keepdim=True)
    similarity = (squares - 2 * products + offsets) * (-shrinkage.transpose(1, 2) / math.sqrt(query.shape[1]))
    best, index = similarity.topk(min(top_k, key.shape[2]), dim=1)
    weight = torch.zeros_like(similarity).scatter_(1, index, best.softmax(1))
    return MemoryRead(value @ weight, best[:, :1], weight.sum(2))


def dense_local_attention(layer: LocalAttention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Local attention as a masked matrix of all tokens by all tokens."""
    height, width = query.shape[2:]
    index, inside = window_indices(height, width, layer.window, query.device)
    bias = layer.relative_emb_k(query).flatten(2)[0].T
    placed = torch.full((height * width, height * width), -1e8)
    rows = torch.arange(height * width)[:, None].expand_as(index)
    placed[rows[inside], index[inside]] = bias[inside]
    weight = (query[0].flatten(1).T @ key[0].flatten(1) / math.sqrt(query.shape[1]) + placed).softmax(1)
    gathered = (value[0].flatten(1) @ weight.T).view(value.shape)
    projected = layer.projection(layer.dw_conv.conv(gathered).flatten(2).transpose(1, 2))
    return projected.transpose(1, 2).reshape(value.shape)


def build(name: str) -> Model:
    """The lite checkpoint as shipped; the released network with random weights (time does not depend on them)."""
    if name == "lite":
        return load_model("lite", device="cpu")
    torch.manual_seed(0)
    return Model("released", ColorMNet())


def fill(session: Colorizer) -> None:
    """Ten frames and a long-term memory at its capacity, random tokens in place of a long clip's."""
    held = session._bank.tokens
    per_frame = len(held)
    frames = session.settings.working_frames
    total = session.settings.long_term_tokens + frames * per_frame
    generator = torch.Generator().manual_seed(1)
    scale = held.key.std()

    def draw(channels: int) -> Tensor:
        return torch.randn(total, channels, generator=generator)

    tokens = Tokens.fresh(
        draw(held.key.shape[1]).mul_(scale),
        draw(1).square_().add_(1),
        draw(held.key.shape[1]).sigmoid_(),
        draw(held.value.shape[1]),
    )
    order = [MemorisedFrame(per_frame, number == 0) for number in range(frames)]
    session._bank.restore(order, session.settings.long_term_tokens, tokens, session._bank.fine)


def status(field: str) -> int:
    """VmRSS or VmHWM of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} on this system")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=("lite", "released"))
    parser.add_argument("height", type=int)
    parser.add_argument("width", type=int)
    parser.add_argument(
        "--frames", type=int, default=2, help="timed frames before the memorised one; 0 for the peak alone"
    )
    parser.add_argument("--dense", action="store_true")
    options = parser.parse_args()
    if options.dense:
        bank.read = dense_read
        LocalAttention.forward = dense_local_attention
    model = build(options.model)
    small = Colorizer(model)
    small.add_exemplar(np.zeros((32, 32), np.float32), np.zeros((2, 32, 32), np.float32))
    small.step(np.zeros((32, 32), np.float32))  # libraries and kernels are loaded before anything is measured
    weights = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    generator = np.random.default_rng(0)
    light = generator.uniform(-1, 1, (options.height, options.width)).astype(np.float32)
    chroma = generator.uniform(-1, 1, (2, options.height, options.width)).astype(np.float32)
    session = Colorizer(model)
    session.add_exemplar(light, chroma, first_frame=True)
    session.step(light)
    fill(session)
    seconds = []
    for _ in range(options.frames):
        started = time.perf_counter()
        session.step(light)
        seconds.append(time.perf_counter() - started)
    session._last_memorised = -session.settings.every  # now a frame that is memorised, and a consolidation
    started = time.perf_counter()
    session.step(light)
    result = {
        "seconds": min(seconds, default=None),
        "seconds_memorised": time.perf_counter() - started,
        "peak_bytes": status("VmHWM") - weights,
        "memory_bytes": session.memory_bytes,
        "estimate_bytes": model.estimate_bytes(options.height, options.width),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

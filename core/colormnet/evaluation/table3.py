"""The paper's Table 3 as a command: stacking every frame against the MFP memory, over the length of the clip.

What grows with the clip is the memory and its read-out; features and decoding cost the same for every frame. So the
footage and the weights matter little: a synthetic moving texture is used and, unless a model is named, a small network
of the released structure with fresh weights, so that the comparison runs on a processor.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from colormnet.errors import InputError
from colormnet.evaluation.clips import Size
from colormnet.evaluation.metrics import Plane

if TYPE_CHECKING:
    from colormnet.model import Model
    from colormnet.session import Colorizer

LENGTHS = (25, 50, 100, 200, 400)
PROPAGATIONS = ("stacking", "mfp")
PAPER_MEMORY_SHARE = 0.078
"""MFP's share of stacking's peak GPU memory in the paper's Table 3 (NVCC2023 validation set)."""
PAPER_SPEED_UP = 14.0
"""How many times faster MFP is in the paper's Table 3."""


@dataclass(frozen=True)
class Step:
    """One frame: seconds of wall time for the step; bytes and tokens the session holds after it.

    ``work_seconds`` is what is compared: on a processor the processor time of all threads, which other programs on the
    machine hardly change; on an accelerator the wall time.
    """

    frame: int
    seconds: float
    work_seconds: float
    memory_bytes: int
    tokens: int


@dataclass(frozen=True)
class LengthRow:
    """A clip of this length: mean seconds a frame over the whole clip, and the most the session held between frames.

    ``work_seconds_per_frame`` and ``last_work_seconds`` are of `Step.work_seconds`; the latter is the median over the
    last tenth of the clip: what a further frame would cost.
    ``peak_device_bytes``: the allocator's peak on an accelerator; None on the processor.
    """

    propagation: str
    length: int
    seconds_per_frame: float
    work_seconds_per_frame: float
    last_work_seconds: float
    memory_bytes: int
    tokens: int
    peak_device_bytes: int | None


@dataclass(frozen=True)
class Table3:
    """The measurement. ``rows`` for every propagation and length; ``steps`` the curves behind them."""

    model: str
    device: str
    size: Size
    rows: tuple[LengthRow, ...]
    steps: dict[str, tuple[Step, ...]]

    def row(self, propagation: str, length: int) -> LengthRow:
        """The row of a propagation at a clip length."""
        return next(row for row in self.rows if (row.propagation, row.length) == (propagation, length))

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the table says at its longest clip, beside the paper's figures."""
        longest = max(row.length for row in self.rows)
        mfp, stacking = self.row("mfp", longest), self.row("stacking", longest)
        return (
            f"At {longest} frames MFP holds {mfp.memory_bytes / stacking.memory_bytes:.1%} of the memory that stacking "
            f"holds ({mfp.memory_bytes / 2**20:.1f} against {stacking.memory_bytes / 2**20:.1f} MiB) "
            f"and is {stacking.work_seconds_per_frame / mfp.work_seconds_per_frame:.2f} times as fast a frame over the "
            f"clip, {stacking.last_work_seconds / mfp.last_work_seconds:.2f} times at its end "
            f"({'processor' if self.device == 'cpu' else 'wall'} time).",
            f"The paper's Table 3 has {PAPER_MEMORY_SHARE:.1%} of the GPU memory and nearly {PAPER_SPEED_UP:.0f} times "
            "the speed: peak use of a GPU, the network's own memory and scratch space counted in.",
        )


Progress = Callable[[str, int, int], None]
"""Called with propagation, frames done, frames in all."""


def untrained_model(device: str = "auto") -> "Model":
    """A small network of the released structure, float32, fresh weights: what a step costs does not depend on them."""
    import torch

    from colormnet.device import choose_device
    from colormnet.model import Model
    from colormnet.network.variants import build_variant

    torch.manual_seed(0)
    return Model("small-released", build_variant("small-released"), device=choose_device(device))


def moving_texture(size: Size) -> Callable[[int], Plane]:
    """Frame number to luminance (H, W), network units: a texture that moves two pixels a frame, back and forth."""
    generator = np.random.default_rng(7)
    width = size.width + 2 * 64
    coarse = generator.uniform(-0.8, 0.8, (max(2, size.height // 12), max(2, width // 12))).astype(np.float32)
    texture = np.asarray(cv2.resize(coarse, (width, size.height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
    texture = np.clip(texture, -1.0, 1.0)

    def frame(index: int) -> Plane:
        phase = index % 128
        offset = 2 * min(phase, 128 - phase)
        return np.ascontiguousarray(texture[:, offset : offset + size.width])

    return frame


def measure_table3(
    model: "Model", size: Size, lengths: Sequence[int] = LENGTHS, progress: Progress | None = None
) -> Table3:
    """Run both propagations over one long clip and read the rows off its course.

    On the processor the two take turns frame by frame, so that whatever else the machine does slows both alike; on an
    accelerator one follows the other, so that each has the allocator's peak to itself.
    """
    if not lengths or min(lengths) < 2:
        raise InputError("Clip lengths of two frames or more are needed for Table 3.")
    longest = max(lengths)
    frame = moving_texture(size)
    shared = model.device.type != "cuda"
    steps: dict[str, list[Step]] = {name: [] for name in PROPAGATIONS}
    peaks: dict[str, dict[int, int]] = {name: {} for name in PROPAGATIONS}
    groups = [PROPAGATIONS] if shared else [(name,) for name in PROPAGATIONS]
    for group in groups:
        sessions = {name: _session(model, name, frame(0)) for name in group}
        if not shared:
            _reset_peak(model)
        for index in range(longest):
            for name in group:
                steps[name].append(_step(model, sessions[name], frame(index), index))
                if not shared and index + 1 in lengths:
                    peaks[name][index + 1] = _peak(model)
                if progress is not None:
                    progress(name, index + 1, longest)
        sessions.clear()
    rows = [
        _row(name, length, steps[name], peaks[name].get(length)) for name in PROPAGATIONS for length in sorted(lengths)
    ]
    return Table3(
        model.name, str(model.device), size, tuple(rows), {name: tuple(taken) for name, taken in steps.items()}
    )


def _session(model: "Model", propagation: str, first: Plane) -> "Colorizer":
    from colormnet.session import Colorizer

    session = Colorizer(model, replace(model.default_memory, propagation=propagation))  # type: ignore[arg-type]
    chroma = np.stack([first, -first]) * np.float32(0.3)
    session.add_exemplar(first, chroma, first_frame=True)
    return session


def _step(model: "Model", session: "Colorizer", luminance: Plane, index: int) -> Step:
    began, worked = time.perf_counter(), time.process_time()
    session.step(luminance)
    if model.device.type == "cuda":
        import torch

        torch.cuda.synchronize(model.device)
    seconds, work = time.perf_counter() - began, time.process_time() - worked
    if model.device.type != "cpu":
        work = seconds
    return Step(index, seconds, work, session.memory_bytes, session.memory_tokens)


def _reset_peak(model: "Model") -> None:
    import torch

    torch.cuda.reset_peak_memory_stats(model.device)


def _peak(model: "Model") -> int:
    import torch

    return int(torch.cuda.max_memory_allocated(model.device))


def _row(propagation: str, length: int, steps: Sequence[Step], peak: int | None) -> LengthRow:
    taken = steps[:length]
    coloured = taken[1:]  # frame 0 is the exemplar itself
    work = [step.work_seconds for step in coloured]
    return LengthRow(
        propagation=propagation,
        length=length,
        seconds_per_frame=float(np.mean([step.seconds for step in coloured])),
        work_seconds_per_frame=float(np.mean(work)),
        last_work_seconds=float(np.median(work[-max(1, length // 10) :])),
        memory_bytes=max(step.memory_bytes for step in taken),
        tokens=max(step.tokens for step in taken),
        peak_device_bytes=peak,
    )

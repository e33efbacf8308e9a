"""The training run: data in, weights out, resumable at any round (a batch of sequences, learnt from in some steps)."""

import hashlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import torch
from torch import Tensor, nn

from colormnet.errors import InterruptedRun
from colormnet.memory.settings import MemorySettings
from colormnet.network import checkpoint
from colormnet.network.interface import ColorNetwork
from colormnet.network.lite import Lite, LiteConfig
from colormnet.network.variants import build_variant, variant
from colormnet.training import checkpoints, losses
from colormnet.training.backbone import load_pretrained_backbone
from colormnet.training.footage import Footage, load_movie, load_photos, movie_files
from colormnet.training.sequences import SequenceMaker
from colormnet.training.settings import TrainingSettings
from colormnet.training.unroll import Prediction, roll_out, unroll
from colormnet.training.validation import validate

LITE_WORKING_SIZE = 240  # short side: 427x240 for 16:9, padded to 432x240
_SHORT_SIDE = 256  # footage is held at this size in memory
# What a run may change when it goes on without becoming another run.
_FREE = {"out", "save_every", "validate_every", "validation", "validation_frames", "validation_size", "threads"}


@dataclass(frozen=True)
class Progress:
    """Told to the caller after each step."""

    step: int
    steps: int
    loss: float
    seconds: float


class _Batch(NamedTuple):
    luminance: Tensor  # (B, T, 1, S, S)
    chroma: Tensor  # (B, T, 2, S, S)
    foreign: bool


def settings_hash(settings: TrainingSettings) -> str:
    """Identity of a run: every setting that decides its weights."""
    content = {k: str(v) for k, v in asdict(settings).items() if k not in _FREE}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def build_network(settings: TrainingSettings) -> ColorNetwork:
    """The network to train, with its pretrained backbone or its starting checkpoint."""
    torch.manual_seed(settings.seed)
    network: ColorNetwork
    if settings.network == "lite":
        network = Lite(LiteConfig())
        if settings.start is None:
            load_pretrained_backbone(network.backbone)
    else:
        network = build_variant(settings.network)
    if settings.start is not None:
        stored = checkpoint.read_weights(settings.start)
        checkpoint.load_into(network, stored.tensors, str(settings.start))
    return network


def train(
    settings: TrainingSettings,
    report: Callable[[Progress], None] | None = None,
    device: str = "cpu",
    stop_after: int | None = None,
) -> Path:
    """Run (or go on with) a training run.

    Args:
        settings: the run; ``settings.out`` holds its state, and a run found there goes on.
        report: called after each step.
        device: torch device.
        stop_after: end this call after that many steps of it, as an interruption would (for tests and time slots).

    Returns:
        The exported weights, ``out/weights.safetensors`` (the average where one is kept).

    Raises:
        InterruptedRun: stopped by a signal or by ``stop_after``; the same call goes on from the last round saved.
        WeightsError: the folder holds a run with other settings.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    network = _placed(build_network(settings), device)
    freeze_norms(network)
    optimizer = _optimizer(network, settings)
    average = {n: p.detach().clone() for n, p in network.state_dict().items()} if settings.ema else {}
    state = checkpoints.RunState(0, 0, network, optimizer, average)
    identity = settings_hash(settings)
    if checkpoints.restore(settings.out, state, identity):
        state.average = {n: p.to(device) for n, p in state.average.items()}
    clips = [load_movie(path, _SHORT_SIDE) for path in movie_files(settings.clips)]
    maker = SequenceMaker(clips, load_photos(settings.photos), settings)
    unseen = [_held_out(path, settings) for path in movie_files(settings.validation)]
    target = settings.out / "weights.safetensors"
    stopping = _Stopping()
    end = settings.steps if stop_after is None else min(settings.steps, state.step + stop_after)
    with ThreadPoolExecutor(settings.threads) as pool, stopping, _curve(settings.out, state.step) as curve:
        ahead = [pool.submit(_batch, maker, settings, turn) for turn in (state.turn, state.turn + 1)]
        saved = validated = state.step
        whole = True  # no round is half done
        while state.step < end and not stopping.asked:
            batch = ahead.pop(0).result()
            ahead.append(pool.submit(_batch, maker, settings, state.turn + 2))
            started = time.perf_counter()
            whole = False
            for loss in _steps(state, settings, batch, device):
                seconds, started = time.perf_counter() - started, time.perf_counter()
                line = {"step": state.step, "loss": round(loss, 6), "seconds": round(seconds, 3)}
                curve.write(json.dumps(line) + "\n")
                if report:
                    report(Progress(state.step, settings.steps, loss, seconds))
                if state.step == end or stopping.asked:
                    break
            else:
                whole = True
                state.turn += 1
                curve.flush()
                if state.step // settings.save_every > saved // settings.save_every:
                    _save(settings, state, identity, target)
                    saved = state.step
                if unseen and state.step // settings.validate_every > validated // settings.validate_every:
                    _validate(settings, state, unseen, curve)
                    validated = state.step
        for waiting in ahead:
            waiting.cancel()
        if unseen and state.step == settings.steps and validated < state.step:
            _validate(settings, state, unseen, curve)
    if whole or state.step == settings.steps:
        _save(settings, state, identity, target)
    if state.step < settings.steps:
        raise InterruptedRun(
            f"Training stopped at step {state.step} of {settings.steps}; the same command goes on from step "
            f"{state.step if whole else saved}."
        )
    return target


def _curve(out: Path, step: int) -> TextIO:
    """The curve, open for more, without what an interrupted run wrote after the state that it goes on from."""
    path = out / "curve.jsonl"
    if path.exists():
        kept = [line for line in path.read_text().splitlines(keepends=True) if json.loads(line)["step"] <= step]
        path.write_text("".join(kept))
    return path.open("a")


def _placed(network: ColorNetwork, device: str) -> ColorNetwork:
    placed: ColorNetwork = network.to(device).to(memory_format=torch.channels_last)
    return placed


def _held_out(path: Path, settings: TrainingSettings) -> Footage:
    return load_movie(path, settings.validation_size, settings.validation_frames)


def memory_settings(network: str) -> MemorySettings:
    """The memory's rules that a network is trained for: local attention reads the previous frame."""
    if network == "lite":
        return MemorySettings(local_reference="previous")
    return replace(variant(network).memory, local_reference="previous")


def freeze_norms(network: nn.Module) -> None:
    """Training mode with stored BatchNorm statistics (network.md section 0)."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    slow = [p for n, p in network.named_parameters() if n.startswith("backbone.")]
    fast = [p for n, p in network.named_parameters() if not n.startswith("backbone.")]
    for parameter in slow:
        parameter.requires_grad_(settings.backbone_rate > 0)
    if isinstance(network, Lite):
        for module in network.first_stages(settings.frozen_stages):
            module.requires_grad_(False)
    slow = [p for p in slow if p.requires_grad]
    groups = [{"params": fast, "scale": 1.0}, {"params": slow, "scale": settings.backbone_rate}]
    return torch.optim.Adam([g for g in groups if g["params"]], lr=settings.learning_rate)


def _rate(settings: TrainingSettings, step: int) -> float:
    rise = min(1.0, (step + 1) / settings.warm_up)
    if not settings.decay:
        return settings.learning_rate * rise
    return settings.learning_rate * rise * 0.5 * (1 + float(np.cos(np.pi * step / settings.steps)))


def _batch(maker: SequenceMaker, settings: TrainingSettings, turn: int) -> _Batch:
    rng = np.random.default_rng([settings.seed, turn])
    foreign = bool(rng.random() < settings.foreign_share)
    photos = not settings.clips or (bool(settings.photos) and bool(rng.random() < settings.photo_share))
    drawn = [maker.draw(turn, place, foreign, photos) for place in range(settings.batch)]
    return _Batch(
        torch.from_numpy(np.stack([d.luminance for d in drawn])),
        torch.from_numpy(np.stack([d.chroma for d in drawn])),
        foreign,
    )


def _steps(state: checkpoints.RunState, settings: TrainingSettings, batch: _Batch, device: str) -> Iterator[float]:
    """Take the steps of a round, yielding the loss after each."""
    luminance, chroma = batch.luminance.to(device), batch.chroma.to(device)
    propagation = memory_settings(settings.network).propagation
    arguments = (batch.foreign, settings.memory_every, settings.top_k, propagation)
    if not settings.frame_by_frame:
        with torch.autocast(luminance.device.type, torch.bfloat16, enabled=settings.bfloat16):
            predictions = unroll(state.network, luminance, chroma, *arguments)
            each = [_loss(settings, p, chroma[:, t]) for t, p in enumerate(predictions, start=1)]
        yield _descend(state, settings, torch.stack(each).mean())
        return
    frames = roll_out(state.network, luminance, chroma, *arguments)
    for t in range(1, luminance.shape[1]):
        with torch.autocast(luminance.device.type, torch.bfloat16, enabled=settings.bfloat16):
            loss = _loss(settings, next(frames), chroma[:, t])
        yield _descend(state, settings, loss)


def _loss(settings: TrainingSettings, prediction: Prediction, truth: Tensor) -> Tensor:
    measure = losses.l1 if settings.loss == "l1" else losses.lite
    return measure(prediction, truth)


def _descend(state: checkpoints.RunState, settings: TrainingSettings, loss: Tensor) -> float:
    for group in state.optimizer.param_groups:
        group["lr"] = _rate(settings, state.step) * group["scale"]
    state.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
    state.optimizer.step()
    if settings.ema:
        decay = min(settings.ema, (state.step + 1) / (state.step + 10))
        with torch.no_grad():
            for name, value in state.network.state_dict().items():
                if value.is_floating_point():
                    state.average[name].lerp_(value, 1 - decay)
    state.step += 1
    return loss.item()


def exported_weights(state: checkpoints.RunState) -> dict[str, Tensor]:
    """The averaged weights, or the network's own where no average is kept."""
    return state.average or state.network.state_dict()


def network_config(network: nn.Module) -> dict[str, object]:
    """The network's configuration as plain data, for the checkpoint's header."""
    config: Any = network.config
    return asdict(config)


def _save(settings: TrainingSettings, state: checkpoints.RunState, identity: str, target: Path) -> None:
    checkpoints.save(settings.out, state, identity)
    notes = {
        "network": settings.network,
        "steps": str(state.step),
        "run": identity,
        "memory": json.dumps(memory_settings(settings.network).to_dict()),
    }
    if settings.network == "lite":
        notes["working_size"] = str(LITE_WORKING_SIZE)
    checkpoints.export(target, exported_weights(state), network_config(state.network), notes)


def _validate(settings: TrainingSettings, state: checkpoints.RunState, clips: list[Footage], curve: TextIO) -> None:
    sheet = settings.out / f"preview_{state.step:06d}.png"
    scores = validate(state.network, exported_weights(state), memory_settings(settings.network), clips, sheet)
    curve.write(json.dumps({"step": state.step, "validation": asdict(scores)}) + "\n")
    curve.flush()


class _Stopping:
    """Notes SIGINT and SIGTERM so that a run ends between two steps."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "_Stopping":
        try:
            for name in (signal.SIGINT, signal.SIGTERM):
                self._before[name] = signal.signal(name, self._note)
        except ValueError:  # not the main thread: the caller owns the signals
            self._before = {}
        return self

    def __exit__(self, *_: object) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)  # type: ignore[arg-type]

    def _note(self, *_: object) -> None:
        self.asked = True

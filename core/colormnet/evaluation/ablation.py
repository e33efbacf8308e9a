"""The paper's Table 2 as a command: small versions of every variant, trained alike, compared with error bars.

A small budget on little data answers a smaller question than the paper's 160,000 iterations on DAVIS and Videvo. What
makes the comparison fair is that every variant gets the same sequences, steps and seeds; what makes it honest is that
differences are judged against their spread over the seeds, and that an order that did not hold is said not to hold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.stats import kendalltau
from scipy.stats import t as student

from colormnet.errors import InputError
from colormnet.evaluation.clips import Clip
from colormnet.evaluation.methods import LeftGrey, Method, Network
from colormnet.evaluation.perceptual import NotComputed, PerceptualMetrics
from colormnet.evaluation.protocol import evaluate_clip

FULL = "released"


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper's Table 2 (DAVIS validation set; PSNR on the wrapped uint8 scale)."""

    title: str
    features: str
    propagation: str
    local_attention: bool
    psnr_wrapped_uint8: float
    ssim: float


PAPER: dict[str, PaperRow] = {
    "resnet": PaperRow("w/ ResNet50", "ResNet", "MFP", True, 35.01, 0.962),
    "dinov2": PaperRow("w/ DINOv2", "DINOv2", "MFP", True, 35.38, 0.963),
    "concat": PaperRow("w/ Concatenation", "both, concatenated", "MFP", True, 35.26, 0.965),
    "stacking": PaperRow("w/ Stacking", "PVGFE", "stacking", True, 33.94, 0.961),
    "recurrent": PaperRow("w/ Recurrent", "PVGFE", "recurrent", True, 35.26, 0.966),
    "no-local-attention": PaperRow("w/o LA", "PVGFE", "MFP", False, 35.44, 0.967),
    FULL: PaperRow("ColorMNet", "PVGFE", "MFP", True, 35.77, 0.970),
}
"""Table 2 by the names of `colormnet.network.variants`."""

CAVEATS = (
    "These are small networks trained for a short, equal budget, not the paper's training; differences within the "
    "error bars say nothing.",
    "The paper's backbones are pretrained. Here the ResNet starts from random weights, and the global branch, in place "
    "of DINOv2, is a small transformer with random weights that stays frozen, as the architecture has it: the rows on "
    "features compare structures, not what pretraining brings.",
    "The paper's PSNR is on the scale of the released script, where uint8 differences wrap; compare it with the "
    "wrapped column, never with true PSNR.",
)


@dataclass(frozen=True)
class AblationSettings:
    """The budget that every variant gets.

    Attributes:
        out: folder that keeps the runs; a run found there goes on where it stopped.
        clips, photos: what to train on, as for ``colormnet train``.
        variants: names out of `PAPER`.
        seeds: runs of each variant, with seeds 1, 2, ...
        steps, batch, frames, crop: optimizer steps, sequences a step, frames a sequence, side of the training crop.
        learning_rate: peak of the cosine schedule.
        device: where to train and measure.
    """

    out: Path
    clips: tuple[Path, ...] = ()
    photos: tuple[Path, ...] = ()
    variants: tuple[str, ...] = tuple(PAPER)
    seeds: int = 3
    steps: int = 300
    batch: int = 2
    frames: int = 4
    crop: int = 112
    learning_rate: float = 1e-3
    device: str = "cpu"

    def __post_init__(self) -> None:
        unknown = [name for name in self.variants if name not in PAPER]
        if unknown:
            raise InputError(f"There is no variant '{unknown[0]}' in Table 2; choose from {', '.join(PAPER)}.")
        if len(set(self.variants)) < 2 or len(set(self.variants)) != len(self.variants):
            raise InputError("An ablation compares two variants or more, each named once.")
        if self.seeds < 2:
            raise InputError("Error bars need two seeds or more; give --seeds 2 at least.")
        if not self.clips and not self.photos:
            raise InputError(
                "Name what to train the variants on with --train-on: movies, folders of them, photo shards."
            )


@dataclass(frozen=True)
class SeedScores:
    """One trained variant of one seed, means over the clips."""

    seed: int
    psnr: float
    psnr_wrapped_uint8: float
    ssim: float
    psnr_chroma: float


Verdict = Literal["held", "within the error bars", "did not hold"]


@dataclass(frozen=True)
class Row:
    """A variant over all seeds. ``*_spread`` are standard deviations over the seeds (n - 1).

    ``behind_full`` is by how many dB of true PSNR it is behind the full model, mean over the seeds of the difference
    within a seed, and ``behind_full_error`` that mean's standard error. ``verdict``: whether the paper's order of the
    two held; "within the error bars" where the difference's 95 % interval (Student's t over the seeds) holds zero. None
    for the full model, and where the full model was not trained.
    """

    variant: str
    parameters: int
    seeds: tuple[SeedScores, ...]
    psnr: float
    psnr_spread: float
    psnr_wrapped_uint8: float
    ssim: float
    ssim_spread: float
    behind_full: float | None
    behind_full_error: float | None
    verdict: Verdict | None


@dataclass(frozen=True)
class Ablation:
    """The table, and how its order compares with the paper's.

    ``rank_correlation`` is Kendall's tau between the paper's PSNR and our true PSNR over the variants (1: the same
    order, -1: reversed); None for fewer than three variants. ``grey`` is the clips left grey, the floor of the table.
    """

    rows: tuple[Row, ...]
    grey: float
    rank_correlation: float | None
    sentences: tuple[str, ...]


Report = Callable[[str, int, int, int], None]
"""Called with variant, seed, training steps done, steps in all."""


def run_ablation(settings: AblationSettings, clips: Sequence[Clip], report: Report | None = None) -> Ablation:
    """Train every variant for every seed and measure it on ``clips``.

    Raises InputError for unreadable training data; InterruptedRun when stopped (the same call goes on).
    """
    scores: dict[str, list[SeedScores]] = {name: [] for name in settings.variants}
    parameters: dict[str, int] = {}
    # Seed after seed, so that an early stop leaves complete rounds behind.
    for seed in range(1, settings.seeds + 1):
        for name in settings.variants:
            method, count = _trained(settings, name, seed, report)
            parameters[name] = count
            scores[name].append(measure(method, clips, seed))
    return summarise(scores, parameters, measure(LeftGrey(), clips, 0).psnr)


def measure(method: Method, clips: Sequence[Clip], seed: int) -> SeedScores:
    """A method's means over the clips, by the protocol of every other evaluation."""
    unneeded = NotComputed("not part of Table 2")
    runs = [evaluate_clip(method, clip, perceptual=PerceptualMetrics(*[unneeded] * 3)).scores for clip in clips]
    return SeedScores(
        seed=seed,
        psnr=float(np.mean([run.psnr for run in runs])),
        psnr_wrapped_uint8=float(np.mean([run.psnr_wrapped_uint8 for run in runs])),
        ssim=float(np.mean([run.ssim for run in runs])),
        psnr_chroma=float(np.mean([run.psnr_chroma for run in runs])),
    )


def _trained(settings: AblationSettings, name: str, seed: int, report: Report | None) -> tuple[Method, int]:
    import torch

    from colormnet.model import Model
    from colormnet.network import checkpoint
    from colormnet.network.variants import SMALL, build_variant
    from colormnet.training import loop
    from colormnet.training.settings import TrainingSettings, whole_sequences

    training = TrainingSettings(
        out=settings.out / f"{name}-seed{seed}",
        clips=settings.clips,
        photos=settings.photos,
        network=SMALL + name,
        steps=settings.steps,
        batch=settings.batch,
        size=settings.crop,
        learning_rate=settings.learning_rate,
        backbone_rate=1.0,
        frozen_stages=0,
        warm_up=max(1, settings.steps // 20),
        photo_share=0.5 if settings.photos and settings.clips else float(bool(settings.photos)),
        foreign_share=0.0,
        loss="l1",
        ema=0.0,
        seed=seed,
        save_every=max(1, settings.steps // 4),
    )
    training = replace(whole_sequences(training), frames=settings.frames, photo_frames=settings.frames)

    def told(progress: loop.Progress) -> None:
        if report is not None:
            report(name, seed, progress.step, progress.steps)

    weights = loop.train(training, told, settings.device)
    network = build_variant(SMALL + name)
    checkpoint.load_into(network, checkpoint.read_weights(weights).tensors, str(weights))
    model = Model(SMALL + name, network, loop.memory_settings(SMALL + name), device=torch.device(settings.device))
    return Network(model), sum(parameter.numel() for parameter in network.parameters())


def summarise(scores: dict[str, list[SeedScores]], parameters: dict[str, int], grey: float) -> Ablation:
    """The table from the runs; every variant must have the same seeds in the same order."""
    rows = []
    full = scores.get(FULL)
    for name, runs in scores.items():
        behind = error = verdict = None
        if full is not None and name != FULL:
            differences = np.array([mine.psnr - run.psnr for mine, run in zip(full, runs, strict=True)])
            behind = float(differences.mean())
            error = float(differences.std(ddof=1) / np.sqrt(len(differences)))
            verdict = _verdict(behind, error, len(differences))
        rows.append(
            Row(
                variant=name,
                parameters=parameters[name],
                seeds=tuple(runs),
                psnr=float(np.mean([run.psnr for run in runs])),
                psnr_spread=float(np.std([run.psnr for run in runs], ddof=1)),
                psnr_wrapped_uint8=float(np.mean([run.psnr_wrapped_uint8 for run in runs])),
                ssim=float(np.mean([run.ssim for run in runs])),
                ssim_spread=float(np.std([run.ssim for run in runs], ddof=1)),
                behind_full=behind,
                behind_full_error=error,
                verdict=verdict,
            )
        )
    correlation = None
    if len(rows) > 2:
        tau = float(kendalltau([PAPER[row.variant].psnr_wrapped_uint8 for row in rows], [row.psnr for row in rows])[0])
        correlation = None if np.isnan(tau) else tau
    return Ablation(tuple(rows), grey, correlation, _sentences(rows, correlation))


def _verdict(behind: float, error: float, seeds: int) -> Verdict:
    # In the paper the full model is ahead of every other row.
    if abs(behind) <= float(student.ppf(0.975, seeds - 1)) * error:
        return "within the error bars"
    return "held" if behind > 0 else "did not hold"


def _sentences(rows: Sequence[Row], correlation: float | None) -> tuple[str, ...]:
    judged = [row for row in rows if row.verdict is not None]
    sentences = []
    if judged:
        for verdict in ("held", "within the error bars", "did not hold"):
            names = [row.variant for row in judged if row.verdict == verdict]
            if names:
                sentences.append(f"Full model ahead, as in the paper: {verdict} against {', '.join(names)}.")
        whole = all(row.verdict == "held" for row in judged)
        sentences.append(
            "The paper's order held: the full model is clearly ahead of every variant."
            if whole
            else "The paper's order was not reproduced at this budget."
        )
    if correlation is not None:
        sentences.append(f"Rank correlation with the paper's column (Kendall's tau): {correlation:+.2f}.")
    return tuple(sentences)

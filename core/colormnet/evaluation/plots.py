"""Plots of an evaluation as self-contained SVG text. Nothing here touches matplotlib's global state."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from colormnet.evaluation.ablation import FULL, Ablation
from colormnet.evaluation.scores import ClipScores, SetScores
from colormnet.evaluation.table3 import Table3

# Okabe and Ito's palette: told apart by the colour-blind too. The baselines keep theirs from report to report.
_BASELINES = {"grey": "#8a8a8a", "copy": "#e69f00", "flow": "#0072b2"}
_OTHERS = ("#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#332288")


def colours(methods: Sequence[str]) -> dict[str, str]:
    """The line colour of each method."""
    others = [method for method in methods if method not in _BASELINES]
    return {method: _BASELINES.get(method) or _OTHERS[others.index(method) % len(_OTHERS)] for method in methods}


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    # A fixed salt and no date: the same figures give the same file.
    with rc_context({"svg.hashsalt": "colormnet", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return buffer.getvalue()


def _axes(figure: Figure, rows: int, columns: int, *, heights: Sequence[float] | None = None) -> list[Axes]:
    grid = figure.subplots(rows, columns, squeeze=False, sharex=rows > 1, height_ratios=heights)
    made: list[Axes] = list(grid.flat)
    for axes in made:
        axes.grid(color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return made


def clip_over_time(clips: Mapping[str, ClipScores]) -> str:
    """True PSNR and strength of colour over the frames of one clip, one line a method."""
    figure = Figure(figsize=(9.0, 3.4))
    left, right = _axes(figure, 1, 2)
    palette = colours(list(clips))
    for method, clip in clips.items():
        frames = [frame for frame in clip.frames if not frame.given]
        numbers = [frame.number for frame in frames]
        left.plot(numbers, [frame.psnr for frame in frames], color=palette[method], label=method, linewidth=1.6)
        strength = [
            frame.chroma_magnitude / frame.chroma_magnitude_truth if frame.chroma_magnitude_truth > 0 else np.nan
            for frame in frames
        ]
        right.plot(numbers, strength, color=palette[method], linewidth=1.6)
    right.axhline(1.0, color="#444444", linewidth=0.8, linestyle=":")
    right.set_ylim(bottom=0.0)
    left.set(xlabel="frame", ylabel="true PSNR (dB)")
    right.set(xlabel="frame", ylabel="chroma magnitude / truth's")
    figure.legend(loc="upper center", ncols=len(clips), frameon=False, bbox_to_anchor=(0.5, 1.02))
    figure.tight_layout(rect=(0, 0, 1, 0.94))
    return _svg(figure)


def set_over_distance(sets: Mapping[str, SetScores]) -> str:
    """Mean true PSNR against the distance from the exemplar, and how many clips reach that far."""
    figure = Figure(figsize=(9.0, 4.2))
    upper, lower = _axes(figure, 2, 1, heights=(4.0, 1.0))
    palette = colours(list(sets))
    for method, scores in sets.items():
        distances = [point.distance for point in scores.curve]
        upper.plot(
            distances, [point.psnr for point in scores.curve], color=palette[method], label=method, linewidth=1.6
        )
    first = next(iter(sets.values()))
    lower.fill_between(
        [point.distance for point in first.curve], [point.clips for point in first.curve], color="#c9d3dc", step="mid"
    )
    lower.set_ylim(bottom=0)
    upper.set(ylabel="true PSNR (dB)")
    lower.set(xlabel="distance from the nearest exemplar (frames)", ylabel="clips")
    upper.legend(frameon=False, ncols=len(sets), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    figure.tight_layout()
    return _svg(figure)


def set_quarters(sets: Mapping[str, SetScores]) -> str:
    """Mean true PSNR of the four quarters of the clips, one group of bars a method."""
    measured = {name: scores.psnr_quarters for name, scores in sets.items() if scores.psnr_quarters is not None}
    figure = Figure(figsize=(9.0, 3.2))
    (axes,) = _axes(figure, 1, 1)
    palette = colours(list(sets))
    width = 0.8 / max(1, len(measured))
    lowest = min((min(quarters) for quarters in measured.values()), default=0.0)
    for place, (method, quarters) in enumerate(measured.items()):
        at = np.arange(4) + (place - (len(measured) - 1) / 2) * width
        bars = axes.bar(at, quarters, width * 0.92, color=palette[method], label=method)
        axes.bar_label(bars, fmt="%.1f", fontsize=7, padding=1)
    axes.set_xticks(np.arange(4), ["first quarter", "second", "third", "last quarter"])
    # Bars of a logarithmic unit have no natural zero; the axis starts a little under the lowest one and says so.
    axes.set_ylim(bottom=max(0.0, np.floor(lowest - 3.0)))
    axes.set(ylabel="true PSNR (dB, axis cut)")
    figure.legend(loc="upper center", ncols=max(1, len(measured)), frameon=False, bbox_to_anchor=(0.5, 1.04))
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    return _svg(figure)


def ablation_bars(ablation: Ablation) -> str:
    """True PSNR of every variant: the mean over the seeds, its spread, and each seed as a dot."""
    rows = ablation.rows
    figure = Figure(figsize=(9.0, 3.8))
    (axes,) = _axes(figure, 1, 1)
    at = np.arange(len(rows))
    axes.bar(
        at,
        [row.psnr for row in rows],
        0.6,
        yerr=[row.psnr_spread for row in rows],
        capsize=4,
        color=["#009e73" if row.variant == FULL else "#9db4c9" for row in rows],
        label="mean and standard deviation over seeds",
    )
    for place, row in enumerate(rows):
        axes.plot([place] * len(row.seeds), [run.psnr for run in row.seeds], "o", color="#1c2330", markersize=3)
    axes.axhline(ablation.grey, color="#8a8a8a", linestyle="--", linewidth=1.0)
    axes.set_xlim(-0.6, len(rows) - 0.5 + 0.6)
    axes.annotate("left grey", (len(rows) + 0.08, ablation.grey), ha="right", va="bottom", fontsize=8, color="#5b6675")
    values = [ablation.grey, *(run.psnr for row in rows for run in row.seeds)]
    margin = max(0.3, 0.15 * (max(values) - min(values)))
    axes.set_ylim(min(values) - margin, max(values) + margin)
    axes.set_xticks(at, [row.variant for row in rows], fontsize=8)
    axes.set(ylabel="true PSNR (dB, axis cut)")
    figure.tight_layout()
    return _svg(figure)


def table3_curves(table: Table3) -> str:
    """Time a frame and memory held against the frame, stacking and MFP; the rows of the table as dots."""
    figure = Figure(figsize=(9.0, 3.6))
    left, right = _axes(figure, 1, 2)
    palette = {"stacking": "#d55e00", "mfp": "#009e73"}
    for name, steps in table.steps.items():
        coloured = steps[1:]
        frames = [step.frame for step in coloured]
        left.plot(
            frames, [1000 * step.work_seconds for step in coloured], color=palette[name], linewidth=0.6, alpha=0.45
        )
        rows = [row for row in table.rows if row.propagation == name]
        lengths = [row.length for row in rows]
        left.plot(lengths, [1000 * row.work_seconds_per_frame for row in rows], "o-", color=palette[name], label=name)
        right.plot([step.frame for step in steps], [step.memory_bytes / 2**20 for step in steps], color=palette[name])
        right.plot(lengths, [row.memory_bytes / 2**20 for row in rows], "o", color=palette[name])
    # One slow frame on a busy machine must not flatten everything else.
    times = [1000 * step.work_seconds for steps in table.steps.values() for step in steps[1:]]
    left.set_ylim(0.0, 1.2 * float(np.percentile(times, 99)))
    right.set_ylim(bottom=0.0)
    left.set(xlabel="clip length (frames)", ylabel="processor ms a frame" if table.device == "cpu" else "ms a frame")
    right.set(xlabel="clip length (frames)", ylabel="memory held (MiB)")
    figure.legend(loc="upper center", ncols=2, frameon=False, bbox_to_anchor=(0.5, 1.03))
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    return _svg(figure)

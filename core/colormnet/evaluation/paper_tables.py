"""The ablation (Table 2) and the propagation costs (Table 3) as text tables, JSON, CSV and HTML."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colormnet.evaluation import plots
from colormnet.evaluation.ablation import CAVEATS, FULL, PAPER, Ablation
from colormnet.evaluation.outputs import environment, plain, table_csv, write_text
from colormnet.evaluation.report import embed_svg, templates
from colormnet.evaluation.table3 import Table3


@dataclass(frozen=True)
class TextTable:
    """A table ready to print: heads, rows of text, and which rows stand out."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: tuple[int, ...]
    sentences: tuple[str, ...]


def ablation_table(ablation: Ablation) -> TextTable:
    """Table 2 with error bars, beside the paper's figures."""
    rows = []
    for row in ablation.rows:
        paper = PAPER[row.variant]
        behind = "-"
        if row.behind_full is not None and row.behind_full_error is not None:
            behind = f"{row.behind_full:+.2f} ± {row.behind_full_error:.2f}"
        rows.append(
            (
                row.variant,
                paper.features,
                paper.propagation,
                "yes" if paper.local_attention else "no",
                f"{row.psnr:.2f} ± {row.psnr_spread:.2f}",
                f"{row.ssim:.4f} ± {row.ssim_spread:.4f}",
                behind,
                row.verdict or "-",
                f"{row.psnr_wrapped_uint8:.2f}",
                f"{paper.psnr_wrapped_uint8:.2f}",
                f"{paper.ssim:.3f}",
            )
        )
    heads = (
        "variant",
        "features",
        "propagation",
        "local attention",
        "PSNR (true), dB",
        "SSIM",
        "behind the full model, dB",
        "paper's order",
        "wrapped uint8 PSNR",
        "paper: wrapped PSNR",
        "paper: SSIM",
    )
    strong = tuple(place for place, row in enumerate(ablation.rows) if row.variant == FULL)
    seeds = len(ablation.rows[0].seeds)
    sentences = (*ablation.sentences, f"Left grey: {ablation.grey:.2f} dB. {seeds} seeds; ± is the standard deviation "
                 "over seeds, in 'behind' the standard error of the difference within a seed.")  # fmt: skip
    return TextTable("Table 2: small versions, equal budgets", heads, tuple(rows), strong, sentences)


def table3_table(table: Table3) -> TextTable:
    """Table 3 over the clip lengths."""
    on_device = any(row.peak_device_bytes is not None for row in table.rows)
    work = "processor ms" if table.device == "cpu" else "ms"
    heads = [
        "propagation",
        "clip length",
        f"{work} a frame",
        f"{work} a frame at the end",
        "memory held, MiB",
        "tokens",
    ]
    if on_device:
        heads.append("device peak, MiB")
    rows = []
    for row in table.rows:
        cells = [
            row.propagation,
            str(row.length),
            f"{1000 * row.work_seconds_per_frame:.1f}",
            f"{1000 * row.last_work_seconds:.1f}",
            f"{row.memory_bytes / 2**20:.2f}",
            str(row.tokens),
        ]
        if on_device:
            cells.append("-" if row.peak_device_bytes is None else f"{row.peak_device_bytes / 2**20:.0f}")
        rows.append(tuple(cells))
    title = f"Table 3: stacking against MFP, {table.model} at {table.size} on {table.device}"
    return TextTable(title, tuple(heads), tuple(rows), (), table.sentences)


TABLE3_CAVEATS = (
    "The default network is a small one of the released structure with fresh weights: what a step costs does not "
    "depend on them, but a larger network spends more on every frame beside the memory, which lowers the ratio.",
    "Time is that of a whole step: features, read-out, decoding and memorising; on a processor its processor time, "
    "which other programs hardly change. What grows with the clip is the memory and the read-out over it.",
    "Memory held is what a session keeps between two frames, counted exactly; the read-out works in chunks, so its own "
    "scratch space does not grow with the clip.",
    "The footage is a synthetic moving texture: the cost depends on how many frames are memorised, not on what they "
    "show.",
)


def write_ablation(ablation: Ablation, folder: Path, run: Mapping[str, Any]) -> list[Path]:
    """ablation.html, .json, .csv and .svg in ``folder``."""
    text = ablation_table(ablation)
    plot = plots.ablation_bars(ablation)
    return _write(
        folder, "ablation", text, plot, "True PSNR of every variant with error bars", CAVEATS, plain(ablation), run
    )


def write_table3(table: Table3, folder: Path, run: Mapping[str, Any]) -> list[Path]:
    """table3.html, .json, .csv and .svg in ``folder``."""
    text = table3_table(table)
    plot = plots.table3_curves(table)
    return _write(
        folder, "table3", text, plot, "Time and memory a frame over the clip length", TABLE3_CAVEATS, plain(table), run
    )


def _write(
    folder: Path,
    name: str,
    text: TextTable,
    plot: str,
    plot_alt: str,
    caveats: Sequence[str],
    data: Mapping[str, Any],
    run: Mapping[str, Any],
) -> list[Path]:
    page = (
        templates()
        .get_template("table.html.j2")
        .render(
            title=text.title,
            sentences=text.sentences,
            heads=text.heads,
            rows=text.rows,
            strong=text.strong,
            plot=embed_svg(plot),
            plot_alt=plot_alt,
            caveats=caveats,
            run=run,
            versions=environment(),
        )
    )
    content = {
        "format": f"colormnet-{name}-1",
        "run": plain(run),
        "environment": environment(),
        "caveats": list(caveats),
        "sentences": list(text.sentences),
        **data,
    }
    rows = [dict(zip(text.heads, row, strict=True)) for row in text.rows]
    files = {
        f"{name}.html": page,
        f"{name}.json": json.dumps(content, indent=1, allow_nan=False) + "\n",
        f"{name}.csv": table_csv(rows),
        f"{name}.svg": plot,
    }
    for file, content_text in files.items():
        write_text(folder / file, content_text)
    return [folder / file for file in files]

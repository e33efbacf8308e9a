"""The HTML report: one file, no scripts, nothing loaded from anywhere."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import jinja2
import numpy as np
from matplotlib import colormaps

from colormnet.evaluation import plots
from colormnet.evaluation.metrics import Picture
from colormnet.evaluation.outputs import NOTES, environment
from colormnet.evaluation.perceptual import NotComputed, Value
from colormnet.evaluation.protocol import Evaluation
from colormnet.evaluation.scores import ClipScores, SetScores

STRIP_WIDTH = 320
ERROR_CEILING = 64.0
"""The error, in 8-bit levels, that the error map shows in its brightest colour."""

BASELINES = ("grey", "copy", "flow")


@dataclass(frozen=True)
class Column:
    """A column of the summary table: what it is called, where it comes from, which way is better."""

    title: str
    field: str
    digits: int
    better: Literal["more", "less", "truth", "none"]
    note: str
    factor: float = 1.0


COLUMNS = (
    Column("PSNR (true), dB", "psnr", 2, "more", NOTES["psnr"]),
    Column("worst clip, dB", "psnr_worst", 2, "more", "true PSNR of the weakest clip"),
    Column("PSNR of chroma, dB", "psnr_chroma", 2, "more", NOTES["psnr_chroma"]),
    Column("SSIM", "ssim", 4, "more", NOTES["ssim"]),
    Column("LPIPS", "lpips", 4, "less", NOTES["lpips"]),
    Column("FID", "fid", 2, "less", NOTES["fid"]),
    Column("FVD", "fvd", 1, "less", NOTES["fvd"]),
    Column("colourfulness", "colourfulness", 2, "truth", NOTES["colourfulness"]),
    Column("CDC x 1000", "cdc", 3, "truth", NOTES["cdc"], 1000.0),
    Column("last quarter - first, dB", "psnr_drift", 2, "none", NOTES["psnr_drift"]),
    Column("chroma kept, last quarter", "chroma_kept_last_quarter", 3, "truth", NOTES["chroma_kept_last_quarter"]),
    Column("ms a frame", "seconds_per_frame", 1, "none", NOTES["seconds_per_frame"], 1000.0),
    Column("peak memory, MiB", "peak_memory_bytes", 0, "none", NOTES["peak_memory_bytes"], 1.0 / 2**20),
    Column("wrapped uint8 PSNR (not a distance)", "psnr_wrapped_uint8", 2, "none", NOTES["psnr_wrapped_uint8"]),
)


def number(value: Value | None, digits: int, factor: float = 1.0) -> str:
    """A figure as text: rounded, "-" where there is none, "not computed" in words where its network is missing."""
    if value is None:
        return "-"
    if isinstance(value, NotComputed):
        return str(value)
    return f"{value * factor:.{digits}f}"


def findings(sets: Mapping[str, SetScores], clips: Mapping[str, list[ClipScores]]) -> list[str]:
    """What the figures say about each method that is no baseline, in sentences."""
    sentences = []
    for name, scores in sets.items():
        if name in BASELINES:
            continue
        against = [
            f"{scores.psnr - sets[baseline].psnr:+.2f} dB against {baseline}"
            for baseline in BASELINES
            if baseline in sets
        ]
        text = f"{name}: {scores.psnr:.2f} dB true PSNR"
        text += f" ({', '.join(against)})." if against else "."
        if "grey" in sets:
            grey = {clip.clip: clip.psnr for clip in clips["grey"]}
            below = [clip.clip for clip in clips[name] if clip.psnr < grey[clip.clip]]
            text += f" Clips worse than left grey: {', '.join(below) if below else 'none'}."
        if scores.psnr_drift is not None:
            side = "below" if scores.psnr_drift < 0 else "above"
            text += f" The last quarter is {abs(scores.psnr_drift):.2f} dB {side} the first"
            kept = scores.chroma_kept_last_quarter
            text += f", with {kept:.0%} of the truth's chroma." if kept is not None else "."
        sentences.append(text)
    return sentences


def embed_picture(picture: Picture) -> str:
    """A picture as a JPEG data address (4:4:4: chroma errors show as they are), at most 320 pixels wide."""
    height, width = picture.shape[:2]
    if width > STRIP_WIDTH:
        size = (STRIP_WIDTH, max(1, round(height * STRIP_WIDTH / width)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    options = [cv2.IMWRITE_JPEG_QUALITY, 88, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, code = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), options)
    return "data:image/jpeg;base64," + base64.b64encode(code.tobytes()).decode("ascii")


def embed_svg(text: str) -> str:
    """An SVG as a data address: each plot keeps its ids to itself."""
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode("utf-8")).decode("ascii")


def error_map(truth: Picture, result: Picture) -> Picture:
    """Root mean square error over the channels, black for none to pale yellow for 64 levels and more."""
    error = np.sqrt(np.mean(np.square(truth.astype(np.float32) - result.astype(np.float32)), axis=-1))
    return np.asarray(
        colormaps["inferno"](np.clip(error / ERROR_CEILING, 0.0, 1.0), bytes=True)[..., :3], dtype=np.uint8
    )


def grey_of(picture: Picture) -> Picture:
    """The picture as the methods get it: luminance alone."""
    from colormnet.evaluation.clips import compose, split

    luminance, chroma = split(picture)
    return compose(luminance, np.zeros_like(chroma))


def render(evaluation: Evaluation, run: Mapping[str, Any]) -> str:
    """The report of an evaluation as HTML text. ``run``: how it was called, shown as given."""
    scores = {name: [item.scores for item in runs] for name, runs in evaluation.clips.items()}
    missing: dict[str, list[str]] = {}
    for column in COLUMNS:
        value = getattr(next(iter(evaluation.sets.values())), column.field)
        if isinstance(value, NotComputed):
            missing.setdefault(value.reason, []).append(column.title)
    return (
        templates()
        .get_template("report.html.j2")
        .render(
            settings=evaluation.settings,
            run=run,
            versions=environment(),
            methods=[(name, item.title) for name, item in evaluation.sets.items()],
            palette=plots.colours(list(evaluation.sets)),
            clip_count=len(evaluation.samples),
            findings=findings(evaluation.sets, scores),
            columns=COLUMNS,
            rows=_summary(evaluation.sets),
            missing=[(", ".join(titles), reason) for reason, titles in missing.items()],
            notes=[(column.title, column.note) for column in COLUMNS],
            general=[NOTES["picture"], NOTES["counted"], NOTES["means"]],
            distance_plot=embed_svg(plots.set_over_distance(evaluation.sets)),
            quarters_plot=embed_svg(plots.set_quarters(evaluation.sets))
            if any(item.psnr_quarters for item in evaluation.sets.values())
            else None,
            clips=[_clip(evaluation, name) for name in evaluation.samples],
        )
    )


def templates() -> jinja2.Environment:
    """The package's templates; everything that is filled in is escaped."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("colormnet.evaluation", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _cell(column: Column, value: Value | None) -> str:
    return "not computed" if isinstance(value, NotComputed) else number(value, column.digits, column.factor)


def _summary(sets: Mapping[str, SetScores]) -> list[dict[str, Any]]:
    first = next(iter(sets.values()))
    truth = {"colourfulness": first.colourfulness_truth, "cdc": first.cdc_truth, "chroma_kept_last_quarter": 1.0}
    rows = []
    for column in COLUMNS:
        values = [getattr(item, column.field) for item in sets.values()]
        numbers = [value for value in values if isinstance(value, (int, float))]
        best = None
        if column.better in ("more", "less") and len(numbers) > 1:
            best = max(numbers) if column.better == "more" else min(numbers)
        rows.append(
            {
                "title": column.title,
                "note": column.note,
                "better": column.better,
                "cells": [(_cell(column, value), best is not None and value == best) for value in values],
                "truth": _cell(column, truth[column.field]) if column.field in truth else "",
            }
        )
    return rows


def _clip(evaluation: Evaluation, name: str) -> dict[str, Any]:
    sample = evaluation.samples[name]
    runs = {
        method: next(item for item in items if item.scores.clip == name) for method, items in evaluation.clips.items()
    }
    first = next(iter(runs.values())).scores
    psnr = {method: item.scores.psnr for method, item in runs.items()}
    strips = []
    for index, truth in sample.truth.items():
        frame = first.frames[index]
        results = [
            {
                "method": method,
                "psnr": f"{item.scores.frames[index].psnr:.2f}",
                "picture": embed_picture(item.pictures[index]),
                "error": embed_picture(error_map(truth, item.pictures[index])),
            }
            for method, item in runs.items()
            if method != "grey"
        ]
        strips.append(
            {
                "number": frame.number,
                "distance": frame.distance,
                "given": frame.given,
                "grey": embed_picture(grey_of(truth)),
                "truth": embed_picture(truth),
                "results": results,
            }
        )
    return {
        "name": name,
        "frames": len(first.frames),
        "original": str(sample.original),
        "size": str(sample.size),
        "rows": [
            {
                "method": method,
                "psnr": number(item.scores.psnr, 2),
                "best": psnr[method] == max(psnr.values()) and len(psnr) > 1,
                "quarters": [number(value, 2) for value in item.scores.psnr_quarters or (None,) * 4],
                "kept": number(item.scores.chroma_kept_last_quarter, 3),
                "ssim": number(item.scores.ssim, 4),
                "chroma": number(item.scores.psnr_chroma, 2),
                "colourfulness": number(item.scores.colourfulness, 2),
                "wrapped": number(item.scores.psnr_wrapped_uint8, 2),
            }
            for method, item in runs.items()
        ],
        "colourfulness_truth": number(first.colourfulness_truth, 2),
        "plot": embed_svg(plots.clip_over_time({method: item.scores for method, item in runs.items()})),
        "exemplars": [
            {"number": first.frames[index].number, "picture": embed_picture(picture)}
            for index, picture in sample.exemplars.items()
        ],
        "strips": strips,
    }

"""Results on disk: JSON for programs, CSV for spreadsheets. Every file appears whole or not at all."""

import csv
import dataclasses
import io
import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from colormnet.errors import InputError
from colormnet.evaluation.perceptual import NotComputed
from colormnet.evaluation.protocol import Evaluation
from colormnet.media.atomic import whole_file

FORMAT = "colormnet-evaluation-1"

NOTES = {
    "picture": "true luminance with the method's chroma, clipped to the sRGB gamut and rounded to uint8, compared with "
    "the truth at the same size; every frame is resized by area to the measured size and rounded to uint8 first",
    "counted": "frames given as exemplars are not counted in the means, unless settings.count_given is true",
    "means": "a clip's figure is the mean over its counted frames; the set's is the mean over clips",
    "psnr": "true peak signal-to-noise ratio over all pixels and channels, dB, peak 255; "
    "an identical frame counts as 100",
    "psnr_wrapped_uint8": "as the released script computes it: difference and square of uint8 arrays wrap modulo 256; "
    "not a distance, only for comparison with the paper's tables",
    "psnr_chroma": "PSNR of Lab a and b before gamut clipping and rounding, peak 255",
    "ssim": "Wang et al. 2004, Gaussian window, mean of the three channels (scikit-image)",
    "lpips": "version 0.1, AlexNet",
    "fid": "Frechet distance of Inception features over all counted frames of the set",
    "fvd": "Frechet distance of I3D features over consecutive 16-frame pieces of all clips",
    "colourfulness": "Hasler and Suesstrunk 2003",
    "cdc": "colour distribution consistency: Jensen-Shannon divergence (natural log) of channel "
    "histograms, steps 1, 2, 4",
    "chroma_kept_last_quarter": "mean chroma magnitude of the last quarter of each clip over the truth's",
    "psnr_drift": "mean true PSNR of the last quarter of each clip less that of the first",
    "seconds_per_frame": "wall time of the method alone, without decoding and metrics, exemplar frames left out",
    "peak_memory_bytes": "of 'process': the highest resident set of the whole process while the method ran (decoded "
    "clip and libraries included); of 'device': the allocator's peak on the accelerator",
}
"""What each figure means, written beside the figures."""


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or none. Raises InputError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent} cannot be made ({error.strerror}); choose another folder.") from error
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def plain(value: Any) -> Any:
    """Dataclasses, tuples and :class:`NotComputed` as what JSON holds."""
    if isinstance(value, NotComputed):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def environment() -> dict[str, str]:
    """Versions of what computed the figures."""
    packages = (
        "colormnet",
        "torch",
        "numpy",
        "scipy",
        "scikit-image",
        "opencv-python-headless",
        "lpips",
        "torch-fidelity",
    )
    found = {"python": platform.python_version(), "processor": platform.machine()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def table_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys as CSV with a header."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _flat(scores: Any, leave_out: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for item in dataclasses.fields(scores):
        if item.name in leave_out:
            continue
        value = plain(getattr(scores, item.name))
        if item.name == "psnr_quarters":
            quarters = value or [None] * 4
            row.update({f"psnr_quarter_{place}": quarter for place, quarter in enumerate(quarters, start=1)})
        else:
            row[item.name] = value
    return row


def to_json(evaluation: Evaluation, run: Mapping[str, Any]) -> dict[str, Any]:
    """Everything but the frames (they are in frames.csv). ``run``: how it was called, kept as it is."""
    clips = [
        {key: value for key, value in plain(item.scores).items() if key != "frames"}
        for runs in evaluation.clips.values()
        for item in runs
    ]
    return {
        "format": FORMAT,
        "run": plain(run),
        "settings": plain(evaluation.settings),
        "environment": environment(),
        "notes": NOTES,
        "sets": plain(evaluation.sets),
        "clips": clips,
    }


def write_results(evaluation: Evaluation, folder: Path, run: Mapping[str, Any]) -> list[Path]:
    """Write results.json, summary.csv, clips.csv and frames.csv into ``folder``; the paths written."""
    clips = [item.scores for runs in evaluation.clips.values() for item in runs]
    frames = [{"clip": clip.clip, "method": clip.method, **_flat(frame, ())} for clip in clips for frame in clip.frames]
    files = {
        "results.json": json.dumps(to_json(evaluation, run), indent=1, allow_nan=False) + "\n",
        "summary.csv": table_csv([_flat(scores, ("curve",)) for scores in evaluation.sets.values()]),
        "clips.csv": table_csv([_flat(clip, ("frames",)) for clip in clips]),
        "frames.csv": table_csv(frames),
    }
    for name, text in files.items():
        write_text(folder / name, text)
    return [folder / name for name in files]

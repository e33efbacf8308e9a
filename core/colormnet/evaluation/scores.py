"""What is measured, as data: per frame, per clip, per set of clips."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from colormnet.evaluation.perceptual import NotComputed, Value

Protocol: TypeAlias = Literal["first", "first-last"]


@dataclass(frozen=True)
class FrameScores:
    """One frame of one method. PSNR in dB; chroma magnitudes in Lab units; seconds of wall time for the method alone.

    ``given`` marks a frame that was handed to the method as an exemplar; ``distance`` counts frames to the nearest
    exemplar.
    """

    index: int
    number: int
    distance: int
    given: bool
    psnr: float
    psnr_wrapped_uint8: float
    ssim: float
    lpips: Value
    psnr_chroma: float
    colourfulness: float
    colourfulness_truth: float
    chroma_magnitude: float
    chroma_magnitude_truth: float
    seconds: float


@dataclass(frozen=True)
class ClipScores:
    """One clip of one method: the mean over its counted frames, and what only a whole clip has.

    ``psnr_quarters`` are means over the four quarters of the counted frames; ``psnr_drift`` is the last less the
    first (negative: worse with time); ``chroma_kept_last_quarter`` is the method's mean chroma magnitude in the last
    quarter over the truth's (1: as strong as the truth, 0: grey; None where the truth is grey). None for quarters of a
    clip with fewer than four counted frames.
    """

    clip: str
    method: str
    frames: tuple[FrameScores, ...]
    counted: int
    psnr: float
    psnr_wrapped_uint8: float
    ssim: float
    lpips: Value
    psnr_chroma: float
    colourfulness: float
    colourfulness_truth: float
    cdc: float | None
    cdc_truth: float | None
    psnr_quarters: tuple[float, float, float, float] | None
    psnr_drift: float | None
    chroma_kept_last_quarter: float | None
    seconds_per_frame: float
    start_seconds: float
    peak_memory_bytes: int
    peak_memory_of: Literal["process", "device"]


@dataclass(frozen=True)
class CurvePoint:
    """Mean true PSNR over the clips that have a counted frame this far from the exemplar."""

    distance: int
    psnr: float
    clips: int


@dataclass(frozen=True)
class SetScores:
    """One method over all clips: the mean over clips of every clip figure (long and short clips weigh the same).

    ``psnr_worst`` names the weakest clip. ``fid`` and ``fvd`` compare all counted frames of the set at once.
    """

    method: str
    title: str
    clips: int
    frames: int
    psnr: float
    psnr_worst: float
    psnr_worst_clip: str
    psnr_wrapped_uint8: float
    ssim: float
    lpips: Value
    fid: Value
    fvd: Value
    psnr_chroma: float
    colourfulness: float
    colourfulness_truth: float
    cdc: float | None
    cdc_truth: float | None
    psnr_quarters: tuple[float, float, float, float] | None
    psnr_drift: float | None
    chroma_kept_last_quarter: float | None
    seconds_per_frame: float
    peak_memory_bytes: int
    peak_memory_of: Literal["process", "device"]
    curve: tuple[CurvePoint, ...]


def clip_scores(
    clip: str,
    method: str,
    frames: Sequence[FrameScores],
    *,
    count_given: bool,
    cdc: float | None,
    cdc_truth: float | None,
    start_seconds: float,
    peak_memory_bytes: int,
    peak_memory_of: Literal["process", "device"],
) -> ClipScores:
    """Gather a clip's frames. ``count_given``: whether frames handed over as exemplars count in the means."""
    counted = [frame for frame in frames if count_given or not frame.given]
    quarters = _quarters(counted)
    psnr_quarters = None
    chroma_kept = None
    if quarters is not None:
        first, second, third, fourth = (_mean(frame.psnr for frame in quarter) for quarter in quarters)
        psnr_quarters = (first, second, third, fourth)
        truth = _mean(frame.chroma_magnitude_truth for frame in quarters[-1])
        if truth > 0.0:
            chroma_kept = _mean(frame.chroma_magnitude for frame in quarters[-1]) / truth
    stepped = [frame.seconds for frame in frames if not frame.given] or [frame.seconds for frame in frames]
    return ClipScores(
        clip=clip,
        method=method,
        frames=tuple(frames),
        counted=len(counted),
        psnr=_mean(frame.psnr for frame in counted),
        psnr_wrapped_uint8=_mean(frame.psnr_wrapped_uint8 for frame in counted),
        ssim=_mean(frame.ssim for frame in counted),
        lpips=_mean_value(frame.lpips for frame in counted),
        psnr_chroma=_mean(frame.psnr_chroma for frame in counted),
        colourfulness=_mean(frame.colourfulness for frame in counted),
        colourfulness_truth=_mean(frame.colourfulness_truth for frame in counted),
        cdc=cdc,
        cdc_truth=cdc_truth,
        psnr_quarters=psnr_quarters,
        psnr_drift=None if psnr_quarters is None else psnr_quarters[3] - psnr_quarters[0],
        chroma_kept_last_quarter=chroma_kept,
        seconds_per_frame=_mean(stepped),
        start_seconds=start_seconds,
        peak_memory_bytes=peak_memory_bytes,
        peak_memory_of=peak_memory_of,
    )


def set_scores(title: str, clips: Sequence[ClipScores], *, count_given: bool, fid: Value, fvd: Value) -> SetScores:
    """Gather one method's clips."""
    worst = min(clips, key=lambda clip: clip.psnr)
    quarters = [clip.psnr_quarters for clip in clips if clip.psnr_quarters is not None]
    psnr_quarters = None
    if quarters:
        first, second, third, fourth = (float(value) for value in np.mean(quarters, axis=0))
        psnr_quarters = (first, second, third, fourth)
    return SetScores(
        method=clips[0].method,
        title=title,
        clips=len(clips),
        frames=sum(clip.counted for clip in clips),
        psnr=_mean(clip.psnr for clip in clips),
        psnr_worst=worst.psnr,
        psnr_worst_clip=worst.clip,
        psnr_wrapped_uint8=_mean(clip.psnr_wrapped_uint8 for clip in clips),
        ssim=_mean(clip.ssim for clip in clips),
        lpips=_mean_value(clip.lpips for clip in clips),
        fid=fid,
        fvd=fvd,
        psnr_chroma=_mean(clip.psnr_chroma for clip in clips),
        colourfulness=_mean(clip.colourfulness for clip in clips),
        colourfulness_truth=_mean(clip.colourfulness_truth for clip in clips),
        cdc=_mean_known(clip.cdc for clip in clips),
        cdc_truth=_mean_known(clip.cdc_truth for clip in clips),
        psnr_quarters=psnr_quarters,
        psnr_drift=_mean_known(clip.psnr_drift for clip in clips),
        chroma_kept_last_quarter=_mean_known(clip.chroma_kept_last_quarter for clip in clips),
        seconds_per_frame=_mean(clip.seconds_per_frame for clip in clips),
        peak_memory_bytes=max(clip.peak_memory_bytes for clip in clips),
        peak_memory_of=clips[0].peak_memory_of,
        curve=psnr_against_distance(clips, count_given=count_given),
    )


def psnr_against_distance(clips: Iterable[ClipScores], *, count_given: bool = False) -> tuple[CurvePoint, ...]:
    """Mean true PSNR over clips against the distance from the exemplar.

    Each clip weighs the same at each distance. Far out only the long clips are left; ``clips`` says how many.
    """
    at: dict[int, list[float]] = defaultdict(list)
    for clip in clips:
        own: dict[int, list[float]] = defaultdict(list)
        for frame in clip.frames:
            if count_given or not frame.given:
                own[frame.distance].append(frame.psnr)
        for distance, values in own.items():
            at[distance].append(_mean(values))
    return tuple(CurvePoint(distance, _mean(values), len(values)) for distance, values in sorted(at.items()))


def _quarters(frames: Sequence[FrameScores]) -> list[list[FrameScores]] | None:
    if len(frames) < 4:
        return None
    return [[frames[index] for index in part] for part in np.array_split(np.arange(len(frames)), 4)]


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(np.fromiter(values, dtype=np.float64)))


def _mean_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _mean(known) if known else None


def _mean_value(values: Iterable[Value]) -> Value:
    gathered = list(values)
    for value in gathered:
        if isinstance(value, NotComputed):
            return value
    return _mean(value for value in gathered if not isinstance(value, NotComputed))

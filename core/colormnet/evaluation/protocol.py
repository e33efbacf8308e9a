"""The paper's protocol (section 4.1): the first frame in colour is the exemplar, the rest is grey.

All methods run through the same code. A method answers with chroma; the picture that is judged is true luminance
with that chroma, clipped to the sRGB gamut and rounded to uint8, at the measured size. The frames given as exemplars
are not counted in the means unless asked for.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from colormnet.errors import InputError
from colormnet.evaluation import metrics
from colormnet.evaluation.clips import Clip, ClipSource, Size, compose, read_clip
from colormnet.evaluation.memory_use import PeakResidentMemory
from colormnet.evaluation.methods import Exemplar, GreyClip, Method
from colormnet.evaluation.metrics import Picture, frechet_distance
from colormnet.evaluation.perceptual import (
    SEGMENT,
    FrameFeatures,
    NotComputed,
    PerceptualMetrics,
    Value,
    VideoFeatures,
    load_perceptual_metrics,
)
from colormnet.evaluation.scores import ClipScores, FrameScores, Protocol, SetScores, clip_scores, set_scores


@dataclass(frozen=True)
class EvaluationSettings:
    """How to measure.

    Attributes:
        protocol: "first": frame 0 is the exemplar; "first-last": the last frame as well.
        size: measured size; None keeps each clip's own.
        frames: use at most this many frames from the start of each clip.
        count_given: count the exemplar frames in the means (their chroma is given, so this flatters short clips).
        space: colour space of the footage by OCIO name; None takes what each file says.
    """

    protocol: Protocol = "first"
    size: Size | None = field(default_factory=lambda: Size(416, 240))
    frames: int | None = None
    count_given: bool = False
    space: str | None = None

    def __post_init__(self) -> None:
        if self.protocol not in ("first", "first-last"):
            raise InputError(f"There is no protocol '{self.protocol}'; choose first or first-last.")
        if self.frames is not None and self.frames < 2:
            raise InputError(f"--frames {self.frames} leaves nothing to measure after the exemplar; give at least 2.")


@dataclass(frozen=True)
class ClipRun:
    """A clip's scores, and what the report and the set figures need of its pictures."""

    scores: ClipScores
    pictures: dict[int, Picture]
    frame_features: npt.NDArray[np.float32] | None = None  # (frames, 2048)
    video_features: npt.NDArray[np.float32] | None = None  # (pieces, D)


@dataclass(frozen=True)
class SampleFrames:
    """What the report shows of a clip: the exemplars and the truth at a few frames, by index."""

    exemplars: dict[int, Picture]
    truth: dict[int, Picture]
    original: Size
    size: Size


@dataclass(frozen=True)
class Evaluation:
    """Everything measured, by method name in the order asked for."""

    settings: EvaluationSettings
    sets: dict[str, SetScores]
    clips: dict[str, list[ClipRun]]
    samples: dict[str, SampleFrames]


Progress = Callable[[str, str, int, int], None]
"""Called with clip, method, frames done, frames in all."""


def exemplars_of(clip: Clip, protocol: Protocol) -> list[Exemplar]:
    """The exemplars the protocol hands to every method."""
    indices = [0] if protocol == "first" else [0, len(clip) - 1]
    return [Exemplar(index, *clip.planes(index)) for index in indices]


def sample_indices(length: int) -> list[int]:
    """The frames a report shows of a clip: a quarter in, well past the middle, and the last that is no exemplar."""
    return sorted({max(1, length // 4), max(1, (5 * length) // 8), max(1, length - 2)})


def evaluate_clip(
    method: Method,
    clip: Clip,
    *,
    protocol: Protocol = "first",
    count_given: bool = False,
    perceptual: PerceptualMetrics | None = None,
    progress: Progress | None = None,
) -> ClipRun:
    """Run one method over one clip and score every frame.

    ``perceptual`` None means what :func:`load_perceptual_metrics` finds. Raises InputError for a method's answer of
    the wrong shape, or one that is not finite: a broken method gets no score.
    """
    perceptual = perceptual or load_perceptual_metrics()
    exemplars = exemplars_of(clip, protocol)
    given = {exemplar.index for exemplar in exemplars}
    if len(given) == len(clip) and not count_given:
        raise InputError(f"Every frame of '{clip.name}' is an exemplar under '{protocol}'; use a longer clip.")
    shown = set(sample_indices(len(clip)))
    pictures: dict[int, Picture] = {}
    frames: list[FrameScores] = []
    histograms, histograms_truth = [], []
    collector = _FeatureCollector(perceptual)
    peak = 0
    with PeakResidentMemory() as memory:
        began = time.perf_counter()
        method.start(exemplars, GreyClip(clip))
        start_seconds = time.perf_counter() - began
    peak = memory.peak
    for index in range(len(clip)):
        truth = np.asarray(clip.truth[index])
        luminance, chroma_truth = clip.planes(index)
        known = clip.statistics(index)
        with PeakResidentMemory() as memory:
            began = time.perf_counter()
            chroma = method.next(luminance)
            seconds = time.perf_counter() - began
        peak = max(peak, memory.peak)
        if chroma.shape != chroma_truth.shape or not np.isfinite(chroma).all():
            raise InputError(
                f"Method '{method.name}' answered frame {clip.numbers[index]} of '{clip.name}' with shape "
                f"{chroma.shape} or values that are not finite; a finite {chroma_truth.shape} array is needed."
            )
        result = compose(luminance, chroma)
        frames.append(
            FrameScores(
                index=index,
                number=clip.numbers[index],
                distance=min(abs(index - place) for place in given),
                given=index in given,
                psnr=metrics.psnr(truth, result),
                psnr_wrapped_uint8=metrics.psnr_wrapped_uint8(truth, result),
                ssim=metrics.ssim(truth, result),
                lpips=perceptual.lpips
                if isinstance(perceptual.lpips, NotComputed)
                else perceptual.lpips(truth, result),
                psnr_chroma=metrics.psnr_chroma(chroma_truth, chroma),
                colourfulness=metrics.colourfulness(result),
                colourfulness_truth=known.colourfulness,
                chroma_magnitude=metrics.chroma_magnitude(chroma),
                chroma_magnitude_truth=known.chroma_magnitude,
                seconds=seconds,
            )
        )
        histograms.append(metrics.colour_histograms(result))
        histograms_truth.append(known.histograms)
        if count_given or index not in given:
            collector.add(result)
        if index in shown:
            pictures[index] = result
        if progress is not None:
            progress(clip.name, method.name, index + 1, len(clip))
    device_peak = method.peak_device_bytes()
    kind: Literal["process", "device"] = "process" if device_peak is None else "device"
    scores = clip_scores(
        clip.name,
        method.name,
        frames,
        count_given=count_given,
        cdc=metrics.colour_distribution_consistency(histograms),
        cdc_truth=metrics.colour_distribution_consistency(histograms_truth),
        start_seconds=start_seconds,
        peak_memory_bytes=peak if device_peak is None else device_peak,
        peak_memory_of=kind,
    )
    return ClipRun(scores, pictures, *collector.features())


class _FeatureCollector:
    """Features of a stream of pictures for FID and FVD, sixteen at a time, so that no clip is held whole."""

    def __init__(self, perceptual: PerceptualMetrics) -> None:
        self._frames = perceptual.fid if isinstance(perceptual.fid, FrameFeatures) else None
        self._videos = perceptual.fvd if isinstance(perceptual.fvd, VideoFeatures) else None
        self._waiting: list[Picture] = []
        self._frame_rows: list[npt.NDArray[np.float32]] = []
        self._video_rows: list[npt.NDArray[np.float32]] = []

    def add(self, picture: Picture) -> None:
        if self._frames is None and self._videos is None:
            return
        self._waiting.append(picture)
        if len(self._waiting) == SEGMENT:
            self._take(whole=True)

    def _take(self, whole: bool) -> None:
        pictures = np.stack(self._waiting)
        self._waiting.clear()
        if self._frames is not None:
            self._frame_rows.append(self._frames(pictures))
        if self._videos is not None and whole:
            self._video_rows.append(self._videos(pictures))

    def features(self) -> tuple[npt.NDArray[np.float32] | None, npt.NDArray[np.float32] | None]:
        if self._waiting:
            self._take(whole=False)
        frames = np.concatenate(self._frame_rows) if self._frame_rows else None
        videos = np.concatenate(self._video_rows) if self._video_rows else None
        return frames, videos


def evaluate(
    sources: Sequence[ClipSource],
    methods: Sequence[Method],
    settings: EvaluationSettings,
    progress: Progress | None = None,
) -> Evaluation:
    """Every method over every clip.

    Raises InputError for unreadable footage, WeightsError for broken metric weights.
    """
    names = [method.name for method in methods]
    if not names or len(set(names)) != len(names):
        raise InputError(f"Each method needs a name of its own, at least one; got {', '.join(names) or 'none'}.")
    perceptual = load_perceptual_metrics()
    runs: dict[str, list[ClipRun]] = {name: [] for name in names}
    samples: dict[str, SampleFrames] = {}
    truth_frames, truth_videos = [], []
    for source in sources:
        clip = read_clip(source, settings.size, settings.frames, settings.space)
        samples[clip.name] = SampleFrames(
            exemplars={item.index: np.array(clip.truth[item.index]) for item in exemplars_of(clip, settings.protocol)},
            truth={index: np.array(clip.truth[index]) for index in sample_indices(len(clip))},
            original=clip.original,
            size=clip.size,
        )
        frame_features, video_features = _truth_features(clip, settings, perceptual)
        truth_frames.append(frame_features)
        truth_videos.append(video_features)
        for method in methods:
            runs[method.name].append(
                evaluate_clip(
                    method,
                    clip,
                    protocol=settings.protocol,
                    count_given=settings.count_given,
                    perceptual=perceptual,
                    progress=progress,
                )
            )
    sets = {}
    for method in methods:
        mine = runs[method.name]
        sets[method.name] = set_scores(
            method.title,
            [run.scores for run in mine],
            count_given=settings.count_given,
            fid=_distance(perceptual.fid, truth_frames, [run.frame_features for run in mine], "frames"),
            fvd=_distance(
                perceptual.fvd, truth_videos, [run.video_features for run in mine], f"{SEGMENT}-frame pieces"
            ),
        )
    return Evaluation(settings, sets, runs, samples)


def _truth_features(
    clip: Clip, settings: EvaluationSettings, perceptual: PerceptualMetrics
) -> tuple[npt.NDArray[np.float32] | None, npt.NDArray[np.float32] | None]:
    collector = _FeatureCollector(perceptual)
    given = {exemplar.index for exemplar in exemplars_of(clip, settings.protocol)}
    for index in range(len(clip)):
        if settings.count_given or index not in given:
            collector.add(np.asarray(clip.truth[index]))
    return collector.features()


def _distance(
    network: FrameFeatures | VideoFeatures | NotComputed,
    truth: Sequence[npt.NDArray[np.float32] | None],
    result: Sequence[npt.NDArray[np.float32] | None],
    unit: str,
) -> Value:
    if isinstance(network, NotComputed):
        return network
    first = [features for features in truth if features is not None]
    second = [features for features in result if features is not None]
    samples = sum(len(features) for features in first)
    if samples < 2:
        return NotComputed(f"the set has {samples} {unit}, two or more are needed for a covariance")
    return frechet_distance(np.concatenate(first), np.concatenate(second))

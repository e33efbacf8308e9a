"""The command line of a task, as managers run it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..job import ColorizeJob, ExemplarSpec
from ..media.notation import frames_text
from .shots import Shot, Stage

Report: TypeAlias = Literal["plain", "openjd", "json"]

# Options of a task that are written only where they are not the default: (option, field of ColorizeJob).
_OPTIONS = (
    ("--model", "model"),
    ("--weights", "weights"),
    ("--space", "space"),
    ("--exemplar-space", "exemplar_space"),
    ("--output-space", "output_space"),
    ("--working-size", "working_size"),
    ("--saturation", "saturation"),
    ("--outputs", "outputs"),
    ("--device", "device"),
    ("--precision", "precision"),
    ("--codec", "codec"),
    ("--pixel-type", "pixel_type"),
    ("--frame-rate", "frame_rate"),
    ("--snapshot-every", "snapshot_every"),
    ("--prepass-every", "prepass_every"),
)
_DEFAULTS = ColorizeJob(plate="p", exemplars=(ExemplarSpec("e"),), output="o.png")


@dataclass(frozen=True)
class Places:
    """Where a task finds its files, where the manager puts them elsewhere than the job says (path mapping)."""

    plate: str
    exemplars: tuple[str, ...]
    output: str
    weights: str | None

    @staticmethod
    def of(job: ColorizeJob) -> "Places":
        """The job's own."""
        weights = None if job.weights is None else str(job.weights)
        return Places(job.plate, tuple(str(spec) for spec in job.exemplars), job.output, weights)


def task_arguments(
    shot: Shot, selection: Sequence[str], report: Report = "plain", places: Places | None = None
) -> list[str]:
    """Arguments for ``colormnet``: ``farm task ...`` with all that is not the default; ``selection`` as given."""
    job, where = shot.job, places or Places.of(shot.job)
    words = ["farm", "task", where.plate]
    for exemplar in where.exemplars:
        words += ["-e", exemplar]
    words += ["-o", where.output]
    if job.frames is not None:
        words += ["--frames", job.frames]
    for option, name in _OPTIONS:
        value = where.weights if name == "weights" else getattr(job, name)
        if value != getattr(_DEFAULTS, name):
            words += [option, str(value)]
    if job.confidence:
        words.append("--confidence")
    words += selection
    if report != "plain":
        words += ["--report", report]
    return words


def selection_of(stage: Stage, shot: Shot, part: Sequence[int]) -> list[str]:
    """The options that name a task's frames in our own notation; none for the whole shot."""
    if stage.is_prepass:
        return ["--prepass"]
    return [] if tuple(part) == shot.frames else ["--part", frames_text(part)]

"""What one farm task does. It may run in any order, twice at once, or after a kill: the same files come out."""

import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, InterruptedRun
from ..job import ColorizeJob, ExemplarSpec
from ..job_state import JobState, file_identity, write_whole
from ..media.frames import open_source
from ..media.movie import is_movie
from ..media.notation import frames_text, parse_frames

if TYPE_CHECKING:
    from ..pipeline import Plan, Progress, Report
    from ..session import Model

log = logging.getLogger(__name__)

REQUEST = "request.json"  # in the state folder: what `verify` needs to look at the inputs again


@dataclass(frozen=True)
class Selection:
    """Which frames of the shot a task writes; at most one of these is given, none means all.

    Attributes:
        part: in our notation, ``1001-1010x2``; every frame must be in the shot.
        chunk: as an Open Job Description range expression, ``1001-1010:2``.
        between: first and last number; those of the shot that lie between.
        prepass: no frames, but the states of the pre-pass.
    """

    part: str | None = None
    chunk: str | None = None
    between: tuple[int, int] | None = None
    prepass: bool = False

    def __post_init__(self) -> None:
        given = [name for name, value in vars(self).items() if value not in (None, False)]
        if len(given) > 1:
            raise InputError(f"--{given[0]} and --{given[1]} contradict each other; give one of them.")
        if self.between is not None and self.between[0] > self.between[1]:
            raise InputError(f"There is nothing between {self.between[0]} and {self.between[1]}; swap them.")


@dataclass(frozen=True)
class Task:
    """A task as the command line gives it."""

    job: ColorizeJob
    selection: Selection = Selection()


class Models:
    """Networks that are loaded already; a process that runs several tasks loads each once."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[str, ...], Model] = {}

    def get(self, job: ColorizeJob) -> "Model":
        """The network that a job asks for. Raises WeightsError, DeviceError, InputError."""
        from ..session import load_model

        weights = "" if job.weights is None or not job.weights.is_file() else file_identity(job.weights)
        key = (job.model, str(job.weights), weights, job.device, job.precision)
        if key not in self._loaded:
            self._loaded.clear()  # a device holds one network at a time
            self._loaded[key] = load_model(job.model, job.weights, device=job.device, precision=job.precision)
            log.info("loaded %s on %s", job.model, self._loaded[key].device)
        return self._loaded[key]


def part_of(selection: Selection, job: ColorizeJob) -> str | None:
    """The frames a task writes, in our notation; None for all. Raises InputError where there are none."""
    if selection.prepass or selection == Selection():
        return None
    with open_source(job.plate, job.frames) as source:
        order = source.frames
    if selection.between is not None:
        low, high = selection.between
        wanted = [number for number in order if low <= number <= high]
        asked = f"between {low} and {high}"
    else:
        asked = selection.part or from_openjd(selection.chunk or "")
        wanted = parse_frames(asked) or []
    if not wanted:
        raise InputError(f"There is no frame {asked} in the shot ({frames_text(order)}).")
    return None if wanted == sorted(order) else frames_text(wanted)


def run_task(task: Task, progress: "Progress", stop: threading.Event, models: Models | None = None) -> "Report | None":
    """Run a task to its end; None for a pre-pass.

    Frames that are finished, by this job's fingerprint, are left alone. Raises what `pipeline.run` raises.
    """
    from ..pipeline import execute, planned
    from ..prepass import run_prepass

    if stop.is_set():
        raise InterruptedRun("Stopped before the first frame; nothing was begun, and the same command goes on.")
    if task.selection.prepass and task.job.prepass_every is None:
        raise InputError("A pre-pass is for the mode parallel; give --prepass-every as well.")
    job = replace(task.job, part=part_of(task.selection, task.job), resume=True)
    if job.part is not None and is_movie(job.output):
        raise InputError(f"Parts of a shot cannot be written into one movie; give {job.output} as a sequence instead.")
    report = None
    with planned(job, (models or Models()).get(job)) as plan:
        if task.selection.prepass:
            if not all_finished(plan):
                run_prepass(plan, progress, stop)
        else:
            report = execute(plan, progress, stop)
        keep_request(plan.state, task.job)
        if report is not None and all_finished(plan):
            plan.state.drop_snapshots(keep=0)
    return report


def all_finished(plan: "Plan") -> bool:
    """Whether every frame of the shot, not only this task's, is noted as finished by this very job."""
    from ..job_state import fingerprint

    mine = fingerprint(plan.identity)
    records = (plan.state.recorded(number) for number in plan.order)
    return all(record is not None and record.fingerprint == mine for record in records)


def from_openjd(text: str) -> str:
    """An Open Job Description range expression in our notation: ``1-9:2,20`` -> ``1-9x2,20``. Raises InputError."""
    if "x" in text:
        raise InputError(f"The chunk '{text}' is not an Open Job Description range; its steps are written 1-9:2.")
    return text.replace(":", "x").replace(" ", "")


def to_openjd(text: str) -> str:
    """Our notation as an Open Job Description range expression: ``1-9x2,20`` -> ``1-9:2,20``."""
    return text.replace("x", ":")


# --- the request on the wire and in the state folder ----------------------------------------------------------------


def job_to_json(job: ColorizeJob) -> dict[str, Any]:
    """The settings of a job as plain data."""
    if job.memory is not None:
        raise InputError("A farm job uses the model's own memory settings; leave them out.")
    data = asdict(job)
    data["weights"] = None if job.weights is None else str(job.weights)
    del data["memory"]
    return data


def job_from_json(data: Mapping[str, Any]) -> ColorizeJob:
    """The inverse of `job_to_json`. Raises InputError for what is no job."""
    known = {field.name for field in fields(ColorizeJob)} - {"memory"}
    try:
        values = {key: value for key, value in data.items() if key in known}
        values["exemplars"] = tuple(ExemplarSpec(**item) for item in data["exemplars"])
        values["weights"] = None if data.get("weights") is None else Path(data["weights"])
        return ColorizeJob(**values)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"A stored farm request is damaged ({error!r}); submit the job again.") from error


def keep_request(state: JobState, job: ColorizeJob) -> None:
    """Note beside the output what it was made from."""
    text = json.dumps(job_to_json(replace(job, part=None)), indent=1)
    target = state.folder / REQUEST
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        write_whole(target, lambda path: _write(path, text))


def kept_request(state: JobState) -> ColorizeJob | None:
    """What `keep_request` noted, or None."""
    try:
        return job_from_json(json.loads((state.folder / REQUEST).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")

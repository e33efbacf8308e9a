"""Whether what came back from the farm is whole and up to date: which frames to render again."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import ColorMNetError, InputError
from ..job_state import FrameRecord, JobState, content_digest, differences, fingerprint
from ..media.movie import is_movie
from ..media.notation import frames_text, parse_frames
from .task import kept_request


@dataclass(frozen=True)
class Verdict:
    """What is wrong with an output.

    Attributes:
        output: as it was named.
        frames: all frames of the shot.
        missing: no file, or never noted as finished.
        corrupt: the file differs from what was written.
        stale: made by another job than the one the folder belongs to, or from inputs that have changed since.
        changed: which inputs have changed since ("plate", "exemplars", "model and weights", ...).
        unchecked: why the inputs could not be compared, or empty.
    """

    output: str
    frames: list[int]
    missing: list[int] = field(default_factory=list)
    corrupt: list[int] = field(default_factory=list)
    stale: list[int] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchecked: str = ""

    @property
    def again(self) -> list[int]:
        """The frames to render again, ascending."""
        return sorted({*self.missing, *self.corrupt, *self.stale})


def verify(output: str, inputs: bool = True) -> Verdict:
    """Look at every frame of an output; with ``inputs`` also whether plate, exemplars and weights are still the same.

    Raises InputError where nothing was ever rendered there.
    """
    state = _state(output)
    identity = state.identity()
    if identity is None:
        raise InputError(f"No job has written to {output}; name the output as it was given to the job.")
    frames = parse_frames(identity["frames"]) or []
    verdict = Verdict(output, frames)
    movie = Path(output) if is_movie(output) else None
    for number in frames:
        record = state.recorded(number)
        if record is None:
            verdict.missing.append(number)
        elif record.fingerprint != fingerprint(identity):
            verdict.stale.append(number)
        elif movie is not None:
            if not movie.is_file():
                verdict.missing.append(number)
        else:
            _judge_file(_folder_of(output) / record.file, record, number, verdict)
    if inputs:
        verdict = _compare_inputs(state, identity, verdict)
    return verdict


def mark_unfinished(output: str, verdict: Verdict) -> None:
    """Forget that the frames to render again were finished, so that the job's tasks make them again, and only them."""
    state = _state(output)
    for number in verdict.again:
        (state.folder / "frames" / f"{number}.json").unlink(missing_ok=True)


def checksums(output: str) -> str:
    """A manifest as ``sha256sum -c`` reads it, run in the output's folder. Frames without a record are left out."""
    state = _state(output)
    frames = parse_frames((state.identity() or {}).get("frames")) or []
    records = (state.recorded(number) for number in frames)
    return "".join(f"{record.sha256}  {record.file}\n" for record in records if record is not None and record.sha256)


def _state(output: str) -> JobState:
    return JobState.beside(output)


def _folder_of(output: str) -> Path:
    """The folder of the frames: of a pattern its parent, of a folder itself."""
    path = Path(output)
    return path if path.is_dir() or not path.suffix else path.parent


def _judge_file(path: Path, record: FrameRecord, number: int, verdict: Verdict) -> None:
    try:
        good = path.stat().st_size == record.bytes and content_digest(path) == record.sha256
    except FileNotFoundError:
        verdict.missing.append(number)
        return
    except OSError:
        good = False
    if not good:
        verdict.corrupt.append(number)


def _compare_inputs(state: JobState, identity: dict[str, str], verdict: Verdict) -> Verdict:
    from ..pipeline import planned

    job = kept_request(state)
    if job is None:
        return replace(verdict, unchecked="this output was not made by a farm task, so its inputs are not on record")
    try:
        # As if to start afresh, so that a change is found here and not refused there; nothing is written.
        with planned(replace(job, resume=False, overwrite=True)) as plan:
            changed = differences(identity, plan.identity)
    except ColorMNetError as error:
        return replace(verdict, unchecked=str(error))
    return replace(verdict, changed=changed, stale=list(verdict.frames) if changed else verdict.stale)


def lines(verdict: Verdict) -> list[str]:
    """The verdict for people."""
    bad = set(verdict.again)
    said = [f"{verdict.output}: {len(verdict.frames) - len(bad)} of {len(verdict.frames)} frames are good"]
    for what in ("missing", "corrupt", "stale"):
        numbers = getattr(verdict, what)
        if numbers:
            why = f" (changed since: {', '.join(verdict.changed)})" if what == "stale" and verdict.changed else ""
            said.append(f"{what}: {frames_text(numbers)}{why}")
    if verdict.unchecked:
        said.append(f"inputs not compared: {verdict.unchecked}")
    if bad:
        said.append(f"render again: {frames_text(verdict.again)}")
    return said

"""A whole shot from files to files: read ahead, colour, write behind; interruptible and resumable.

One thread reads, a small pool prepares frames before and finishes them after the network, the calling thread runs
the network, one thread writes. Frames pass in order through bounded queues, so memory does not grow with the shot.
"""

import hashlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from .colour.spaces import ColourSpace, convert, default_space
from .colouring import ColouredFrame, FrameColouring, Plane, PreparedFrame, start_session, step_session
from .errors import InputError, InterruptedRun, OutOfMemoryError
from .exemplars import LoadedExemplar, load_exemplar, read_picture
from .job import ColorizeJob
from .job_state import FrameRecord, JobState, content_digest, differences, file_identity, fingerprint
from .media.atomic import refuse_overwrite
from .media.frames import (
    CHROMA_A,
    CHROMA_B,
    CONFIDENCE,
    FrameSink,
    FrameSource,
    MediaInfo,
    PlateFrame,
    SinkContent,
    SinkSettings,
    open_sink,
    open_source,
    plan_sink,
)
from .media.images import multiplied_alpha
from .media.movie import is_movie
from .media.notation import frames_text, has_pattern, image_format, parse_frames, parse_pattern

if TYPE_CHECKING:
    from .model import Model
    from .network.interface import Keys
    from .session import Colorizer

T = TypeVar("T")

QUEUE_BYTES = 512 * 2**20  # of float32 pixels that may wait on either side of the network
SNAPSHOTS_KEPT = 3


class Progress:
    """What a run tells while it works. Every method may be overridden; by default nothing is said."""

    def planned(self, plan: "Plan") -> None:
        """The inputs are checked and the work is about to start."""

    def note(self, sentence: str) -> None:
        """Something the user should know; the run goes on."""

    def frame_done(self, number: int, done: int, total: int) -> None:
        """A frame is coloured; ``done`` of ``total`` frames to colour."""


@dataclass(frozen=True)
class Report:
    """What a run did.

    Attributes:
        output: where the frames are.
        written: frames written by this run; skipped: frames found finished.
        seconds: from the first frame's start to the last one's end; per_frame: seconds per coloured frame.
        confidence: frame number -> mean confidence, of the frames this run coloured.
        non_finite: frame number -> pixels that are NaN or infinite, where there are any.
        notes: sentences that were said.
        fingerprint: of the job, hexadecimal.
    """

    output: str
    written: int
    skipped: int
    seconds: float
    per_frame: float
    confidence: dict[int, float]
    non_finite: dict[int, int]
    notes: tuple[str, ...]
    fingerprint: str

    @property
    def least_sure(self) -> int | None:
        """The frame where another exemplar would help most, or None where nothing was coloured."""
        return min(self.confidence, key=self.confidence.__getitem__) if self.confidence else None


@dataclass
class Plan:
    """A job with everything opened and checked; nothing has been written."""

    job: ColorizeJob
    model: "Model"
    source: FrameSource
    order: list[int]  # all frames of the shot, in the order they are coloured
    part: set[int]  # those this run has to write
    colouring: FrameColouring
    output_space: ColourSpace  # of the coloured pixels in the files that are written
    exemplars: list[LoadedExemplar]
    sink_settings: SinkSettings
    state: JobState
    identity: dict[str, str]
    notes: list[str] = field(default_factory=list)

    @property
    def starts(self) -> list[int]:
        """Places in the order where the session's state is not that after the frame before: 0, and the pre-pass's."""
        return list(range(0, len(self.order), self.job.prepass_every or len(self.order)))

    def finished(self) -> set[int]:
        """Frames of this part that an earlier run of this very job has finished; looked up on the disk."""
        return _finished_frames(self, plan_sink(self.job.output, self.source, self.sink_settings))

    def lines(self) -> list[tuple[str, str]]:
        """The plan for people: (what, how)."""
        info = self.source.info
        size = self.colouring.size
        kind = f"{info.width}x{info.height} {info.bits} {info.format}"
        rows = [
            ("plate", f"{info.name}  {kind}, {_counted(len(self.order))}"),
            ("frames", frames_text(self.order)),
            ("colour space", self.colouring.space.name),
        ]
        if self.output_space != self.colouring.space:
            rows.append(("written in", self.output_space.name))
        if self.part != set(self.order):
            rows.append(("this part", frames_text(sorted(self.part))))
        for exemplar in self.exemplars:
            if exemplar.carried_by is not None:
                use = f"colours frame {exemplar.carried_by}, which carries its chroma"
            else:
                use = "a picture from elsewhere"
            rows.append(("exemplar", f"{exemplar.spec}  ({exemplar.space}; {use})"))
        rows += [
            ("model", f"{self.model.name} on {self.model.device}, {str(self.model.dtype).removeprefix('torch.')}"),
            ("working size", f"{size.width}x{size.height}"),
            ("output", f"{self.job.output}  ({self.job.outputs}{', confidence' if self.job.confidence else ''})"),
            ("snapshots", f"every {self.job.snapshot_every} frames in {self.state.folder}"),
        ]
        if self.job.resume:
            rows.append(("done already", f"{len(self.finished())} of {_counted(len(self.part))}"))
        return rows


def _counted(frames: int) -> str:
    return f"{frames} frame{'s' if frames > 1 else ''}"


def run(job: ColorizeJob, progress: Progress | None = None, stop: threading.Event | None = None) -> Report:
    """Colour a shot.

    When ``stop`` is set the frame in hand is finished and written, a snapshot is saved and InterruptedRun is raised;
    the same job with ``resume=True`` then continues, and its frames are bit for bit those of an uninterrupted run.

    Raises InputError, WeightsError, DeviceError (OutOfMemoryError with a working size to try), InterruptedRun. Frames
    that are written stay; nothing is left half-written.
    """
    with planned(job) as plan:
        return execute(plan, progress or Progress(), stop or threading.Event())


@contextmanager
def planned(job: ColorizeJob, model: "Model | None" = None) -> Iterator[Plan]:
    """Open and check everything a job needs, without writing anything; the plate is closed on leaving.

    ``model``: the one that the job asks for, where it is loaded already. Raises InputError, and WeightsError and
    DeviceError from loading the model.
    """
    source = open_source(job.plate, job.frames)
    try:
        yield _plan(job, source, model)
    finally:
        source.close()


def check_footage(job: ColorizeJob) -> None:
    """Check what a job reads and where it would write, without its network, which may only be on other machines.

    Raises InputError: no such frames, exemplars or colour spaces, an exemplar for a frame that is not in the shot, an
    output that is a file of the input.
    """
    with open_source(job.plate, job.frames) as source:
        _shot_of(job, source)
        for name in (job.exemplar_space, job.output_space):
            if name is not None:
                ColourSpace(name)
        for spec in job.exemplars:
            read_picture(spec)


def _shot_of(job: ColorizeJob, source: FrameSource) -> tuple[list[int], ColourSpace]:
    """The frames of the shot in order, and the plate's colour space. Raises InputError."""
    order = list(source.frames)
    if not order:
        raise InputError(f"{job.plate} holds no frames; check the name and the range.")
    space = ColourSpace(job.space or default_space(**vars(source.info.hint)))
    undeclared = [spec for spec in job.exemplars if spec.frame is not None and spec.frame not in order]
    if undeclared:
        raise InputError(
            f"The exemplar {undeclared[0]} is declared for frame {undeclared[0].frame}, which is not among the frames "
            f"{frames_text(order)}; correct the number, or leave it out for a picture from elsewhere."
        )
    _refuse_output_on_input(job, source)
    return order, space


def _plan(job: ColorizeJob, source: FrameSource, model: "Model | None") -> Plan:
    from .model import load_model

    info = source.info
    order, space = _shot_of(job, source)
    if model is None:
        model = load_model(job.model, job.weights, device=job.device, precision=job.precision)
    short_side = job.working_size or model.default_working_size
    colouring = FrameColouring(
        space, info.height, info.width, short_side, job.saturation, info.pixel_aspect, _ceiling(job, info.hint.floating)
    )
    exemplars = []
    for spec in job.exemplars:
        own = None if spec.frame is None else colouring.prepare(source.read(spec.frame).pixels)
        exemplars.append(load_exemplar(spec, colouring, job.exemplar_space, own, info.windows, info.orientation))
    part = _part(job, order)
    output_space = space if job.output_space is None else ColourSpace(job.output_space)
    plan = Plan(
        job=job,
        model=model,
        source=source,
        order=order,
        part=part,
        colouring=colouring,
        output_space=output_space,
        exemplars=exemplars,
        sink_settings=_sink_settings(job),
        state=JobState.beside(job.output),
        identity=_identity(job, source, order, colouring, exemplars, model),
        notes=[
            *info.notes,
            *(note for exemplar in exemplars for note in exemplar.notes),
            *_space_notes(job, info, output_space),
            *_unused_notes(job, info),
        ],
    )
    sink = plan_sink(job.output, source, plan.sink_settings)
    plan.notes.extend(sink.notes)
    if not job.overwrite:  # `farm verify` looks at a job as if to overwrite, and need not be able to write
        sink.check()
    _refuse_another_jobs_output(plan)
    _refuse_frames_unasked(plan, sink)
    return plan


def _ceiling(job: ColorizeJob, plate_is_floating: bool) -> float | None:
    """The most light a channel of the output file holds, where the plate could exceed it and the file cannot."""
    integer = job.pixel_type in ("uint8", "uint10", "uint16")
    if job.pixel_type is None:
        integer = is_movie(job.output) or Path(job.output).suffix.lower() in (".png", ".jpg", ".jpeg", ".dpx")
    return 1.0 if integer and plate_is_floating else None


def _space_notes(job: ColorizeJob, info: MediaInfo, written: ColourSpace) -> list[str]:
    """What to know where another kind of file than the plate's is written, and readers will take it for another space.

    Nothing is converted unasked: the plate's pixels stay in the plate's space. Raises InputError where a conversion is
    asked for and the plate's own header, which speaks of its space, is passed through.
    """
    kind = "movie" if is_movie(job.output) else image_format(job.output) or info.format
    if kind == info.format:
        if job.output_space is not None:
            raise InputError(
                f"{job.output} is the same kind of file as the plate and keeps the plate's header and colour space; "
                "leave out --output-space, or write another kind of file."
            )
        return []
    if job.output_space is not None or job.outputs == "chroma":
        return []
    floating = job.pixel_type in ("half", "float") or (job.pixel_type is None and info.hint.floating)
    usual = ColourSpace(default_space(kind, floating=floating and kind == "tiff"))
    if usual.same_codes(written):
        return []
    return [
        f"{job.output} holds the plate's colour space, {written.name}, but such files are usually taken for "
        f'{usual.name}; --output-space "{usual.name}" converts to it.'
    ]


def _unused_notes(job: ColorizeJob, info: MediaInfo) -> list[str]:
    """Options that were given and have no part in this output: a shot list gives them to all its shots."""
    notes = []
    into_movie = is_movie(job.output)
    if job.codec is not None and not into_movie:
        notes.append(f"The codec {job.codec} is not used: {job.output} is not a movie.")
    if job.pixel_type is not None and into_movie:
        notes.append(
            f"The pixel type {job.pixel_type} is not used: {job.output} is a movie; --codec says how it is kept."
        )
    if job.frame_rate is not None and (info.kind == "movie" or not into_movie):
        why = f"{info.name} has its own" if into_movie else f"{job.output} is not a movie"
        notes.append(f"The frame rate {job.frame_rate} is not used: {why}.")
    return notes


def _part(job: ColorizeJob, order: list[int]) -> set[int]:
    if job.part is None:
        return set(order)
    if is_movie(job.output):
        raise InputError(f"Parts of a shot cannot be written into one movie; give {job.output} as a sequence instead.")
    wanted = set(parse_frames(job.part) or ())
    if unknown := sorted(wanted - set(order)):
        raise InputError(f"The part {job.part} asks for frame {unknown[0]}, which is not in {frames_text(order)}.")
    return wanted


def _sink_settings(job: ColorizeJob) -> SinkSettings:
    content: SinkContent = "layers" if job.outputs == "chroma" else "colour"
    layers = () if job.outputs == "colour" else (CHROMA_A, CHROMA_B)
    if job.confidence:
        layers = (*layers, CONFIDENCE)
    rate = None
    if job.frame_rate is not None:
        try:
            rate = Fraction(job.frame_rate)
        except (ValueError, ZeroDivisionError) as error:
            raise InputError(f"The frame rate '{job.frame_rate}' is not a number; write 24 or 24000/1001.") from error
        if not 1 <= rate <= 1000:
            raise InputError(f"A frame rate of {job.frame_rate} cannot be played; write 24 or 24000/1001.")
    return SinkSettings(
        content=content,
        layers=layers,
        codec=job.codec,
        pixel_type=job.pixel_type,
        frame_rate=rate,
        segment_frames=job.snapshot_every,
        resume=job.resume,
    )


def _refuse_output_on_input(job: ColorizeJob, source: FrameSource) -> None:
    """The sink looks at the plate as well; here the exemplars count, and a dry run is told, too."""
    inputs = [*source.paths(), *(Path(spec.path) for spec in job.exemplars)]
    for spec in job.exemplars:
        if has_pattern(spec.path) and not Path(spec.path).is_file():
            exemplars = parse_pattern(spec.path)
            inputs += [exemplars.path(number) for number in (spec.picture, spec.frame) if number is not None]
    if has_pattern(job.output) and not is_movie(job.output):
        pattern = parse_pattern(job.output)
        outputs = [pattern.path(number) for number in source.frames]
    elif os.path.isdir(job.output):  # a name that is too long is none, and the sink says so
        outputs = [Path(job.output) / path.name for path in source.paths()]
    else:
        outputs = [Path(job.output)]
    refuse_overwrite(outputs, inputs)


def _identity(
    job: ColorizeJob,
    source: FrameSource,
    order: list[int],
    colouring: FrameColouring,
    exemplars: list[LoadedExemplar],
    model: "Model",
) -> dict[str, str]:
    from . import __version__

    pictures = []
    for exemplar in exemplars:
        prepared = exemplar.prepared
        chroma = prepared.chroma if prepared.full_chroma is None else prepared.full_chroma
        content = hashlib.sha256(prepared.luminance.tobytes() + chroma.tobytes()).hexdigest()
        pictures.append(f"{content} {exemplar.carried_by}")
    # Only where it is not the usual run, so that parts and whole runs of one job are the same job.
    special = {}
    if job.prepass_every:
        special["memory from"] = f"a pre-pass, every {job.prepass_every} frames"
    if job.output_space is not None:
        special["output space"] = ColourSpace(job.output_space).name
    return {
        **special,
        "version": __version__,
        "plate": fingerprint({str(n): file_identity(path) for n, path in enumerate(source.paths())}),
        "frames": frames_text(order),
        "colour space": colouring.space.name,
        "exemplars": " | ".join(pictures),
        "model and weights": model.fingerprint,
        "precision": str(model.dtype).removeprefix("torch."),
        "memory settings": repr(job.memory or model.default_memory),
        "working size": f"{colouring.size.width}x{colouring.size.height}",
        "saturation": repr(job.saturation),
        "output": f"{job.outputs} confidence={job.confidence} {Path(job.output).suffix} {job.codec} {job.pixel_type}",
    }


def _refuse_another_jobs_output(plan: Plan) -> None:
    job, known = plan.job, None if plan.job.overwrite else plan.state.identity()
    if known is not None and (other := differences(known, plan.identity)):
        raise InputError(
            f"{job.output} belongs to another job (it differs in: {', '.join(other)}); choose another output, or give "
            "--overwrite to start afresh."
        )


def execute(plan: Plan, progress: Progress, stop: threading.Event) -> Report:
    """Do what `planned` has checked; see `run`."""
    job, state = plan.job, plan.state
    with open_sink(job.output, plan.source, plan.sink_settings) as sink:
        finished = _finished_frames(plan, sink)
        for note in plan.notes:
            progress.note(note)
        progress.planned(plan)
        if job.overwrite:
            state.clear()
        state.claim(plan.identity)
        # A kill between a frame's writing and its record, or a lost record: the sink may know of more frames.
        sink.keep(finished)
        finished = {number for number in finished if sink.has(number)}
        worker = _Run(plan, sink, progress, stop, finished)
        with _memory_errors_explained(plan):
            for start, end in zip(plan.starts, [*plan.starts[1:], len(plan.order)], strict=True):
                missing = [index for index in range(start, end) if plan.order[index] in plan.part - finished]
                if missing and worker.coloured and stop.is_set():
                    raise InterruptedRun(
                        f"Stopped before frame {plan.order[missing[0]]}; what is written is whole, and the same "
                        "command with --resume goes on."
                    )
                if missing:
                    worker.colour(missing[0], missing[-1])
    if not job.keep_state and plan.part == set(plan.order):
        state.drop_snapshots(keep=0)
    return worker.report()


def _finished_frames(plan: Plan, sink: FrameSink) -> set[int]:
    """Frames of this very job that are whole already. Raises InputError where frames are there unasked for."""
    _refuse_frames_unasked(plan, sink)
    if plan.job.overwrite or not plan.job.resume:
        return set()
    wanted = (number for number in plan.order if number in plan.part)
    return {number for number in wanted if _is_recorded(plan, sink.path(number), number) and sink.has(number)}


def _refuse_frames_unasked(plan: Plan, sink: FrameSink) -> None:
    """Raise InputError where the output holds frames that this job is not told to go on from or to replace."""
    job = plan.job
    if job.overwrite:
        return
    wanted = [number for number in plan.order if number in plan.part]
    there = next((sink.path(number) for number in wanted if sink.path(number).exists()), None)
    if sink.begun and not job.resume:
        raise InputError(
            f"Finished parts of {job.output} are there from a run that stopped; give --resume to go on with them, or "
            "--overwrite to start afresh."
        )
    # Asked after looking: another task of this job that starts just now claims the folder before it writes.
    claimed = plan.state.identity() is not None
    if there is not None and not (job.resume and claimed):
        what = "--resume to go on, or " if claimed else ""
        raise InputError(f"{there} exists already; give {what}--overwrite to replace it, or choose another output.")


def _is_recorded(plan: Plan, path: Path, number: int) -> bool:
    record = plan.state.recorded(number)
    if record is None or record.fingerprint != fingerprint(plan.identity):
        return False
    return is_movie(plan.job.output) or (path.is_file() and path.stat().st_size == record.bytes)


@dataclass(frozen=True)
class _Ready:
    """A frame read ahead, its preparation under way."""

    frame: PlateFrame
    prepared: "Future[PreparedFrame]"


@dataclass(frozen=True)
class _Done:
    """A coloured frame on its way to the disk."""

    frame: PlateFrame
    coloured: "Future[ColouredFrame]"
    confidence: float
    non_finite: int


class _Run:
    """One pass over a shot: the threads, and what they found out."""

    def __init__(
        self, plan: Plan, sink: FrameSink, progress: Progress, stop: threading.Event, finished: set[int]
    ) -> None:
        self.plan = plan
        self.sink = sink
        self.progress = progress
        self.stop = stop
        self.finished = finished
        self.written = 0
        self.coloured = 0
        self.seconds = 0.0
        self.confidence: dict[int, float] = {}
        self.non_finite: dict[int, int] = {}
        frame_bytes = plan.colouring.height * plan.colouring.width * 4 * 4
        self.depth = max(1, min(4, QUEUE_BYTES // frame_bytes))
        self.carried = {item.carried_by: item.prepared for item in plan.exemplars if item.carried_by is not None}
        self.into_movie = is_movie(plan.job.output)
        self.job_fingerprint = fingerprint(plan.identity)

    def report(self) -> Report:
        """What was done so far."""
        return Report(
            output=self.plan.job.output,
            written=self.written,
            skipped=len(self.finished),
            seconds=self.seconds,
            per_frame=self.seconds / self.coloured if self.coloured else 0.0,
            confidence=self.confidence,
            non_finite=self.non_finite,
            notes=tuple(self.plan.notes),
            fingerprint=self.job_fingerprint,
        )

    def colour(self, first_missing: int, last_missing: int) -> None:
        """Bring the session to ``first_missing`` and colour up to ``last_missing`` (places in the order)."""
        session, start = self._session(first_missing)
        began = time.perf_counter()
        with ThreadPoolExecutor(max_workers=max(1, min(4, (os.cpu_count() or 1) - 1))) as pool:
            reader = _Reader(self.plan, self.plan.order[start : last_missing + 1], self.depth, pool)
            writer = _Writer(self._write, self.depth)
            try:
                self._steps(session, start, last_missing, reader, writer, pool)
                writer.drain()
            finally:
                reader.stop()
                writer.stop()
                self.seconds += time.perf_counter() - began
        writer.check()

    def _session(self, wanted: int) -> "tuple[Colorizer, int]":
        """A session that has done at most ``wanted`` frames, and how many it has done."""
        from .session import Colorizer

        plan = self.plan
        floor = max(start for start in plan.starts if start <= wanted)
        for done, path in reversed(plan.state.snapshots().items()):
            if floor <= done <= wanted:
                try:
                    return Colorizer.load(path, plan.model), done
                except InputError as error:  # damaged, or removed by another task: an earlier one gives the same pixels
                    path.unlink(missing_ok=True)
                    self.progress.note(f"{error}; an earlier state is used instead.")
        if floor:
            raise InputError(
                f"{plan.state.folder} holds no state for frame {plan.order[floor]} from the pre-pass; run the job's "
                "pre-pass task first."
            )
        session = Colorizer(plan.model, plan.job.memory, clip_length=len(plan.order))
        first = plan.order[0]
        start_session(session, [item.prepared for item in plan.exemplars if item.carried_by != first])
        return session, 0

    def _steps(
        self,
        session: "Colorizer",
        start: int,
        last: int,
        reader: "_Reader",
        writer: "_Writer",
        pool: ThreadPoolExecutor,
    ) -> None:
        plan = self.plan
        frames = _frames_with_keys(session, reader, last + 1 - start)
        for index, (ready, prepared, keys) in enumerate(frames, start):
            number = ready.frame.number
            chroma, confidence = step_session(
                session, prepared, self.carried.get(number), last=index == len(plan.order) - 1, keys=keys
            )
            self.confidence[number] = float(np.mean(confidence, dtype=np.float64))
            if prepared.non_finite:
                self.non_finite[number] = prepared.non_finite
            if number in plan.part - self.finished:
                coloured = pool.submit(
                    plan.colouring.finish,
                    ready.frame.pixels,
                    prepared,
                    chroma,
                    confidence if plan.job.confidence else None,
                )
                writer.put(_Done(ready.frame, coloured, self.confidence[number], prepared.non_finite))
            self.coloured += 1
            self.progress.frame_done(number, index - start + 1, last - start + 1)
            self._keep(session, index + 1, index == last, writer)

    def _keep(self, session: "Colorizer", done: int, is_last: bool, writer: "_Writer") -> None:
        """Save a snapshot where one is due. It is never ahead of what is on the disk."""
        stopping = self.stop.is_set() and not is_last
        hand_over = is_last and (self.plan.job.keep_state or self.plan.part != set(self.plan.order))
        hand_over = hand_over and done not in self.plan.starts  # the state there is the pre-pass's
        if not (stopping or hand_over or (done % self.plan.job.snapshot_every == 0 and not is_last)):
            return
        writer.drain()
        self.plan.state.save_snapshot(done, session.save)
        if not self.plan.job.keep_state and self.plan.job.prepass_every is None:
            self.plan.state.drop_snapshots(keep=SNAPSHOTS_KEPT)
        if stopping:
            raise InterruptedRun(
                f"Stopped after frame {self.plan.order[done - 1]} ({done} of {len(self.plan.order)}); what is written "
                "is whole, and the same command with --resume goes on."
            )

    def _write(self, done: _Done) -> None:
        """Write one frame and note it (in the writing thread)."""
        coloured = done.coloured.result()
        layers = {}
        if self.plan.job.outputs != "colour":
            layers = {CHROMA_A: coloured.chroma[0], CHROMA_B: coloured.chroma[1]}
        if coloured.confidence is not None:
            layers[CONFIDENCE] = coloured.confidence
        pixels: Plane | None = None
        if self.plan.job.outputs != "chroma":
            # Where the file holds no alpha, the picture is that over black, and is converted as it is seen.
            alpha = multiplied_alpha(done.frame) if self.sink.alpha_apart else None
            pixels = convert(coloured.pixels, self.plan.colouring.space, self.plan.output_space, alpha)
        self.sink.write(done.frame, pixels, layers)
        number = done.frame.number
        path = self.sink.path(number)
        digest, size = "", 0
        if not self.into_movie:
            digest, size = content_digest(path), path.stat().st_size
        self.plan.state.record(
            number, FrameRecord(path.name, size, digest, done.confidence, done.non_finite, self.job_fingerprint)
        )
        self.written += 1


class _Reader:
    """Reads frames in order in its own thread, never more than ``depth`` ahead."""

    def __init__(self, plan: Plan, numbers: Sequence[int], depth: int, pool: ThreadPoolExecutor) -> None:
        self._plan = plan
        self._numbers = numbers
        self._pool = pool
        self._queue: queue.Queue[_Ready | BaseException] = queue.Queue(maxsize=depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read, name="colormnet-read", daemon=True)
        self._thread.start()

    def next(self) -> _Ready:
        """The next frame; raises what reading it raised."""
        item = self._queue.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def stop(self) -> None:
        """End the thread; frames read and not asked for are dropped."""
        self._stopped.set()
        while self._thread.is_alive():
            try:
                self._queue.get_nowait()
            except queue.Empty:
                self._thread.join(timeout=0.05)

    def _read(self) -> None:
        for number in self._numbers:
            if self._stopped.is_set():
                return
            item: _Ready | BaseException
            try:
                frame = self._plan.source.read(number)
                item = _Ready(frame, self._pool.submit(self._plan.colouring.prepare, frame.pixels))
            except BaseException as error:  # handed to the thread that waits for the frame
                item = error
            self._queue.put(item)
            if isinstance(item, BaseException):
                return


def _frames_with_keys(
    session: "Colorizer", reader: _Reader, count: int
) -> "Iterator[tuple[_Ready, PreparedFrame, Keys | None]]":
    """The next ``count`` frames; on a processor each with its keys, worked out while the frame before is coloured.

    Keys depend on the frame alone. One frame ahead is enough to keep both threads busy, and bounds the memory. An
    accelerator works ahead of the program anyway: None there.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="colormnet-keys") as encoder:
        on_processor = session.model.device.type == "cpu"

        def fetch() -> "tuple[_Ready, PreparedFrame, Future[Keys] | None]":
            ready = reader.next()
            prepared = ready.prepared.result()
            return ready, prepared, encoder.submit(session.encode, prepared.luminance) if on_processor else None

        upcoming: tuple[_Ready, PreparedFrame, Future[Keys] | None] | Exception = fetch()
        for left in range(count - 1, -1, -1):
            if isinstance(upcoming, Exception):  # only now: the frames before it are done
                raise upcoming
            ready, prepared, keys = upcoming
            if left:
                try:
                    upcoming = fetch()
                except Exception as error:
                    upcoming = error
            yield ready, prepared, None if keys is None else keys.result()


class _Writer:
    """Writes frames in order in its own thread; the first failure stops it and is raised in the caller's thread."""

    def __init__(self, write: Callable[[_Done], None], depth: int) -> None:
        self._write = write
        self._queue: queue.Queue[_Done | None] = queue.Queue(maxsize=depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="colormnet-write", daemon=True)
        self._thread.start()

    def put(self, done: _Done) -> None:
        """Hand a frame over; waits while the queue is full. Raises what an earlier write raised."""
        self.check()
        self._queue.put(done)

    def drain(self) -> None:
        """Wait until all that was handed over is on the disk. Raises what writing raised."""
        self._queue.join()
        self.check()

    def check(self) -> None:
        """Raise what writing raised, if anything."""
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Write what was handed over, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (done := self._queue.get()) is not None:
            try:
                if self._error is None:
                    self._write(done)
            except BaseException as error:  # raised in the caller's thread by check()
                self._error = error
            finally:
                self._queue.task_done()
        self._queue.task_done()


@contextmanager
def _memory_errors_explained(plan: Plan) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        size = plan.colouring.size
        smaller = max(16, min(size.width, size.height) * 7 // 10 // 16 * 16)
        raise OutOfMemoryError(
            f"The machine ran out of memory on a plate of {plan.colouring.width}x{plan.colouring.height} at a working "
            f"size of {size.width}x{size.height}; close other programs or try --working-size {smaller}."
        ) from error

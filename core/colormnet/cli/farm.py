"""``colormnet farm``: jobs for render farm managers, and what their tasks run."""

import json
import os
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from colormnet.errors import InputError
from colormnet.farm.shots import DEFAULT_SEGMENT, Shot, ShotOrder
from colormnet.job import DEFAULT_SNAPSHOT_EVERY

from .choices import OutputChoice, PrecisionChoice
from .options import (
    CodecOption,
    ConfidenceOption,
    DeviceOption,
    ExemplarSpaceOption,
    FramesOption,
    ModelOption,
    OptionalExemplarOption,
    OutputsOption,
    OutputSpaceOption,
    PixelOption,
    PrecisionOption,
    RateOption,
    SaturationOption,
    SizeOption,
    SnapshotOption,
    SpaceOption,
    WeightsOption,
    asked,
    job_of,
)
from .signals import stop_on_signals

app = typer.Typer(
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Write, check and run render farm jobs; verify and measure what comes back.",
)
session_app = typer.Typer(
    no_args_is_help=True, help="The process that keeps the network loaded between the tasks of a manager's session."
)
app.add_typer(session_app, name="session")


class ManagerChoice(str, Enum):
    """Who gets the job."""

    openjd = "openjd"
    opencue = "opencue"
    deadline = "deadline"
    slurm = "slurm"
    shell = "shell"


class ModeChoice(str, Enum):
    """How a shot is cut into tasks."""

    shot = "shot"
    segments = "segments"
    parallel = "parallel"


class TaskReport(str, Enum):
    """Who reads a task's lines."""

    plain = "plain"
    openjd = "openjd"
    json = "json"


@app.command()
def submit(
    plate: Annotated[str | None, typer.Argument(metavar="[PLATE]", help="One shot; or give --shots.")] = None,
    to: Annotated[ManagerChoice, typer.Option("--to", help="The farm's manager.")] = ManagerChoice.shell,
    shots: Annotated[
        Path | None,
        typer.Option("--shots", help="Many shots: a CSV or JSON file; options fill what it leaves out."),
    ] = None,
    output: Annotated[
        str, typer.Option("--out", "-o", metavar="OUT", help="Where the frames go; {name} is the shot's name.")
    ] = "",
    exemplar: OptionalExemplarOption = None,
    job_folder: Annotated[
        Path, typer.Option("--job", help="Folder for the job's files; every shot gets one in it.")
    ] = Path("colormnet_job"),
    mode: Annotated[
        ModeChoice,
        typer.Option(
            "--mode",
            help="shot: one task. segments: a chain of tasks, the same pixels. parallel: tasks at once after a "
            "pre-pass, nearly the same pixels (see: farm compare).",
        ),
    ] = ModeChoice.shot,
    segment: Annotated[int, typer.Option("--segment", help="Frames per task for segments and parallel.")] = (
        DEFAULT_SEGMENT
    ),
    name: Annotated[str, typer.Option("--name", help="The shot's name. Default: from the plate's.")] = "",
    frames: FramesOption = None,
    model: ModelOption = "lite",
    weights: WeightsOption = None,
    space: SpaceOption = None,
    exemplar_space: ExemplarSpaceOption = None,
    output_space: OutputSpaceOption = None,
    working_size: SizeOption = None,
    saturation: SaturationOption = 1.0,
    outputs: OutputsOption = OutputChoice.colour,
    confidence: ConfidenceOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = PrecisionChoice.auto,
    codec: CodecOption = None,
    pixel_type: PixelOption = None,
    frame_rate: RateOption = None,
    snapshot_every: SnapshotOption = DEFAULT_SNAPSHOT_EVERY,
    command: Annotated[
        str, typer.Option("--command", help="The program on the farm's machines; a path where it is not on PATH.")
    ] = "colormnet",
    gpus: Annotated[int, typer.Option("--gpus", help="GPUs per task: 1, or 0 for machines without.")] = 1,
    notice: Annotated[int, typer.Option("--notice", help="Seconds between SIGTERM and the kill.")] = 120,
    queue: Annotated[str, typer.Option("--queue", help="Slurm partition, Deadline pool, OpenCue show.")] = "",
    priority: Annotated[int | None, typer.Option("--priority", help="0 to 100.")] = None,
    at_once: Annotated[int, typer.Option("--at-once", help="Tasks of a shot at one time, in the mode parallel.")] = 8,
    retries: Annotated[int, typer.Option("--retries", help="How often a failed task is tried again.")] = 3,
    user: Annotated[str, typer.Option("--user", help="OpenCue's user. Default: you.")] = "",
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Check plates, exemplars, colour spaces and the files written, as the manager would."
        ),
    ] = False,
    local: Annotated[
        bool, typer.Option("--local", help="Run the job here: by 'openjd run', for other managers by the shell script.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Start afresh where OUT belongs to another job; its frames are replaced."),
    ] = False,
) -> None:
    """Write the job of one or many shots for a render farm manager.

    \b
    colormnet farm submit plate.####.exr -e key.png@1001 -o out/shot.####.exr --to openjd --mode segments --check
    colormnet farm submit --shots shots.csv -o '/renders/{name}/{name}.####.exr' --to slurm

    Nothing is rendered and no manager is called, except with --local; the last line says how to hand the job over.
    """
    from colormnet.farm import openjd, shell
    from colormnet.farm.managers import MANAGERS
    from colormnet.farm.settings import FarmSettings
    from colormnet.farm.shots import read_shot_list, refuse_clashes, resolve

    plain = asked(locals())
    plain |= {"plate": plate or "", "weights": None if weights is None else str(weights.absolute())}
    order = ShotOrder(exemplars=tuple(exemplar or ()), name=name, mode=mode.value, segment=segment, **plain)
    if (plate is None) == (shots is None):
        raise InputError("Name one plate, or a shot list with --shots; not both, not neither.")
    found = [resolve(order)] if shots is None else read_shot_list(shots, order)
    refuse_clashes(found)
    settings = FarmSettings(command, gpus, notice, queue, priority, at_once, retries, user)
    manager = MANAGERS[to.value]
    base = Path(os.path.abspath(job_folder))
    folders = [base / shot.name if shots is not None else base for shot in found]
    problems: list[str] = []
    if check:
        from colormnet.pipeline import check_footage

        for shot in found:
            try:
                check_footage(shot.job)
            except InputError as error:
                raise InputError(f"Shot {shot.name}: {error}") from error
    for shot, folder in zip(found, folders, strict=True):
        if overwrite:
            _start_afresh(shot)
        manager.write(shot, settings, folder)
        tasks = sum(len(stage.parts()) or 1 for stage in shot.stages())
        count = "1 task" if tasks == 1 else f"{tasks} tasks"
        typer.echo(f"{shot.name}: {len(shot.frames)} frames, mode {shot.mode}, {count} -> {folder}")
        if check:
            problems += manager.check(folder)
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise InputError(f"The job for {to.value} would not be taken ({len(problems)} problems above).")
    if check:
        typer.echo(f"Checked for {to.value}: no problems.")
    if not local:
        for folder in folders:
            typer.echo("Hand it over with: " + manager.hand_over.format(folder=folder))
        return
    for shot, folder in zip(found, folders, strict=True):
        if to is ManagerChoice.openjd:
            code = openjd.run_locally(folder)
        else:
            shell.write(shot, settings, folder)
            code = shell.run_locally(folder)
        if code != 0:
            typer.echo(f"colormnet: the shot {shot.name} ended with exit code {code}.", err=True)
            raise typer.Exit(code)


def _start_afresh(shot: Shot) -> None:
    """Give the output to this job: what another one noted there goes; its frames are replaced one by one."""
    from dataclasses import replace

    from colormnet.pipeline import planned

    with planned(replace(shot.job, overwrite=True)) as plan:
        plan.state.clear()
        plan.state.claim(plan.identity)


@app.command()
def task(
    plate: Annotated[str, typer.Argument(metavar="PLATE", help="As for colorize.")],
    output: Annotated[str, typer.Option("--out", "-o", metavar="OUT", help="Where the frames go.")],
    exemplar: OptionalExemplarOption = None,
    frames: FramesOption = None,
    part: Annotated[str | None, typer.Option("--part", help="Write only these frames: 1001-1010.")] = None,
    chunk: Annotated[
        str | None, typer.Option("--chunk", help="The same as an Open Job Description range: 1001-1010:2.")
    ] = None,
    between: Annotated[
        tuple[int, int] | None, typer.Option("--between", metavar="A B", help="The shot's frames from A to B.")
    ] = None,
    prepass: Annotated[bool, typer.Option("--prepass", help="Write the states of the pre-pass (parallel).")] = False,
    prepass_every: Annotated[
        int | None, typer.Option("--prepass-every", help="Mode parallel: frames between states of the pre-pass.")
    ] = None,
    model: ModelOption = "lite",
    weights: WeightsOption = None,
    space: SpaceOption = None,
    exemplar_space: ExemplarSpaceOption = None,
    output_space: OutputSpaceOption = None,
    working_size: SizeOption = None,
    saturation: SaturationOption = 1.0,
    outputs: OutputsOption = OutputChoice.colour,
    confidence: ConfidenceOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = PrecisionChoice.auto,
    codec: CodecOption = None,
    pixel_type: PixelOption = None,
    frame_rate: RateOption = None,
    snapshot_every: SnapshotOption = DEFAULT_SNAPSHOT_EVERY,
    report: Annotated[TaskReport, typer.Option("--report", help="Form of the progress lines.")] = TaskReport.plain,
) -> None:
    """What a manager runs: colour some frames of a shot. Jobs written by 'farm submit' call it.

    It may run in any order, twice at once, and again after a kill; the same files come out. SIGTERM finishes the frame
    in hand, writes a snapshot and exits with 5. Where COLORMNET_WORKER names a session's process, that one does the
    work.
    """
    from colormnet.farm.session import VARIABLE, run_remotely
    from colormnet.farm.task import Selection, Task, run_task

    with stop_on_signals() as stop:  # from here on, before the slow imports
        job = job_of(locals(), prepass_every=prepass_every)
        work = Task(job, Selection(part, chunk, between, prepass))
        if endpoint := os.environ.get(VARIABLE):
            code = run_remotely(endpoint, work, report.value, stop, _say)
            if code is not None:
                raise typer.Exit(code)
        from .progress import ReportStyle, shown_as

        with shown_as(ReportStyle(report.value)) as shown:
            result = run_task(work, shown, stop)
            if result is not None:
                shown.finished(result)


def _say(stream: str, text: str) -> None:
    target = sys.stderr if stream == "stderr" else sys.stdout
    target.write(text)
    target.flush()


@app.command()
def verify(
    output: Annotated[str, typer.Argument(metavar="OUT", help="The output, as it was given to the job.")],
    files_only: Annotated[
        bool, typer.Option("--files-only", help="Do not compare plate, exemplars and weights with what they were.")
    ] = False,
    mark: Annotated[
        bool, typer.Option("--mark/--no-mark", help="Mark bad frames as unfinished, so that the job makes them again.")
    ] = True,
    sums: Annotated[
        Path | None, typer.Option("--sums", help="Also write the checksums as 'sha256sum -c' reads them.")
    ] = None,
    report: Annotated[TaskReport, typer.Option("--report", help="plain or json.")] = TaskReport.plain,
) -> None:
    """Find frames that are missing, corrupt or stale, and print the range to render again.

    Exit codes: 0 all good, 1 frames to render again, 2 nothing was rendered there.
    """
    from colormnet.farm.files import write_text
    from colormnet.farm.verify import checksums, lines, mark_unfinished
    from colormnet.farm.verify import verify as look

    verdict = look(output, inputs=not files_only)
    if report is TaskReport.json:
        typer.echo(json.dumps({**vars(verdict), "again": verdict.again}))
    else:
        for line in lines(verdict):
            typer.echo(line)
    if sums is not None:
        write_text(sums, checksums(output))
    if not verdict.again:
        return
    if verdict.changed:
        advice = "submit the job again with --overwrite: the result depends on what has changed."
    elif mark:
        mark_unfinished(output, verdict)
        advice = "they are marked as unfinished; run the job again and it makes them, and only them."
    else:
        advice = "without --no-mark they are marked as unfinished, and the job makes them again."
    if report is not TaskReport.json:
        typer.echo(advice)
    raise typer.Exit(1)


@app.command()
def compare(
    plates: Annotated[list[str], typer.Argument(metavar="CLIP...", help="Colour clips: movies or sequences.")],
    frames: Annotated[int, typer.Option("--first", help="Use the first so many frames of each clip.", min=2)] = 100,
    segment: Annotated[int, typer.Option("--segment", help="Frames per task.")] = 25,
    width: Annotated[int | None, typer.Option("--width", help="Reduce the clips to this width first.")] = None,
    model: ModelOption = "lite",
    weights: WeightsOption = None,
    working_size: SizeOption = None,
    device: DeviceOption = "auto",
    workers: Annotated[str, typer.Option("--workers", help="Measure with these numbers of tasks at once.")] = "1,2",
    beyond: Annotated[str, typer.Option("--beyond", help="Model these numbers of tasks at once.")] = "4,8,16",
    threads: Annotated[int, typer.Option("--threads", help="CPU threads per task.")] = 1,
    work: Annotated[Path | None, typer.Option("--work", help="Keep the frames in this folder.")] = None,
    output: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="OUT", help="Also write the table to this Markdown file.")
    ] = None,
) -> None:
    """Measure what the modes cost and how far *parallel* is from *shot*, on real clips; prints a Markdown table.

    Each clip is made grey and coloured from its own first frame, in every mode, by real tasks.
    """
    from colormnet.farm.compare import Setting, compare_modes, table
    from colormnet.farm.files import write_text
    from colormnet.media.atomic import prepare_folder

    def numbers(text: str) -> tuple[int, ...]:
        try:
            return tuple(int(item) for item in text.split(",") if item.strip())
        except ValueError as error:
            raise InputError(f"'{text}' is not a list of numbers; write 1,2.") from error

    setting = Setting(
        frames=frames,
        segment=segment,
        width=width,
        model=model,
        weights=weights,
        working_size=working_size,
        device=device,
        workers=numbers(workers),
        threads=threads,
    )
    modelled = numbers(beyond)
    if output is not None:
        prepare_folder(output.absolute().parent, output.name)  # found out before the measuring, not after it
    results = compare_modes(plates, setting, work, lambda text: typer.echo(text, err=True))
    text = table(results, setting, modelled)
    typer.echo(text)
    if output is not None:
        write_text(output, text + "\n")


@session_app.command("start")
def session_start(
    folder: Annotated[Path, typer.Argument(help="The session's own folder.")],
    idle: Annotated[
        float, typer.Option("--idle", help="Seconds without a task after which the process ends.")
    ] = 1800.0,
) -> None:
    """Start the process and name it to the session (prints 'openjd_env: COLORMNET_WORKER=...')."""
    from colormnet.farm.session import VARIABLE, start

    typer.echo(f"openjd_env: {VARIABLE}={start(folder.absolute(), idle)}")


@session_app.command("stop")
def session_stop(folder: Annotated[Path, typer.Argument(help="The session's own folder.")]) -> None:
    """Stop the process after the frame in hand."""
    from colormnet.farm.session import stop

    typer.echo("stopped" if stop(folder.absolute()) else "no process was running")

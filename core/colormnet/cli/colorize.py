"""``colormnet colorize``: one shot from files to files."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import typer

from colormnet.errors import ColorMNetError
from colormnet.job import DEFAULT_SNAPSHOT_EVERY
from colormnet.media.notation import frames_text

from .choices import OutputChoice, PrecisionChoice
from .options import (
    PLATE_HELP,
    CodecOption,
    ConfidenceOption,
    DeviceOption,
    ExemplarOption,
    ExemplarSpaceOption,
    FramesOption,
    ModelOption,
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
    job_of,
)
from .progress import ReportStyle, counted, show_notes, show_plan, shown_as
from .signals import stop_on_signals

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def colorize(
    plate: Annotated[str, typer.Argument(help=PLATE_HELP, metavar="PLATE")],
    output: Annotated[
        str,
        typer.Option(
            "--output-path", "--out", "-o", help="Where the result goes, in the same notations.", metavar="OUT"
        ),
    ],
    exemplar: ExemplarOption,
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
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted run of the same job stopped.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start afresh, replacing output that is there.")
    ] = False,
    snapshot_every: SnapshotOption = DEFAULT_SNAPSHOT_EVERY,
    part: Annotated[
        str | None,
        typer.Option(help="Write only these frames of the shot (a farm task); the pixels are those of the whole run."),
    ] = None,
    keep_state: Annotated[bool, typer.Option("--keep-state", help="Keep snapshots after the last frame.")] = False,
    report: Annotated[
        ReportStyle, typer.Option(help="Form of the progress: a bar or lines, JSON, Open Job Description.")
    ] = ReportStyle.auto,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", "-n", help="Check everything, print the plan (with --resume also what is done), write nothing."
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Also print the plan, each frame's confidence, and what lies behind an error."
        ),
    ] = False,
) -> None:
    """Colour a sequence or a movie from one or more exemplars.

    \b
    colormnet colorize plate.####.exr -e key.png@1001 -o out/shot.####.exr
    colormnet colorize old.mov -e still.jpg -o coloured.mov --frames 1-240

    The plate's luminance, alpha, other channels, metadata and timecode are kept; only colour changes. Ctrl-C finishes
    the frame in hand; --resume then goes on exactly. Exit codes: 0 done, 2 bad usage or input, 3 missing or wrong
    weights, 4 device failure, 5 interrupted.
    """
    from colormnet.pipeline import execute, planned

    job = job_of(locals(), part=part, resume=resume, overwrite=overwrite, keep_state=keep_state)
    with _causes_told(verbose), stop_on_signals() as stop, shown_as(report) as shown, planned(job) as plan:
        if dry_run or verbose:
            show_plan(plan, err=report in (ReportStyle.json, ReportStyle.openjd))  # their stdout is for programs
        if dry_run:
            show_notes(plan)
            typer.echo("Dry run: nothing was written.")
            return
        result = execute(plan, shown, stop)
        shown.finished(result)
    if report in (ReportStyle.json, ReportStyle.openjd):
        return
    if verbose:
        for number, sure in sorted(result.confidence.items()):
            typer.echo(f"frame {number}: mean confidence {sure:.3f}")
    for line in _non_finite_lines(result.non_finite):
        typer.echo(line)
    skipped = f", {result.skipped} were finished before" if result.skipped else ""
    rate = f" at {1.0 / result.per_frame:.2f} frames/s" if result.per_frame else ""
    typer.echo(f"{counted(result.written)} written to {result.output}{skipped}{rate}.")
    if (least := result.least_sure) is not None and len(result.confidence) > 1:
        typer.echo(
            f"Least sure at frame {least} (confidence {result.confidence[least]:.2f}): an exemplar there helps most."
        )


@contextmanager
def _causes_told(told: bool) -> Iterator[None]:
    """Print what lies behind an error, as the libraries put it, on stderr; the error itself goes on."""
    try:
        yield
    except ColorMNetError as error:
        cause = error.__cause__
        while told and cause is not None:
            typer.echo(f"{type(cause).__name__}: {cause}", err=True)
            cause = cause.__cause__
        raise


def _non_finite_lines(counts: Mapping[int, int]) -> list[str]:
    """A line for all frames that hold as many pixels that are no numbers, the worst first."""
    frames: dict[int, list[int]] = {}
    for number, count in sorted(counts.items()):
        frames.setdefault(count, []).append(number)
    return [
        f"Pixels that are NaN or infinite: {count} in frame{'s' if len(numbers) > 1 else ''} {frames_text(numbers)}; "
        "they are as in the plate, where the file can hold that."
        for count, numbers in sorted(frames.items(), reverse=True)
    ]

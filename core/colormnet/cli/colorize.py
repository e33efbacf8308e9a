"""``colormnet colorize``: one shot from files to files."""

from pathlib import Path
from typing import Annotated, cast

import typer

from colormnet.job import DEFAULT_SNAPSHOT_EVERY, Codec, ColorizeJob, PixelType, parse_exemplar

from .choices import CodecChoice, OutputChoice, PixelChoice, PrecisionChoice
from .progress import ReportStyle, show_plan, shown_as
from .signals import stop_on_signals

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def colorize(
    plate: Annotated[
        str,
        typer.Argument(
            help="plate.####.exr, plate.%04d.exr, plate.$F4.exr, a folder, a picture or a movie.", metavar="PLATE"
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output-path", "--out", "-o", help="Where the result goes, in the same notations.", metavar="OUT"
        ),
    ],
    exemplar: Annotated[
        list[str],
        typer.Option(
            "--exemplar",
            "-e",
            metavar="REF[#N][@FRAME]",
            help="A colour picture; repeatable. #N: picture N of a movie or sequence REF. @FRAME: it is the plate's "
            "frame FRAME, whose output then carries its chroma; without it, a picture from elsewhere.",
        ),
    ],
    frames: Annotated[
        str | None, typer.Option(help="1001-1100, 1001-1100x2 (every 2nd), 5,7,9-12. Default: all.")
    ] = None,
    model: Annotated[str, typer.Option(help="lite or released.")] = "lite",
    weights: Annotated[Path | None, typer.Option(help="A checkpoint file instead of the installed one.")] = None,
    space: Annotated[
        str | None,
        typer.Option(
            help="The plate's colour space, an OCIO name. Default: what the files say (EXR: scene-linear Rec.709; "
            "PNG, JPEG, TIFF: sRGB; movies: Rec.709)."
        ),
    ] = None,
    exemplar_space: Annotated[str | None, typer.Option(help="The exemplars' colour space; default likewise.")] = None,
    working_size: Annotated[
        int | None,
        typer.Option(
            help="Shorter side, in pixels, at which the network works. Default: the model's.", metavar="PIXELS"
        ),
    ] = None,
    saturation: Annotated[float, typer.Option(help="Multiplies the chroma; 0 is grey, 1 as predicted.")] = 1.0,
    outputs: Annotated[
        OutputChoice,
        typer.Option("--outputs", help="The coloured plate, the chroma layers alone (EXR), or both in one file (EXR)."),
    ] = OutputChoice.colour,
    confidence: Annotated[bool, typer.Option("--confidence", help="Add the confidence layer (EXR).")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[PrecisionChoice, typer.Option(help="Number format of the network.")] = PrecisionChoice.auto,
    codec: Annotated[CodecChoice | None, typer.Option(help="For movies; default by extension.")] = None,
    pixel_type: Annotated[PixelChoice | None, typer.Option(help="For pictures; default the plate's own depth.")] = None,
    frame_rate: Annotated[
        str | None, typer.Option(help="For a movie made from a sequence without a rate: 24, 24000/1001.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted run of the same job stopped.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start afresh, replacing output that is there.")
    ] = False,
    snapshot_every: Annotated[
        int, typer.Option(help="Frames between snapshots (what a killed run has to do again).")
    ] = DEFAULT_SNAPSHOT_EVERY,
    part: Annotated[
        str | None,
        typer.Option(help="Write only these frames of the shot (a farm task); the pixels are those of the whole run."),
    ] = None,
    keep_state: Annotated[bool, typer.Option("--keep-state", help="Keep snapshots after the last frame.")] = False,
    report: Annotated[
        ReportStyle, typer.Option(help="Form of the progress: a bar or lines, JSON, Open Job Description.")
    ] = ReportStyle.auto,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Check everything, print the plan, write nothing.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also print the plan and each frame's confidence.")
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

    job = ColorizeJob(
        plate=plate,
        exemplars=tuple(parse_exemplar(text) for text in exemplar),
        output=output,
        frames=frames,
        part=part,
        model=model,
        weights=weights,
        space=space,
        exemplar_space=exemplar_space,
        working_size=working_size,
        saturation=saturation,
        outputs=outputs.value,
        confidence=confidence,
        device=device,
        precision=precision.value,
        codec=cast("Codec | None", codec and codec.value),
        pixel_type=cast("PixelType | None", pixel_type and pixel_type.value),
        frame_rate=frame_rate,
        resume=resume,
        overwrite=overwrite,
        snapshot_every=snapshot_every,
        keep_state=keep_state,
    )
    with stop_on_signals() as stop, shown_as(report) as shown, planned(job) as plan:
        if dry_run or verbose:
            show_plan(plan)
        if dry_run:
            typer.echo("Dry run: nothing was written.")
            return
        result = execute(plan, shown, stop)
        shown.finished(result)
    if report in (ReportStyle.json, ReportStyle.openjd):
        return
    if verbose:
        for number, sure in sorted(result.confidence.items()):
            typer.echo(f"frame {number}: mean confidence {sure:.3f}")
    for number, count in sorted(result.non_finite.items()):
        typer.echo(f"frame {number}: {count} pixels are NaN or infinite; they are as they were in the plate.")
    skipped = f", {result.skipped} were finished before" if result.skipped else ""
    rate = f" at {1.0 / result.per_frame:.2f} frames/s" if result.per_frame else ""
    typer.echo(f"{result.written} frames written to {result.output}{skipped}{rate}.")
    if (least := result.least_sure) is not None and len(result.confidence) > 1:
        typer.echo(
            f"Least sure at frame {least} (confidence {result.confidence[least]:.2f}): an exemplar there helps most."
        )

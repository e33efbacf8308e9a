"""``colormnet demo``: the bundled clip, made grey and coloured again from its first frame."""

from pathlib import Path
from typing import Annotated

import typer

from .progress import ReportStyle, shown_as

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for what is written.")] = Path("demo_output"),
    model: Annotated[str, typer.Option(help="lite or released.")] = "lite",
    weights: Annotated[Path | None, typer.Option(help="A checkpoint file instead of the installed one.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    working_size: Annotated[int | None, typer.Option(help="As for colorize.", metavar="PIXELS")] = None,
    frames: Annotated[int | None, typer.Option(help="Only the first so many frames.", min=2)] = None,
) -> None:
    """Colour the bundled clip and show how well it went.

    A grey version of a Big Buck Bunny excerpt is coloured from its first frame as the exemplar. Written are the frames
    (PNG), a movie with grey, result and truth side by side, and a contact sheet; printed are the time a frame took and
    the PSNR against the truth, beside that of leaving the clip grey.
    """
    from colormnet.demo import run_demo
    from colormnet.job import ColorizeJob, ExemplarSpec

    from .signals import stop_on_signals

    with stop_on_signals() as stop, shown_as(ReportStyle.auto) as shown:

        def job(plate: str, exemplar: str, out: str) -> ColorizeJob:
            return ColorizeJob(
                plate=plate,
                exemplars=(ExemplarSpec(exemplar, frame=1),),
                output=out,
                model=model,
                weights=weights,
                device=device,
                working_size=working_size,
                overwrite=True,
            )

        result = run_demo(output, job, shown, stop, frames)
    typer.echo(
        f"\n{result.frames} frames of {result.width}x{result.height}, {result.per_frame:.3f} s a frame ({result.model})"
    )
    typer.echo("PSNR against the truth, mean over the frames after the exemplar (higher is better):")
    typer.echo(f"  left grey  {result.grey_psnr:6.2f} dB")
    typer.echo(f"  coloured   {result.coloured_psnr:6.2f} dB   ({result.coloured_psnr - result.grey_psnr:+.2f} dB)")
    typer.echo("\nWritten:")
    for what, path in result.written:
        typer.echo(f"  {what:<24} {path}")

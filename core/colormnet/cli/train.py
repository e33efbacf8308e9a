"""``colormnet train``: train a network, or go on with a run."""

import time
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(pretty_exceptions_enable=False)


class Preset(str, Enum):
    """Named settings to start from; every option given beside them wins."""

    lite = "lite"
    paper = "paper"


@app.command()
def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; a run found there goes on.")],
    clips: Annotated[list[Path] | None, typer.Option(help="Colour movies, or folders of them. Repeatable.")] = None,
    photos: Annotated[
        list[Path] | None, typer.Option(help="Colour photographs: tar shards, or folders. Repeatable.")
    ] = None,
    validation: Annotated[
        list[Path] | None, typer.Option(help="Clips for the validation curve and the preview sheets; never trained on.")
    ] = None,
    preset: Annotated[
        Preset, typer.Option(help="lite: the shipped checkpoint's settings. paper: Adam, 2e-5, L1, 160,000 steps.")
    ] = Preset.lite,
    network: Annotated[
        str,
        typer.Option(help="lite, released, or a variant of the paper's Table 2 (small-NAME: for a CPU)."),
    ] = "lite",
    start: Annotated[Path | None, typer.Option(help="Checkpoint to start from, else the pretrained backbone.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps in all.")] = None,
    batch: Annotated[int | None, typer.Option(help="Sequences a step.")] = None,
    frames: Annotated[int | None, typer.Option(help="Frames a sequence.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the training crop in pixels.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    bfloat16: Annotated[bool, typer.Option("--bf16", help="Run under bfloat16 autocast.")] = False,
    free_data_only: Annotated[
        bool, typer.Option("--free-data-only", help="Leave out the sources whose terms allow research only.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of data and initial weights.")] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps between checkpoints.")] = None,
    validate_every: Annotated[int | None, typer.Option(help="Steps between validations.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    stop_after: Annotated[int | None, typer.Option(help="Stop after so many steps; the run can go on.")] = None,
) -> None:
    """Train a network. Interrupt it whenever you like: the same command goes on and ends with the same weights."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from colormnet.device import choose_device
    from colormnet.training import loop, settings

    chosen = settings.TrainingSettings(
        out=out,
        clips=_usable(clips, free_data_only),
        photos=_usable(photos, free_data_only),
        validation=tuple(validation or ()),
        network=network,
        start=start,
        bfloat16=bfloat16,
    )
    if preset is Preset.paper:
        chosen = settings.paper(chosen)
    elif network != "lite":
        chosen = settings.whole_sequences(replace(chosen, size=224, batch=4, loss="l1"))
        chosen = replace(chosen, backbone_rate=1.0, frozen_stages=0)
    given: dict[str, Any] = {
        "steps": steps,
        "batch": batch,
        "frames": frames,
        "size": size,
        "learning_rate": learning_rate,
        "seed": seed,
        "save_every": save_every,
        "validate_every": validate_every,
    }
    chosen = replace(chosen, **{name: value for name, value in given.items() if value is not None})
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}  {task.fields[pace]:.2f} s/step"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as bar:
        task = bar.add_task("training", total=chosen.steps, loss=float("nan"), pace=0.0)
        smooth = [0.0]

        def report(progress: loop.Progress) -> None:
            smooth[0] = progress.loss if smooth[0] == 0 else 0.95 * smooth[0] + 0.05 * progress.loss
            bar.update(task, completed=progress.step, loss=smooth[0], pace=progress.seconds)

        started = time.monotonic()
        weights = loop.train(chosen, report, str(choose_device(device)), stop_after)
    typer.echo(f"{weights}: {chosen.network}, {time.monotonic() - started:.0f} s in this call")


def _usable(paths: list[Path] | None, free_only: bool) -> tuple[Path, ...]:
    from colormnet.training.sources import free_sources

    everything = tuple(paths or ())
    return free_sources(everything) if free_only else everything

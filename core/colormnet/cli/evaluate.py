"""``colormnet evaluate``: measure models and baselines on clips, and the paper's Tables 2 and 3."""

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from colormnet.errors import InputError

from .choices import PrecisionChoice

if TYPE_CHECKING:
    from colormnet.evaluation.methods import Method
    from colormnet.evaluation.paper_tables import TextTable
    from colormnet.evaluation.protocol import Evaluation

app = typer.Typer(pretty_exceptions_enable=False)

MODEL = "model"


class ProtocolChoice(str, Enum):
    """Which true frames are handed over in colour."""

    first = "first"
    first_last = "first-last"


@app.command()
def evaluate(
    clips: Annotated[
        list[str] | None,
        typer.Argument(
            help="Movies, folders of frames, frame patterns, or folders that hold such clips.",
            metavar="CLIPS...",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="lite or released. Default lite; with --table3 a small network of the released structure, untrained.",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="A checkpoint file instead of the installed one.")] = None,
    methods: Annotated[
        str,
        typer.Option(
            help="Comma list, in the order of the report: grey, copy, flow, model (that of --model), lite, released."
        ),
    ] = "grey,copy,flow,model",
    results: Annotated[
        list[str] | None,
        typer.Option(
            "--results",
            metavar="NAME=FOLDER",
            help="Also measure what another program made of the same clips: FOLDER holds a movie or a folder of frames "
            "per clip, named like the clip. Repeatable.",
        ),
    ] = None,
    protocol: Annotated[
        ProtocolChoice, typer.Option(help="Exemplars: the first frame, or the first and the last.")
    ] = ProtocolChoice.first,
    size: Annotated[
        str | None,
        typer.Option(
            help="Size at which everything is measured, WIDTHxHEIGHT, or native. Default 416x240; with --ablation and "
            "--table3 224x112.",
        ),
    ] = None,
    frames: Annotated[int | None, typer.Option(help="At most this many frames from the start of each clip.")] = None,
    space: Annotated[str | None, typer.Option(help="The clips' colour space, an OCIO name; default as stored.")] = None,
    count_exemplars: Annotated[
        bool, typer.Option("--count-exemplars", help="Count the given frames in the means (flatters short clips).")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="Folder for report.html, results.json and the CSV files."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    precision: Annotated[PrecisionChoice, typer.Option(help="Number format of the network.")] = PrecisionChoice.auto,
    ablation: Annotated[
        bool,
        typer.Option(
            "--ablation", help="The paper's Table 2: train small versions of its variants alike, compare them."
        ),
    ] = False,
    train_on: Annotated[
        list[Path] | None,
        typer.Option("--train-on", help="--ablation: movies, folders of them, or photo shards (tar). Repeatable."),
    ] = None,
    variants: Annotated[
        str | None,
        typer.Option(help="--ablation: comma list of variants. Default: all of Table 2.", show_default=False),
    ] = None,
    steps: Annotated[int, typer.Option(help="--ablation: training steps of each run.")] = 300,
    seeds: Annotated[int, typer.Option(help="--ablation: runs of each variant.")] = 3,
    table3: Annotated[
        bool,
        typer.Option("--table3", help="The paper's Table 3: time and memory of stacking and MFP over the clip length."),
    ] = False,
    lengths: Annotated[str, typer.Option(help="--table3: clip lengths in frames.")] = "25,50,100,200,400",
) -> None:
    """Measure a model and three baselines on clips, all through the same code.

    \b
    colormnet evaluate clips/ -o report
    colormnet evaluate a.mp4 frames_b/ --protocol first-last --methods flow,model --frames 100
    colormnet evaluate clips/ --ablation --train-on footage/ -o table2
    colormnet evaluate --table3 -o table3

    The first frame in colour is the exemplar; every method answers with chroma, which is put on the true luminance.
    LPIPS, FID and FVD need networks that are not shipped: without them the report says where to put which file.
    """
    from colormnet.evaluation.clips import Size, find_clips
    from colormnet.evaluation.protocol import EvaluationSettings
    from colormnet.evaluation.protocol import evaluate as measure

    if ablation and table3:
        raise InputError("--ablation and --table3 are two measurements; ask for one at a time.")
    if table3:
        _table3(model, weights, device, precision.value, size, lengths, output)
        return
    if not clips:
        raise InputError("No clip was named; give movies, folders of frames, or a folder that holds such clips.")
    if ablation:
        _ablation(clips, train_on or [], variants, steps, seeds, size, frames, space, device, output)
        return
    settings = EvaluationSettings(
        protocol="first" if protocol is ProtocolChoice.first else "first-last",
        size=Size.parse(size or "416x240"),
        frames=frames,
        count_given=count_exemplars,
        space=space,
    )
    sources = find_clips(clips)
    if output is not None:
        _check_output(output, [Path(source.path) for source in sources])
    chosen, described = _methods(methods, results or [], model or "lite", weights, device, precision.value)
    with _Bar(len(sources) * len(chosen)) as bar:
        evaluation = measure(sources, chosen, settings, bar.step)
    console = Console(highlight=False, markup=False)
    show(evaluation, console)
    if output is not None:
        from colormnet.evaluation.outputs import write_results, write_text
        from colormnet.evaluation.report import render

        run = {"clips": ", ".join(source.name for source in sources), "methods": methods, **described}
        written = write_results(evaluation, output, run)
        write_text(output / "report.html", render(evaluation, run))
        console.print(f"Report: {output / 'report.html'}  (figures: {', '.join(path.name for path in written)})")


def _check_output(output: Path, inputs: list[Path]) -> None:
    target = output.resolve()
    if target.exists() and not target.is_dir():
        raise InputError(f"{output} is a file; name a folder for the results with -o.")
    for path in inputs:
        if target == path.resolve():
            raise InputError(f"{output} is a clip that is measured; name another folder for the results with -o.")


def _methods(
    names: str, results: list[str], model: str, weights: Path | None, device: str, precision: str
) -> "tuple[list[Method], dict[str, str]]":
    from colormnet.evaluation.clips import find_clips
    from colormnet.evaluation.methods import BASELINES, Method, Network, Results
    from colormnet.model import MODELS, load_model

    chosen: list[Method] = []
    described: dict[str, str] = {}
    for name in [part.strip() for part in names.split(",") if part.strip()]:
        if name in BASELINES:
            chosen.append(BASELINES[name]())
        elif name in (MODEL, *MODELS):
            asked = model if name == MODEL else name
            loaded = load_model(asked, weights if name == MODEL else None, device, precision)
            chosen.append(Network(loaded))
            described |= {
                f"fingerprint of {loaded.name}": loaded.fingerprint,
                "device": str(loaded.device),
                "precision": str(loaded.dtype).removeprefix("torch."),
            }
        else:
            raise InputError(f"There is no method '{name}'; choose from {', '.join([*BASELINES, MODEL, *MODELS])}.")
    for entry in results:
        title, mark, folder = entry.partition("=")
        if not mark or not title or not folder:
            raise InputError(f"--results {entry} is not understood; write NAME=FOLDER.")
        chosen.append(Results(title, {clip.name: clip for clip in find_clips([folder])}))
        described[f"results {title}"] = folder
    return chosen, described


class _Bar:
    """Progress on stderr: a bar on a terminal, a line per clip and method elsewhere."""

    def __init__(self, rounds: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}, {task.fields[done]}/{task.fields[rounds]} rounds"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("", total=1, done=0, rounds=rounds, unit="frames")
        self._rounds = rounds
        self._done = 0

    def __enter__(self) -> "_Bar":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def step(self, clip: str, method: str, done: int, total: int, unit: str = "frames") -> None:
        if done == total:
            self._done += 1
            if self._bar.disable:
                print(f"{self._done}/{self._rounds} {clip}: {method}, {total} {unit}", file=sys.stderr, flush=True)
        self._bar.update(
            self._task, description=f"{clip}: {method}", completed=done, total=total, done=self._done, unit=unit
        )


def _ablation(
    clips: list[str],
    train_on: list[Path],
    variants: str | None,
    steps: int,
    seeds: int,
    size: str | None,
    frames: int | None,
    space: str | None,
    device: str,
    output: Path | None,
) -> None:
    from colormnet.device import choose_device
    from colormnet.evaluation.ablation import PAPER, AblationSettings, run_ablation
    from colormnet.evaluation.clips import Size, find_clips, read_clip
    from colormnet.evaluation.paper_tables import ablation_table, write_ablation

    if output is None:
        raise InputError("An ablation keeps its training runs; name a folder for them and the table with -o.")
    sources = find_clips(clips)
    _check_output(output, [Path(source.path) for source in sources])
    _check_apart(train_on, [Path(source.path) for source in sources])
    settings = AblationSettings(
        out=output / "runs",
        clips=tuple(path for path in train_on if path.suffix != ".tar"),
        photos=tuple(path for path in train_on if path.suffix == ".tar"),
        variants=tuple(part.strip() for part in variants.split(",")) if variants else tuple(PAPER),
        seeds=seeds,
        steps=steps,
        device=str(choose_device(device)),
    )
    measured = [read_clip(source, Size.parse(size or "224x112"), frames, space) for source in sources]
    with _Bar(seeds * len(settings.variants)) as bar:
        result = run_ablation(
            settings, measured, lambda name, seed, done, total: bar.step(f"seed {seed}", name, done, total, "steps")
        )
    run = {
        "measured on": ", ".join(source.name for source in sources),
        "trained on": ", ".join(path.name for path in train_on),
        "training": f"{settings.steps} steps of {settings.batch} sequences of {settings.frames} frames at "
        f"{settings.crop}x{settings.crop}, Adam, peak rate {settings.learning_rate:g}, L1, seeds 1 to {settings.seeds}",
        "size": size or "224x112",
        "device": settings.device,
    }
    _publish(ablation_table(result), write_ablation(result, output, run))


def _check_apart(train_on: list[Path], measured: list[Path]) -> None:
    for training in (path.resolve() for path in train_on):
        for clip in (path.resolve() for path in measured):
            if training == clip or training in clip.parents or clip in training.parents:
                raise InputError(f"{clip} would be trained on and measured; keep the two apart.")


def _table3(
    model: str | None,
    weights: Path | None,
    device: str,
    precision: str,
    size: str | None,
    lengths: str,
    output: Path | None,
) -> None:
    from colormnet import load_model
    from colormnet.evaluation.clips import Size
    from colormnet.evaluation.paper_tables import table3_table, write_table3
    from colormnet.evaluation.table3 import measure_table3, untrained_model

    try:
        frames = [int(part) for part in lengths.split(",")]
    except ValueError:
        raise InputError(f"--lengths {lengths} is not understood; write numbers of frames such as 25,50,100.") from None
    plane = Size.parse(size or "224x112")
    if plane is None:
        raise InputError("--table3 makes its own footage; give --size WIDTHxHEIGHT.")
    if output is not None:
        _check_output(output, [])
    if model is None and weights is None:
        if precision not in ("auto", "float32"):
            raise InputError(f"--table3 without a model runs in float32; name a --model for --precision {precision}.")
        loaded = untrained_model(device)
    else:
        loaded = load_model(model or "lite", weights=weights, device=device, precision=precision)
    with _Bar(2) as bar:
        table = measure_table3(loaded, plane, frames, lambda name, done, total: bar.step("clip", name, done, total))
    run = {
        "model": loaded.name,
        "model fingerprint": loaded.fingerprint,
        "device": str(loaded.device),
        "size": str(plane),
    }
    _publish(table3_table(table), write_table3(table, output, run) if output is not None else [])


def _publish(text: "TextTable", written: list[Path]) -> None:
    console = Console(highlight=False, markup=False)
    table = Table(title=text.title, title_justify="left")
    for place, head in enumerate(text.heads):
        table.add_column(head, justify="left" if place == 0 else "right")
    for place, row in enumerate(text.rows):
        table.add_row(*row, style="bold" if place in text.strong else None)
    console.print(table)
    for sentence in text.sentences:
        console.print(sentence, soft_wrap=True)
    for path in written:
        console.print(str(path), soft_wrap=True)


def show(evaluation: "Evaluation", console: Console) -> None:
    """Print the set's figures, the clips' true PSNR, and what could not be computed."""
    from colormnet.evaluation.perceptual import NotComputed
    from colormnet.evaluation.report import COLUMNS, findings, number

    sets = evaluation.sets
    table = Table(title="Mean over clips", title_justify="left")
    table.add_column("figure", no_wrap=True)
    for name in sets:
        table.add_column(name, justify="right")
    missing: list[str] = []
    for column in COLUMNS:
        values = [getattr(scores, column.field) for scores in sets.values()]
        for value in values:
            if isinstance(value, NotComputed) and f"{column.title} {value}" not in missing:
                missing.append(f"{column.title} {value}")
        cells = [
            "not computed" if isinstance(value, NotComputed) else number(value, column.digits, column.factor)
            for value in values
        ]
        table.add_row(column.title, *cells)
    console.print(table)
    per_clip = Table(title="True PSNR by clip, dB", title_justify="left")
    per_clip.add_column("clip", no_wrap=True)
    per_clip.add_column("frames", justify="right")
    for name in sets:
        per_clip.add_column(name, justify="right")
    for place, clip in enumerate(evaluation.samples):
        runs = [evaluation.clips[name][place].scores for name in sets]
        per_clip.add_row(clip, str(runs[0].counted), *(f"{scores.psnr:.2f}" for scores in runs))
    console.print(per_clip)
    scores = {name: [run.scores for run in runs] for name, runs in evaluation.clips.items()}
    for sentence in [*findings(sets, scores), *missing]:
        console.print(sentence, soft_wrap=True)

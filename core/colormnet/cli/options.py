"""Options that say how a shot is coloured, declared once for the commands that take them (`colorize`, `farm`)."""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from colormnet.job import ColorizeJob, parse_exemplar

from .choices import CodecChoice, OutputChoice, PixelChoice, PrecisionChoice

PLATE_HELP = "plate.####.exr, plate.%04d.exr, plate.$F4.exr, a folder, a picture or a movie."

_EXEMPLAR = typer.Option(
    "--exemplar",
    "-e",
    metavar="REF[#N][@FRAME]",
    help="A colour picture; repeatable. #N: picture N of a movie or sequence REF. @FRAME: it is the plate's "
    "frame FRAME, whose output then carries its chroma; without it, a picture from elsewhere.",
)
ExemplarOption = Annotated[list[str], _EXEMPLAR]
OptionalExemplarOption = Annotated[list[str] | None, _EXEMPLAR]  # where a shot list may name them
FramesOption = Annotated[
    str | None, typer.Option("--frames", help="1001-1100, 1001-1100x2 (every 2nd), 5,7,9-12. Default: all.")
]
ModelOption = Annotated[str, typer.Option("--model", help="lite or released.")]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="A checkpoint file instead of the installed one.")
]
SpaceOption = Annotated[
    str | None,
    typer.Option(
        "--space",
        help="The plate's colour space, an OCIO name. Default: what the files say (EXR: scene-linear Rec.709; "
        "PNG, JPEG, TIFF: sRGB; movies: Rec.709).",
    ),
]
ExemplarSpaceOption = Annotated[
    str | None, typer.Option("--exemplar-space", help="The exemplars' colour space; default likewise.")
]
OutputSpaceOption = Annotated[
    str | None,
    typer.Option(
        "--output-space",
        help="Where another kind of file than the plate's is written: its colour space. Default: the plate's own.",
    ),
]
SizeOption = Annotated[
    int | None,
    typer.Option(
        "--working-size",
        metavar="PIXELS",
        help="Shorter side, in pixels, at which the network works. Default: the model's.",
    ),
]
SaturationOption = Annotated[
    float, typer.Option("--saturation", help="Multiplies the chroma; 0 is grey, 1 as predicted.")
]
OutputsOption = Annotated[
    OutputChoice,
    typer.Option("--outputs", help="The coloured plate, the chroma layers alone (EXR), or both in one file (EXR)."),
]
ConfidenceOption = Annotated[bool, typer.Option("--confidence", help="Add the confidence layer (EXR).")]
DeviceOption = Annotated[
    str, typer.Option("--device", help="auto (CUDA where there is one; respects CUDA_VISIBLE_DEVICES), cpu, cuda:1.")
]
PrecisionOption = Annotated[PrecisionChoice, typer.Option("--precision", help="Number format of the network.")]
CodecOption = Annotated[CodecChoice | None, typer.Option("--codec", help="For movies; default by extension.")]
PixelOption = Annotated[
    PixelChoice | None, typer.Option("--pixel-type", help="For pictures; default the plate's own depth.")
]
RateOption = Annotated[
    str | None,
    typer.Option("--frame-rate", help="For a movie made from a sequence without a rate: 24, 24000/1001."),
]
SnapshotOption = Annotated[
    int, typer.Option("--snapshot-every", help="Frames between snapshots (what a killed run has to do again).")
]


# What these commands take alike: names of their parameters and of the job's fields.
_ALIKE = (
    "plate",
    "output",
    "frames",
    "model",
    "weights",
    "space",
    "exemplar_space",
    "output_space",
    "working_size",
    "saturation",
    "outputs",
    "confidence",
    "device",
    "precision",
    "codec",
    "pixel_type",
    "frame_rate",
    "snapshot_every",
)


def asked(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Of a command's parameters (its ``locals()``), what a job is made of; choices as their texts."""
    given = {name: parameters[name] for name in _ALIKE}
    return {name: value.value if isinstance(value, Enum) else value for name, value in given.items()}


def job_of(parameters: Mapping[str, Any], **more: Any) -> ColorizeJob:
    """The job that a command's parameters (its ``locals()``) ask for, with ``more`` fields. Raises InputError."""
    exemplars = tuple(parse_exemplar(text) for text in parameters["exemplar"] or ())
    return ColorizeJob(exemplars=exemplars, **asked(parameters), **more)

"""Open Job Description job bundles: ``template.json``, ``parameter_values.json``, ``asset_references.json``.

The template follows jobtemplate-2023-09 with the extension TASK_CHUNKING. Files are job parameters of the type PATH, so
that a manager which keeps them elsewhere can map them. Each step's environment starts one process that keeps the
network loaded for all tasks of a session.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..job import ExemplarSpec
from ..media.movie import is_movie
from ..media.notation import frames_text, has_pattern
from .commands import Places, task_arguments
from .files import write_text
from .settings import FarmSettings
from .shots import Shot, Stage
from .task import to_openjd

SPECIFICATION = "jobtemplate-2023-09"
START_TIMEOUT, STOP_TIMEOUT = 180, 90  # seconds
LONGEST_NAME = 128
MOST_VALUES = 1024  # of a task parameter


def write(shot: Shot, settings: FarmSettings, folder: Path) -> None:
    """Write the bundle of one shot into ``folder``. Raises InputError where it cannot be written."""
    values = parameter_values(shot, settings)
    contents: dict[str, Any] = {
        "template.json": template(shot, settings),
        "parameter_values.json": {
            "parameterValues": [{"name": name, "value": value} for name, value in values.items()]
        },
        "asset_references.json": {"assetReferences": asset_references(shot)},
    }
    for name, content in contents.items():
        write_text(folder / name, json.dumps(content, indent=2) + "\n")


def template(shot: Shot, settings: FarmSettings) -> dict[str, Any]:
    """The job template of a shot."""
    steps: list[dict[str, Any]] = []
    for stage in shot.stages():
        step = _step(shot, stage, settings)
        if steps:
            step["dependencies"] = [{"dependsOn": steps[-1]["name"]}]
        steps.append(step)
    found: dict[str, Any] = {
        "specificationVersion": SPECIFICATION,
        "extensions": ["TASK_CHUNKING"],
        "name": f"ColorMNet {shot.name}"[:LONGEST_NAME],
        "parameterDefinitions": _definitions(shot),
        "steps": steps,
    }
    if not _in_chunks(shot):
        del found["extensions"]
    return found


def parameter_values(shot: Shot, settings: FarmSettings) -> dict[str, str]:
    """Job parameter -> value on the submitting machine."""
    job = shot.job
    plate, output = Path(job.plate), Path(job.output)
    values = {"Command": settings.command, "OutputFolder": str(output.parent), "OutputName": output.name}
    if _is_one_file(job.plate):
        values["Plate"] = job.plate
    else:
        values |= {"PlateFolder": str(plate.parent), "PlateName": plate.name}
    for number, spec in enumerate(job.exemplars, 1):
        if _is_one_file(spec.path):
            values[f"Exemplar{number}"] = spec.path
        else:
            values |= {
                f"Exemplar{number}Folder": str(Path(spec.path).parent),
                f"Exemplar{number}Name": Path(spec.path).name,
            }
    if job.weights is not None:
        values["Weights"] = str(job.weights)
    return values


def asset_references(shot: Shot) -> dict[str, Any]:
    """What a manager that copies files has to bring and take."""
    job = shot.job
    paths = [job.plate, *(spec.path for spec in job.exemplars)]
    files = [path for path in paths if _is_one_file(path)]
    folders = [str(Path(path).parent) for path in paths if not _is_one_file(path)]
    if job.weights is not None:
        files.append(str(job.weights))
    return {
        "inputs": {"filenames": sorted(set(files)), "directories": sorted(set(folders))},
        "outputs": {"directories": [str(Path(job.output).parent)]},
    }


def _definitions(shot: Shot) -> list[dict[str, Any]]:
    definitions: list[dict[str, Any]] = []
    for name in parameter_values(shot, FarmSettings()):
        if name in ("Command", "OutputName", "PlateName") or name.endswith("Name"):
            definitions.append({"name": name, "type": "STRING", "minLength": 1})
        elif name.endswith("Folder"):
            flow = "OUT" if name == "OutputFolder" else "IN"
            definitions.append({"name": name, "type": "PATH", "objectType": "DIRECTORY", "dataFlow": flow})
        else:
            definitions.append({"name": name, "type": "PATH", "objectType": "FILE", "dataFlow": "IN"})
    if _in_chunks(shot):
        definitions.append(
            {
                "name": "ChunkSize",
                "type": "INT",
                "minValue": 1,
                "default": max(stage.chunk for stage in shot.stages()),
                "description": "Frames per task; the result does not depend on it.",
            }
        )
    return definitions


def _step(shot: Shot, stage: Stage, settings: FarmSettings) -> dict[str, Any]:
    run: dict[str, Any] = {
        "command": "{{Param.Command}}",
        "args": task_arguments(shot, _selection(shot, stage), "openjd", _places(shot)),
        "cancelation": {"mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": settings.notice},
    }
    step: dict[str, Any] = {
        "name": stage.name.capitalize(),
        "stepEnvironments": [_worker()],
        "script": {"actions": {"onRun": run}},
    }
    if stage.frames and not shot.into_movie:
        step["parameterSpace"] = {"taskParameterDefinitions": [_frames_parameter(shot, stage)]}
    if settings.gpus:
        step["hostRequirements"] = {"amounts": [{"name": "amount.worker.gpu", "min": settings.gpus}]}
    return step


def _frames_parameter(shot: Shot, stage: Stage) -> dict[str, Any]:
    if not _in_chunks(shot):
        parts = [frames_text(part) for part in stage.parts()]
        if len(parts) > MOST_VALUES:
            raise InputError(f"{shot.name} falls into {len(parts)} tasks, a step takes {MOST_VALUES}; raise --segment.")
        return {"name": "Frames", "type": "STRING", "range": parts}
    regular = len(stage.frames) == stage.frames[-1] - stage.frames[0] + 1
    return {
        "name": "Frames",
        "type": "CHUNK[INT]",
        "range": to_openjd(frames_text(stage.frames)),
        "chunks": {
            "defaultTaskCount": "{{Param.ChunkSize}}",
            "rangeConstraint": "CONTIGUOUS" if regular else "NONCONTIGUOUS",
        },
    }


def _in_chunks(shot: Shot) -> bool:
    """Whether the manager may cut the frames as it likes.

    A scheduler evens its chunks out (120 frames by 50 become three times 40). That costs *parallel* time, not pixels: a
    task whose first frame is no start of the pre-pass colours the frames before it again. It gets exact ranges instead.
    """
    return shot.mode != "parallel" and not shot.into_movie


def _worker() -> dict[str, Any]:
    """The environment that keeps the network loaded from the first to the last task of a session."""

    def action(verb: str, timeout: int) -> dict[str, Any]:
        return {
            "command": "{{Param.Command}}",
            "args": ["farm", "session", verb, "{{Session.WorkingDirectory}}"],
            "timeout": timeout,
        }

    return {
        "name": "Worker",
        "description": "One process that keeps the network loaded for all tasks of the session.",
        "script": {"actions": {"onEnter": action("start", START_TIMEOUT), "onExit": action("stop", STOP_TIMEOUT)}},
    }


def _selection(shot: Shot, stage: Stage) -> list[str]:
    if stage.is_prepass:
        return ["--prepass"]
    if shot.into_movie:
        return []
    return ["--chunk" if _in_chunks(shot) else "--part", "{{Task.Param.Frames}}"]


def _places(shot: Shot) -> Places:
    job = shot.job
    plate = "{{Param.Plate}}" if _is_one_file(job.plate) else "{{Param.PlateFolder}}/{{Param.PlateName}}"
    exemplars = []
    for number, spec in enumerate(job.exemplars, 1):
        one = f"{{{{Param.Exemplar{number}}}}}"
        many = f"{{{{Param.Exemplar{number}Folder}}}}/{{{{Param.Exemplar{number}Name}}}}"
        path = one if _is_one_file(spec.path) else many
        exemplars.append(str(ExemplarSpec(path, spec.picture, spec.frame)))
    weights = None if job.weights is None else "{{Param.Weights}}"
    return Places(plate, tuple(exemplars), "{{Param.OutputFolder}}/{{Param.OutputName}}", weights)


def _is_one_file(path: str) -> bool:
    """Whether a path names a file as it is: a movie or a picture, not a pattern or a folder."""
    return is_movie(path) or not (has_pattern(path) or Path(path).is_dir())


# --- checking and running with the reference implementation ----------------------------------------------------------


def check(folder: Path) -> list[str]:
    """What ``openjd check`` finds wrong with the bundle, and which parameters have no value.

    Raises InputError where openjd-cli is not installed.
    """
    path = folder / "template.json"
    answer = _openjd(["check", str(path), "--extensions", "TASK_CHUNKING"])
    problems = [] if answer.returncode == 0 else [f"{path}: {' '.join((answer.stdout + answer.stderr).split())}"]
    try:
        values = json.loads((folder / "parameter_values.json").read_text(encoding="utf-8"))["parameterValues"]
        given = {item["name"] for item in values}
        for item in json.loads(path.read_text(encoding="utf-8")).get("parameterDefinitions", []):
            if item["name"] not in given and "default" not in item:
                problems.append(f"{folder / 'parameter_values.json'}: there is no value for {item['name']}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        problems.append(f"{folder}: the bundle is not whole ({error!r})")
    return problems


def run_locally(folder: Path, overrides: Mapping[str, str] | None = None) -> int:
    """Run all steps in order with ``openjd run``; the exit code. ``overrides``: job parameters."""
    content = json.loads((folder / "parameter_values.json").read_text(encoding="utf-8"))["parameterValues"]
    values = {item["name"]: item["value"] for item in content} | dict(overrides or {})
    template_file = folder / "template.json"
    for step in json.loads(template_file.read_text(encoding="utf-8"))["steps"]:
        words = ["run", str(template_file), "--step", step["name"], "--no-run-dependencies"]
        words += ["--job-param", json.dumps(values), "--extensions", "TASK_CHUNKING"]
        answer = _openjd(words, capture=False)
        if answer.returncode != 0:
            return answer.returncode
    return 0


def _openjd(words: list[str], capture: bool = True) -> "subprocess.CompletedProcess[str]":
    try:
        import openjd.cli  # noqa: F401 - whether it is there
    except ImportError as error:
        raise InputError("openjd-cli is not installed; install it with: pip install 'colormnet[farm]'.") from error
    return subprocess.run([sys.executable, "-m", "openjd", *words], capture_output=capture, text=True, check=False)

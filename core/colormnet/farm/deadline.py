"""Deadline 10: a job info file and a plugin info file per stage, for the CommandLine plugin, and ``submit.sh``.

Key rules are those of the Deadline 10 user manual ("Manual Job Submission", "Command Line" plugin). A repository is not
needed to write or check the files; submission itself could not be tried.
"""

import re
from pathlib import Path

from ..errors import InputError
from ..media.notation import frames_text
from .commands import task_arguments
from .files import shell_problems, write_text
from .settings import FarmSettings
from .shots import Shot, Stage

SUBMIT = "submit.sh"

# Key -> what its value must look like.
_WHOLE = r"\d+"
_FLAG = r"True|False"
_JOB_KEYS = {
    "Plugin": r"CommandLine",
    "Name": r".+",
    "BatchName": r".+",
    "Comment": r".*",
    "Frames": r"-?\d+(--?\d+)?(x\d+)?(,-?\d+(--?\d+)?(x\d+)?)*",
    "ChunkSize": r"[1-9]\d*",
    "Priority": r"100|\d{1,2}",
    "Pool": r"[\w.-]+",
    "ConcurrentTasks": r"[1-9]|1[0-6]",
    "LimitConcurrentTasksToNumberOfCpus": _FLAG,
    "MachineLimit": _WHOLE,
    "Sequential": _FLAG,
    "OverrideJobFailureDetection": _FLAG,
    "FailureDetectionJobErrors": _WHOLE,
    "OutputDirectory0": r".+",
    "OutputFilename0": r".+",
}
_PLUGIN_KEYS = {
    "Executable": r".+",
    "Arguments": r".+",
    "StartupDirectory": r".*",
    "Shell": r"default|bash|sh|tcsh|csh|zsh|cmd",
    "ShellExecute": _FLAG,
    "SingleFramesOnly": _FLAG,
}
_NEEDED = {"Plugin", "Name", "Frames", "ChunkSize", "Executable", "Arguments"}


def write(shot: Shot, settings: FarmSettings, folder: Path) -> None:
    """Write the files of one shot. Raises InputError where they cannot be written or carry a name.

    *segments* is one job whose tasks run in order on one machine at a time: Deadline has no dependencies between the
    tasks of one job, and the result does not depend on the order.
    """
    stages = _jobs(shot)
    for stage in stages:
        write_text(folder / f"{stage.name}.job_info.txt", _text(_job_info(shot, stage, settings)))
        write_text(folder / f"{stage.name}.plugin_info.txt", _text(_plugin_info(shot, stage, settings)))
    write_text(folder / SUBMIT, _submit(shot, stages), executable=True)


def check(folder: Path) -> list[str]:
    """Keys that Deadline does not know, values it would not take, and files without their partner."""
    problems = shell_problems(folder / SUBMIT)
    found = sorted(folder.glob("*.job_info.txt"))
    if not found:
        problems.append(f"{folder} holds no job info file")
    for job_file in found:
        plugin_file = job_file.with_name(job_file.name.replace(".job_info.", ".plugin_info."))
        keys = set()
        for path, rules in ((job_file, _JOB_KEYS), (plugin_file, _PLUGIN_KEYS)):
            if not path.is_file():
                problems.append(f"{path} is missing")
                continue
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                key, equals, value = line.partition("=")
                if not equals or key not in rules:
                    problems.append(f"{path}:{number}: '{line}' is not a key Deadline knows")
                elif key in keys:
                    problems.append(f"{path}:{number}: {key} is given twice")
                elif not re.fullmatch(rules[key], value):
                    problems.append(f"{path}:{number}: {key} cannot be '{value}'")
                keys.add(key)
        problems += [f"{job_file}: {key} is missing" for key in sorted(_NEEDED - keys)]
    return problems


def _jobs(shot: Shot) -> list[Stage]:
    """The stages as Deadline jobs: a chain of segments is one job."""
    if shot.mode == "segments":
        return [Stage("segments", shot.frames, shot.segment)]
    return list(shot.stages())


def _job_info(shot: Shot, stage: Stage, settings: FarmSettings) -> dict[str, str]:
    output = Path(shot.job.output)
    info = {
        "Plugin": "CommandLine",
        "Name": f"{shot.name} {stage.name}",
        "BatchName": f"ColorMNet {shot.name}",
        "Comment": f"ColorMNet, mode {shot.mode}",
        "Frames": "1" if stage.is_prepass else frames_text(stage.frames),
        "ChunkSize": str(stage.chunk),
        # One task per machine, or per Worker instance where each is given one GPU: a task uses one device.
        "ConcurrentTasks": "1",
        "OverrideJobFailureDetection": "True",
        "FailureDetectionJobErrors": str(settings.retries + 1),
        "OutputDirectory0": str(output.parent),
    }
    if not stage.is_prepass:
        info["OutputFilename0"] = output.name
    if shot.mode == "segments":
        info |= {"MachineLimit": "1", "Sequential": "True"}
    elif shot.mode == "parallel":
        info["MachineLimit"] = str(settings.at_once)
    if settings.queue:
        info["Pool"] = settings.queue
    if settings.priority is not None:
        info["Priority"] = str(settings.priority)
    return info


def _plugin_info(shot: Shot, stage: Stage, settings: FarmSettings) -> dict[str, str]:
    selection = ["--prepass"] if stage.is_prepass else ["--between", "<STARTFRAME>", "<ENDFRAME>"]
    if shot.into_movie:
        selection = []
    words = task_arguments(shot, selection)
    return {
        "Executable": settings.command,
        "Arguments": " ".join(word if word in selection else _quoted(word) for word in words),
        "StartupDirectory": "",
        "Shell": "default",
        "ShellExecute": "False",
        "SingleFramesOnly": "False",
    }


def _quoted(word: str) -> str:
    if any(mark in word for mark in '"<>'):
        raise InputError(f'Deadline cannot carry the name {word}: it contains one of " < >; rename it.')
    return word if re.fullmatch(r"[\w/.,+@%:=-]+", word) else f'"{word}"'


def _text(info: dict[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in info.items())


def _submit(shot: Shot, stages: list[Stage]) -> str:
    script = [
        "#!/usr/bin/env bash",
        f"# ColorMNet, shot {shot.name}, mode {shot.mode}: submit to Deadline; each job after the one before.",
        "set -eu",
        'here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"',
        'deadlinecommand="${DEADLINE_PATH:+$DEADLINE_PATH/}deadlinecommand"',
        'previous=""',
        "submit() {",
        '  local info; info="$(mktemp)"',
        '  cat "$here/$1.job_info.txt" >"$info"',
        '  if [ -n "$previous" ]; then echo "JobDependencies=$previous" >>"$info"; fi',
        '  previous="$("$deadlinecommand" "$info" "$here/$1.plugin_info.txt" | sed -n \'s/^JobID=//p\')"',
        '  rm -f "$info"',
        '  if [ -z "$previous" ]; then echo "$1: Deadline named no job" >&2; exit 1; fi',
        '  echo "$1: job $previous"',
        "}",
        *(f"submit {stage.name}" for stage in stages),
    ]
    return "\n".join(script) + "\n"

"""Slurm: one batch script per shot, and ``submit.sh``, which queues it as an array and as a chain of ``afterok``."""

import re
from pathlib import Path

from .commands import selection_of, task_arguments
from .files import shell_problems, shell_words, write_text
from .settings import FarmSettings
from .shots import Shot

BATCH, SUBMIT = "task.sbatch", "submit.sh"

_BODY = """
# The array's index chooses the task. A task that is stopped before its end (time limit, preemption) leaves a snapshot,
# exits with 5 and is put back into the queue; it then goes on where it stopped.
case "${{SLURM_ARRAY_TASK_ID:-0}}" in
{cases}
  *) echo "there is no task ${{SLURM_ARRAY_TASK_ID}}" >&2; exit 2 ;;
esac

"${{task[@]}}" &
child=$!
asked=1
trap 'asked=1; kill -TERM "$child" 2>/dev/null' TERM INT
# A signal ends the wait and not the task, which still writes its snapshot: wait again.
while [ "$asked" -eq 1 ]; do asked=0; wait "$child"; code=$?; done
if [ "$code" -eq 5 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {retries} ]; then
  scontrol requeue "${{SLURM_JOB_ID}}" && exit 0
fi
exit "$code"
"""


def write(shot: Shot, settings: FarmSettings, folder: Path) -> None:
    """Write ``task.sbatch`` and ``submit.sh``. Raises InputError where they cannot be written."""
    directives = [
        f"--job-name=colormnet-{shot.name}",
        f"--output={_escaped(folder)}/slurm-%A_%a.log",
        "--ntasks=1",
        "--requeue",
        f"--signal=B:TERM@{settings.notice}",
        "--open-mode=append",
    ]
    if settings.gpus:
        directives.append(f"--gres=gpu:{settings.gpus}")
    if settings.queue:
        directives.append(f"--partition={settings.queue}")
    if settings.priority is not None:
        directives.append(f"--nice={100 - settings.priority}")
    cases: list[str] = []
    submits: list[str] = []
    index = 0
    for stage in shot.stages():
        first = index
        for part in stage.parts() or [()]:
            words = shell_words([settings.command, *task_arguments(shot, selection_of(stage, shot, part))])
            cases.append(f"  {index}) task=({words}) ;;")
            index += 1
        span = str(first) if index == first + 1 else f"{first}-{index - 1}%{settings.at_once}"
        after = ' --dependency="afterok:$previous"' if submits else ""
        submits.append(
            f'previous=$(sbatch --parsable{after} --array={span} "$here/{BATCH}")\n'
            'previous="${previous%%;*}"\n'
            f'echo "{stage.name}: job $previous"'
        )
    head = "#!/usr/bin/env bash\n" + "".join(f"#SBATCH {directive}\n" for directive in directives)
    write_text(folder / BATCH, head + _BODY.format(cases="\n".join(cases), retries=max(settings.retries, 1)))
    script = [
        "#!/usr/bin/env bash",
        f"# ColorMNet, shot {shot.name}, mode {shot.mode}: queue all tasks; each stage after the one before.",
        "set -eu",
        'here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"',
        *submits,
    ]
    write_text(folder / SUBMIT, "\n".join(script) + "\n", executable=True)


def check(folder: Path) -> list[str]:
    """What bash finds wrong, and directives that Slurm would not see."""
    problems = [*shell_problems(folder / BATCH), *shell_problems(folder / SUBMIT)]
    if not (folder / BATCH).is_file():
        return problems
    lines = (folder / BATCH).read_text(encoding="utf-8").splitlines()
    commands = [n for n, line in enumerate(lines) if line.strip() and not line.startswith("#")]
    late = [line for line in lines[commands[0] :] if line.startswith("#SBATCH")] if commands else []
    problems += [f"{folder / BATCH}: '{line}' comes after the first command, Slurm ignores it" for line in late]
    for line in lines:
        if line.startswith("#SBATCH") and not re.fullmatch(r"#SBATCH --[a-z-]+(=\S.*)?", line):
            problems.append(f"{folder / BATCH}: '{line}' is not a directive")
    return problems


def _escaped(folder: Path) -> str:
    """A path as an sbatch file name pattern: ``%`` stands for itself, spaces are quoted."""
    text = str(folder.absolute()).replace("%", "%%")
    return text if re.fullmatch(r"[\w/.,+@%:-]+", text) else '"' + text.replace('"', '\\"') + '"'

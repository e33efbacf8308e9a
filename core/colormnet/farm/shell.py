"""A plain script: the whole job on the machine that runs it, ``COLORMNET_JOBS`` tasks at once where possible."""

import os
import subprocess
from pathlib import Path

from ..errors import InputError
from .commands import selection_of, task_arguments
from .files import shell_problems, shell_words, write_text
from .settings import FarmSettings
from .shots import Shot

SCRIPT = "run.sh"

_HEAD = """#!/usr/bin/env bash
# ColorMNet, shot {name}, mode {mode}: {count} frames. Runs every task here; run it again to go on after a stop.
# COLORMNET_JOBS: tasks at once where the mode allows it (default 1).
set -u
jobs="${{COLORMNET_JOBS:-1}}"
pids=()
asked=0
stopped=0
stop() {{ asked=1; stopped=1; for pid in "${{pids[@]+"${{pids[@]}}"}}"; do kill -TERM "$pid" 2>/dev/null; done; }}
trap stop TERM INT

# A signal ends the wait and not the task, which still writes its snapshot: wait again.
finish() {{
  local code
  asked=1
  while [ "$asked" -eq 1 ]; do asked=0; wait "$1"; code=$?; done
  if [ "$code" -ne 0 ] && [ "$worst" -eq 0 ]; then worst=$code; fi
}}
worst=0
run() {{
  if [ "$stopped" -ne 0 ]; then worst=5; return; fi
  if [ "${{#pids[@]}}" -ge "$jobs" ]; then finish "${{pids[0]}}"; pids=("${{pids[@]:1}}"); fi
  if [ "$worst" -ne 0 ]; then return; fi
  "$@" & pids+=("$!")
}}
stage_done() {{
  for pid in "${{pids[@]+"${{pids[@]}}"}}"; do finish "$pid"; done
  pids=()
  if [ "$worst" -ne 0 ]; then exit "$worst"; fi
}}
"""


def write(shot: Shot, settings: FarmSettings, folder: Path) -> None:
    """Write ``run.sh``. Raises InputError where it cannot be written."""
    parts = [_HEAD.format(name=shot.name, mode=shot.mode, count=len(shot.frames))]
    for stage in shot.stages():
        parts.append(f"\n# {stage.name}\n")
        for part in stage.parts() or [()]:
            words = [settings.command, *task_arguments(shot, selection_of(stage, shot, part))]
            parts.append(f"run {shell_words(words)}\n")
        parts.append("stage_done\n")
    write_text(folder / SCRIPT, "".join(parts), executable=True)


def check(folder: Path) -> list[str]:
    """What bash finds wrong."""
    return shell_problems(folder / SCRIPT)


def run_locally(folder: Path) -> int:
    """Run the script here; its exit code. Raises InputError where there is no shell."""
    try:
        return subprocess.run(["bash", str(folder / SCRIPT)], env=dict(os.environ), check=False).returncode
    except OSError as error:
        raise InputError(f"{folder / SCRIPT} cannot be run here ({error}); run it on a machine with bash.") from error

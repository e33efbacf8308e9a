"""The managers a job can be written for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from . import deadline, opencue, openjd, shell, slurm
from .settings import FarmSettings
from .shots import Shot

ManagerName: TypeAlias = Literal["openjd", "opencue", "deadline", "slurm", "shell"]


@dataclass(frozen=True)
class Manager:
    """How a job is written for a manager, how its files are checked, and how a person hands it over."""

    write: Callable[[Shot, FarmSettings, Path], None]
    check: Callable[[Path], list[str]]
    hand_over: str  # with {folder}


MANAGERS: dict[str, Manager] = {
    "openjd": Manager(openjd.write, openjd.check, "deadline bundle submit {folder}"),
    "opencue": Manager(opencue.write, opencue.check, "python3 {folder}/submit.py"),
    "deadline": Manager(deadline.write, deadline.check, "bash {folder}/submit.sh"),
    "slurm": Manager(slurm.write, slurm.check, "bash {folder}/submit.sh"),
    "shell": Manager(shell.write, shell.check, "bash {folder}/run.sh"),
}

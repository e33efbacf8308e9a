"""How jobs ask a manager for machines; typed settings checked at the edge."""

import re
from dataclasses import dataclass

from ..errors import InputError


@dataclass(frozen=True)
class FarmSettings:
    """What every manager is told, in its own words.

    Attributes:
        command: the program on the farm's machines: ``colormnet``, or a path that they all have.
        gpus: per task: 1, or 0 for machines without.
        notice: seconds between being told to stop (SIGTERM) and being killed.
        queue: Slurm's partition, Deadline's pool, OpenCue's show; empty = the manager's default.
        priority: 0 to 100; None = the manager's default.
        at_once: tasks of one shot that may run at the same time, in the mode *parallel*.
        retries: how often a failed task is tried again, where the manager takes that from the job.
        user: OpenCue's user; empty = who submits.
    """

    command: str = "colormnet"
    gpus: int = 1
    notice: int = 120
    queue: str = ""
    priority: int | None = None
    at_once: int = 8
    retries: int = 3
    user: str = ""

    def __post_init__(self) -> None:
        if not self.command.strip() or re.search(r"[\x00-\x1f]", self.command):
            raise InputError("The command of the farm's machines is empty or not one line; give --command colormnet.")
        if self.gpus not in (0, 1):
            raise InputError(f"A task runs on one device; --gpus is 1 or 0, not {self.gpus}.")
        if not 5 <= self.notice <= 3600:
            raise InputError(f"A notice of {self.notice} s is out of range; give 5 to 3600.")
        if self.priority is not None and not 0 <= self.priority <= 100:
            raise InputError(f"A priority of {self.priority} is out of range; give 0 to 100.")
        if self.at_once < 1 or self.retries < 0:
            raise InputError("--at-once is at least 1 and --retries at least 0.")
        if not re.fullmatch(r"[\w.-]*", self.queue) or not re.fullmatch(r"[\w.-]*", self.user):
            raise InputError("--queue and --user are names of letters, digits, '_', '.' and '-'.")

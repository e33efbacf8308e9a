"""The files of a job: whole or not at all, with the rights they need; and what shells make of them."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..job_state import write_whole


def write_text(path: Path, text: str, executable: bool = False) -> None:
    """Write a text file with Unix line ends. Raises InputError."""

    def fill(temporary: Path) -> None:
        temporary.write_bytes(text.encode("utf-8"))
        if executable:
            temporary.chmod(0o755 & ~_umask())

    write_whole(path, fill)


def shell_words(words: Sequence[str]) -> str:
    """Words as a POSIX shell reads them, none of them taken for anything else."""
    return " ".join(shlex.quote(word) for word in words)


def shell_problems(path: Path) -> list[str]:
    """What ``bash -n`` finds wrong with a script. Raises InputError where there is no bash."""
    bash = shutil.which("bash")
    if bash is None:
        raise InputError("There is no bash on this machine to check scripts with; check on one of the farm's.")
    if not path.is_file():
        return [f"{path} is missing"]
    answer = subprocess.run([bash, "-n", str(path)], capture_output=True, text=True, check=False)
    return [] if answer.returncode == 0 else [" ".join(answer.stderr.split())]


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask

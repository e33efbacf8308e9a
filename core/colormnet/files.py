"""Files that appear whole or not at all, and the one sentence for a write that failed."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError

PARTIAL = ".partial"


def partial_name(path: Path) -> Path:
    """A name in the same folder that nobody else uses: hidden, and with the extension that writers go by.

    Not by the process id alone: tasks of one job on several machines share a folder.
    """
    return path.with_name(f".{path.stem}.{os.getpid()}-{uuid.uuid4().hex[:8]}{PARTIAL}{path.suffix}")


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A temporary name in the folder of ``path``; what is left under it when the block ends goes.

    Raises:
        InputError: no permission, disk full, folder gone: one sentence that names ``path``.
    """
    temporary = partial_name(path)
    try:
        yield temporary
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def whole_file(path: Path, fsync: bool = False) -> Iterator[Path]:
    """A temporary name to write to; it becomes ``path`` when the block ends well and vanishes when it does not.

    Raises:
        InputError: no permission, disk full, folder gone: one sentence that names the file.
    """
    with temporary_beside(path) as temporary:
        yield temporary
        if fsync:
            _flush(temporary, os.O_RDWR)
        os.replace(temporary, path)
        if fsync and os.name != "nt":  # Windows does not open folders
            _flush(path.parent, os.O_RDONLY)


def _flush(path: Path, flags: int) -> None:
    handle = os.open(path, flags | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_error(path: Path, problem: OSError | str) -> InputError:
    """The one sentence for a write that failed; ``problem`` is the system's error or a library's text."""
    number = problem.errno if isinstance(problem, OSError) else None
    told = problem.strerror or str(problem) if isinstance(problem, OSError) else problem
    text = " ".join(told.split())
    low = text.lower()
    if number in (errno.ENOSPC, errno.EDQUOT) or "no space left" in low or "quota exceeded" in low:
        return InputError(f"The disk is full: {path} was not written; free some space and resume.")
    if number == errno.EFBIG or "file too large" in low:
        return InputError(
            f"{path} was not written: the file is larger than the system allows; raise its limit (ulimit -f) or choose "
            "another disk."
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS) or "permission denied" in low or "read-only" in low:
        return InputError(f"There is no permission to write {path}; choose another folder or change its rights.")
    space = free_space(path)
    if space is not None and space < 1 << 20:
        return InputError(f"The disk is full: {path} was not written; free some space and resume.")
    return InputError(f"{path} could not be written ({text or 'unknown reason'}); mend that and resume.")


def free_space(path: Path) -> int | None:
    """Bytes free to this user on the disk that holds the file's folder; None where the system does not tell."""
    if not hasattr(os, "statvfs"):
        return None
    with suppress(OSError):
        state = os.statvfs(path.parent)
        return state.f_bavail * state.f_frsize
    return None

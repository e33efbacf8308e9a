"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from colormnet.errors import InputError

PARTIAL = ".partial"


def partial_name(path: Path) -> Path:
    """A name in the same folder that nobody else uses: hidden, and with the extension that writers go by."""
    return path.with_name(f".{path.stem}.{os.getpid()}-{uuid.uuid4().hex[:8]}{PARTIAL}{path.suffix}")


@contextmanager
def whole_file(path: Path, fsync: bool = False) -> Iterator[Path]:
    """A temporary name to write to; it becomes ``path`` when the block ends well and vanishes when it does not.

    Raises:
        InputError: no permission, disk full, folder gone: one sentence that names the file.
    """
    temporary = partial_name(path)
    try:
        yield temporary
        if fsync:
            _flush(temporary)
        os.replace(temporary, path)
        if fsync:
            _flush(path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _flush(path: Path) -> None:
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    with suppress(PermissionError):  # Windows does not open folders
        handle = os.open(path, flags)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_error(path: Path, problem: OSError | str) -> InputError:
    """The one sentence for a write that failed; ``problem`` is the system's error or a library's text."""
    text = " ".join(str(problem).split())
    number = problem.errno if isinstance(problem, OSError) else None
    low = text.lower()
    if number in (errno.ENOSPC, errno.EDQUOT) or "no space left" in low or "quota exceeded" in low:
        return InputError(f"The disk is full: {path} was not written; free some space and resume.")
    if number == errno.EFBIG or "file too large" in low:
        return InputError(f"{path} was not written: the file is larger than the system allows.")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS) or "permission denied" in low or "read-only" in low:
        return InputError(f"There is no permission to write {path}; choose another folder or change its rights.")
    if free_space(path) is not None and (free_space(path) or 0) < 1 << 20:
        return InputError(f"The disk is full: {path} was not written; free some space and resume.")
    return InputError(f"{path} could not be written ({text or 'unknown reason'}).")


def free_space(path: Path) -> int | None:
    """Bytes free to this user on the disk that holds the file's folder; None where the system does not tell."""
    if not hasattr(os, "statvfs"):
        return None
    with suppress(OSError):
        state = os.statvfs(path.parent)
        return state.f_bavail * state.f_frsize
    return None


def check_folder(folder: Path, name: str) -> None:
    """See that a folder for output is there or can be made, and can be written to; nothing is made."""
    place = folder.absolute()
    while not os.path.lexists(place):  # what may not be looked at counts as absent; its folder says why
        place = place.parent
    if not place.is_dir():
        raise InputError(f"{place} is a file and cannot hold {name}; choose another folder.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise write_error(folder / name, PermissionError(errno.EACCES, "Permission denied"))


def prepare_folder(folder: Path, name: str) -> None:
    """Create a folder for output if need be, and see that it can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if isinstance(error, (FileExistsError, NotADirectoryError)):
            raise InputError(f"{folder} is a file and cannot hold {name}; choose another folder.") from error
        raise write_error(folder / name, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise write_error(folder / name, PermissionError(errno.EACCES, "Permission denied"))


def refuse_overwrite(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise InputError if an output is one of the inputs, by name or through symbolic or hard links."""
    names: set[str] = set()
    files: set[tuple[int, int]] = set()
    for path in inputs:
        names.add(os.path.realpath(path))
        with suppress(OSError):
            state = os.stat(path)
            files.add((state.st_dev, state.st_ino))
    for path in outputs:
        same = os.path.realpath(path) in names
        if not same:
            with suppress(OSError):
                state = os.stat(path)
                same = (state.st_dev, state.st_ino) in files
        if same:
            raise InputError(f"The output {path} is a file of the input; choose another name or folder.")

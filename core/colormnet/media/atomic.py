"""Where output may go: folders that can be written to, and never over the input."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from colormnet.errors import InputError
from colormnet.files import PARTIAL, whole_file, write_error

__all__ = ["PARTIAL", "check_folder", "prepare_folder", "refuse_folders", "refuse_overwrite", "whole_file"]


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


def refuse_folders(outputs: Iterable[Path]) -> None:
    """Raise InputError if there is a folder where a file is to be written."""
    for path in outputs:
        if path.is_dir():
            raise InputError(f"{path} is a folder and cannot be written as a file; choose another name.")

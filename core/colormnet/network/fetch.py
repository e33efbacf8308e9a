"""Downloading the released checkpoint: whole and verified, or not at all."""

import contextlib
import os
import shutil
import tempfile
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable
from pathlib import Path

from colormnet.errors import InputError, WeightsError
from colormnet.network.checkpoint import RELEASED_FILE, WEIGHTS_VARIABLE, ReleasedFile, sha256_of, weights_directories

_BLOCK = 1 << 20
_TIMEOUT = 30  # seconds without an answer


def by_hand(target: Path, file: ReleasedFile = RELEASED_FILE) -> str:
    """What to do where this machine cannot download."""
    return (
        f"On a machine with a network, download {file.url} ({file.size:,} bytes, sha256 {file.sha256}), "
        f"then put it at {target} or give its path with --weights"
    )


def fetch(
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    file: ReleasedFile = RELEASED_FILE,
) -> Path:
    """Download the released checkpoint into a folder (the first weights folder when None) and verify it.

    Args:
        folder: where to put it; made if it does not exist.
        progress: told (bytes so far, bytes in all).
        file: what to download.

    Returns:
        The file's path. A file that is there with the right size is not downloaded again, only verified. A wrong hash
        is a warning naming both hashes (it was published by a redistributor); a wrong size is an error.

    Raises:
        InputError: there is no folder to write to, or it cannot be written.
        WeightsError: no network, or what came is not the file; the message says what to do by hand.
    """
    if folder is None:
        places = weights_directories()
        if not places:
            raise InputError(f"there is no home directory to keep weights in; set {WEIGHTS_VARIABLE} to a folder")
        folder = places[0].parent if places[0].name == file.name else places[0]
    target = folder / file.name
    if not (target.is_file() and target.stat().st_size == file.size):
        _download(target, progress, file)
    found = sha256_of(target)
    if found != file.sha256:
        warnings.warn(
            f"{target} has sha256 {found}, expected {file.sha256}: it is not the file as it was published",
            stacklevel=2,
        )
    return target


def _download(target: Path, progress: Callable[[int, int], None] | None, file: ReleasedFile) -> None:
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{file.name}.", suffix=".part")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as stream:
            if shutil.disk_usage(target.parent).free < file.size:
                raise InputError(f"{target.parent} has no room for {file.size:,} bytes; free some or choose --to")
            received = _receive(stream.write, progress, file, target)
            stream.flush()
            os.fsync(stream.fileno())
        if received != file.size:
            raise WeightsError(
                f"the download of {file.name} gave {received:,} bytes instead of {file.size:,}; nothing was kept. "
                f"Try again. {by_hand(target, file)}"
            )
        temporary.chmod(0o644)  # a shared folder's file is for everyone to read
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        raise InputError(
            f"cannot write to {target.parent} ({error.strerror or error}); choose a folder with --to or "
            f"{WEIGHTS_VARIABLE}"
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _receive(
    write: Callable[[bytes], int], progress: Callable[[int, int], None] | None, file: ReleasedFile, target: Path
) -> int:
    """Bytes received. Raises WeightsError when the network fails."""
    received = 0
    try:
        response = urllib.request.urlopen(file.url, timeout=_TIMEOUT)
    except (urllib.error.URLError, TimeoutError, ValueError, ConnectionError) as error:
        raise WeightsError(_no_network(file, target, error)) from error
    with response:
        while True:
            try:
                block = response.read(_BLOCK)
            except OSError as error:  # the connection, not the disk
                raise WeightsError(_no_network(file, target, error)) from error
            if not block or received > file.size:
                return received
            write(block)
            received += len(block)
            if progress is not None:
                progress(received, file.size)


def _no_network(file: ReleasedFile, target: Path, error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return f"{file.name} cannot be downloaded from here ({reason}). {by_hand(target, file)}"

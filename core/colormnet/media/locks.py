"""One writer at a time for a folder of movie segments."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from colormnet.errors import InputError


class FolderLock:
    """Held from creation to :meth:`release`; the system frees it when the process dies."""

    NAME = "lock"

    def __init__(self, folder: Path, output: Path) -> None:
        self._path = folder / self.NAME
        self._handle: int | None = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._acquire()
        except OSError as error:
            os.close(self._handle)
            self._handle = None
            raise InputError(
                f"{output} is being written by another process; wait for it or choose another name."
            ) from error

    def _acquire(self) -> None:
        assert self._handle is not None
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(self._handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last holder may have removed the file between our opening and locking it.
            if os.fstat(self._handle).st_nlink == 0:
                raise OSError("the lock was removed")

    def release(self) -> None:
        """Let others write; safe to call twice."""
        if self._handle is None:
            return
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._handle)
        self._handle = None

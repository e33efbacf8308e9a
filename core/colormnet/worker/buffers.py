"""Memory that a client and the worker both map, so that pixels need not travel through the socket.

The worker makes it: on Linux a sealed anonymous file that no client can shrink (a shrunk one would kill the worker at
the next touch) and that leaves nothing behind whoever dies; elsewhere a private file that is unlinked once both sides
have mapped it. The client opens it by path and checks the nonce at its start.
"""

import mmap
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from ..errors import InputError

NONCE_BYTES = 16
PREFIX = "buffer-"


class SharedBuffer:
    """Mapped memory of ``size`` bytes; closed when nobody looks at it any more."""

    def __init__(self, size: int, folder: Path) -> None:
        """``folder``: private directory for systems without anonymous files. Raises OSError."""
        self.size = size
        self.nonce = os.urandom(NONCE_BYTES)
        self._named: Path | None = None
        if anonymous_memory():
            import fcntl

            self._handle = os.memfd_create("colormnet", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(self._handle, size)
            seals: Any = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(self._handle, fcntl.F_ADD_SEALS, seals)
            self.path = f"/proc/{os.getpid()}/fd/{self._handle}"
        else:
            self._handle, self.path = tempfile.mkstemp(prefix=PREFIX, dir=folder)
            self._named = Path(self.path)
            os.truncate(self.path, size)
        self.memory = mmap.mmap(self._handle, size)
        self.memory[:NONCE_BYTES] = self.nonce

    def handed_over(self) -> None:
        """The client has mapped it (or will not): nothing but the mapping is needed any more."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        if self._named is not None:
            try:
                self._named.unlink(missing_ok=True)
            except PermissionError:  # Windows: while it is mapped; `close` or the next worker removes it
                return
            self._named = None

    def view(self, offset: int, size: int) -> memoryview:
        """Part of it. Raises InputError outside of it."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise InputError(f"Bytes {offset} to {offset + size} are outside of the shared buffer of {self.size}.")
        return memoryview(self.memory)[offset : offset + size]

    def close(self) -> None:
        """Let go of it; the memory goes when the last view does."""
        self.handed_over()
        try:
            self.memory.close()
        except BufferError:  # a frame is still being read from it; it goes with that frame
            return
        self.handed_over()


def anonymous_memory() -> bool:
    """Whether the system has memory files without a name that can be opened by path all the same."""
    return sys.platform.startswith("linux")


def sweep(folder: Path) -> None:
    """Remove the files that a killed worker left."""
    for path in folder.glob(f"{PREFIX}*"):
        path.unlink(missing_ok=True)

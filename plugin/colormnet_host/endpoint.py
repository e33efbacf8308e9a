"""Where the worker of this user is found: the runtime directory, the endpoint file, and the address in it.

Standard library only, Python 3.6 on. Everything lies in one directory that only the user can enter (mode 0700); the
endpoint file holds the secret and is 0600. On Windows the user's profile directory is private by its access list.
"""

import json
import os
import re
import socket
import stat
import sys
import tempfile
from hashlib import sha256
from typing import Any, Dict, NamedTuple, Optional, Tuple

LONGEST_SOCKET_PATH = 100  # bytes; the limit is 104 on macOS and 108 on Linux, the terminating zero included


class UnsafeDirectory(Exception):
    """A directory or file of the worker could be read or replaced by another user."""


class Endpoint(NamedTuple):
    """A running worker: how to reach it and the secret that opens it."""

    kind: str  # "unix" or "tcp"
    address: str  # a socket path, or "127.0.0.1:port"
    pid: int
    protocol: Tuple[int, ...]
    token: str
    device: str
    engine: str  # the engine's version

    def to_json(self) -> str:
        """The text of the endpoint file."""
        return json.dumps(dict(self._asdict(), protocol=list(self.protocol)), indent=1)


def label(device: str) -> str:
    """A device's name as part of a file name: ``cuda:0`` -> ``cuda-0``."""
    return re.sub(r"[^A-Za-z0-9]+", "-", device).strip("-") or "auto"


def runtime_directory(create: bool = False) -> str:
    """The directory of sockets, locks and endpoint files.

    COLORMNET_RUNTIME, else XDG_RUNTIME_DIR/colormnet, else a folder of the user in /tmp.

    Raises UnsafeDirectory when it belongs to somebody else.
    """
    chosen = os.environ.get("COLORMNET_RUNTIME")
    if not chosen:
        if os.name == "nt":
            base = os.environ.get("LOCALAPPDATA") or os.path.join(os.path.expanduser("~"), "AppData", "Local")
            chosen = os.path.join(base, "ColorMNet", "run")
        else:
            base = os.environ.get("XDG_RUNTIME_DIR") or ""
            usable = os.path.isabs(base) and os.path.isdir(base) and os.access(base, os.W_OK | os.X_OK)
            # Not tempfile.gettempdir(): hosts change TMPDIR, and then two of them would not find the same worker.
            chosen = os.path.join(base, "colormnet") if usable else "/tmp/colormnet-%d" % os.getuid()
    if create:
        make_private(chosen)
    return chosen


def make_private(path: str) -> None:
    """Make ``path`` a directory of ours that nobody else can enter; raises UnsafeDirectory if it is not ours."""
    try:
        os.makedirs(path, 0o700, exist_ok=True)
    except FileExistsError:
        raise UnsafeDirectory(
            "%s is not a directory: remove it or set COLORMNET_RUNTIME to another place" % path
        ) from None
    if os.name == "nt":
        return
    check_private(path)
    if stat.S_IMODE(os.stat(path).st_mode) != 0o700:
        os.chmod(path, 0o700)


def check_private(path: str) -> None:
    """Raise UnsafeDirectory unless ``path`` itself (no link) is ours; OSError when it is absent."""
    if os.name == "nt":
        return
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        raise UnsafeDirectory("%s is a link: remove it or set COLORMNET_RUNTIME to another place" % path)
    if found.st_uid != os.getuid():
        raise UnsafeDirectory(
            "%s belongs to user %d: remove it or set COLORMNET_RUNTIME to another place" % (path, found.st_uid)
        )


def endpoint_path(runtime: str, device: str) -> str:
    """The endpoint file of the worker started for ``device`` ("auto", "cpu", "cuda:0", ...)."""
    return os.path.join(runtime, "engine-%s.json" % label(device))


def socket_path(runtime: str, name: str) -> str:
    """A path for the worker's socket that the system can take, in ``runtime`` or a short private directory."""
    path = os.path.join(runtime, name)
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    short = "/tmp/cmn-%d-%s" % (os.getuid(), sha256(os.fsencode(runtime)).hexdigest()[:8])
    make_private(short)
    return os.path.join(short, name)


def write_private(path: str, text: str) -> None:
    """Write a 0600 file atomically."""
    handle, temporary = tempfile.mkstemp(prefix=".write-%d-" % os.getpid(), dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def sweep(folder: str) -> None:
    """Remove what killed processes left in a directory of ours: sockets, half-written files, endpoint files."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        match = re.match(r"w(\d+)\.sock$|\.write-(\d+)-", name)
        if match is not None:
            pid = int(match.group(1) or match.group(2))
        elif name.startswith("engine-") and name.endswith(".json"):
            try:
                found = read_endpoint(path)
            except UnsafeDirectory:
                continue  # clients say so
            if found is None:
                continue
            pid = found.pid
        else:
            continue
        if process_start(pid) is None:
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue  # somebody else was tidying up as well


def read_endpoint(path: str) -> Optional[Endpoint]:
    """The endpoint in a file, None where there is none or it is not whole; raises UnsafeDirectory if not private."""
    try:
        check_private(os.path.dirname(path))
        check_private(path)
        if os.name != "nt" and stat.S_IMODE(os.lstat(path).st_mode) & 0o077:
            raise UnsafeDirectory("%s can be read by other users: remove it and start the worker again" % path)
        with open(path) as file:
            found: Dict[str, Any] = json.load(file)
        return Endpoint(
            str(found["kind"]),
            str(found["address"]),
            int(found["pid"]),
            tuple(int(part) for part in found["protocol"]),
            str(found["token"]),
            str(found["device"]),
            str(found["engine"]),
        )
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def dial(endpoint: Endpoint, timeout: float = 5.0) -> socket.socket:
    """A socket connected to the worker; raises OSError. Only Unix sockets and loopback are ever dialled."""
    if endpoint.kind == "unix":
        check_private(os.path.dirname(endpoint.address))
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        where: Any = endpoint.address
    elif endpoint.kind == "tcp":
        host, _, port = endpoint.address.rpartition(":")
        if host != "127.0.0.1":
            raise OSError("the worker's address %s is not this machine" % endpoint.address)
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        where = (host, int(port))
    else:
        raise OSError("unknown kind of address %r" % endpoint.kind)
    try:
        sock.settimeout(timeout)
        sock.connect(where)
    except BaseException:
        sock.close()
        raise
    return sock


def process_start(pid: int) -> Optional[str]:
    """Something that changes when a pid is given to another process; None where the process is gone."""
    if sys.platform.startswith("linux"):
        try:
            with open("/proc/%d/stat" % pid, "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            return None
        return None if fields[0] in (b"Z", b"X") else fields[19].decode()
    if os.name == "nt":
        return _windows_start(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return "other user"
    return "alive"


def _windows_start(pid: int) -> Optional[str]:
    import ctypes

    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 - absent from the type stubs of other systems
    handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return None
    try:
        code = ctypes.c_ulong()
        if kernel.GetExitCodeProcess(handle, ctypes.byref(code)) and code.value != 259:  # STILL_ACTIVE
            return None
        times = [ctypes.c_ulonglong() for _ in range(4)]
        kernel.GetProcessTimes(handle, *[ctypes.byref(each) for each in times])
        return str(times[0].value)
    finally:
        kernel.CloseHandle(handle)

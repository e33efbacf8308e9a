"""The listening socket and its connections."""

import contextlib
import logging
import os
import socket
import stat
import struct
import sys
import threading
import time
from pathlib import Path

from colormnet_host import endpoint as places
from colormnet_host import protocol
from colormnet_host.endpoint import Endpoint

from .buffers import sweep
from .connection import Connection
from .service import Service

log = logging.getLogger(__name__)

HELLO_SECONDS = 0.25  # an honest client's hello takes a few milliseconds
MAX_STRANGERS = 32  # connections that have not said hello yet


class Server:
    """Accepts clients of this user; each gets a thread."""

    def __init__(self, service: Service, runtime: Path) -> None:
        """``runtime``: a private directory. The socket is bound and listens when this returns. Raises OSError."""
        self._service = service
        self._runtime = runtime
        self._connections: set[Connection] = set()
        self._lock = threading.Lock()
        self._stopping = False
        self.token = protocol.new_token()
        sweep(runtime)
        places.sweep(str(runtime))
        self._path: str | None = None
        if unix_sockets():
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._path = places.socket_path(str(runtime), f"w{os.getpid()}.sock")
            places.sweep(os.path.dirname(self._path))
            Path(self._path).unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                self._socket.bind(self._path)
            finally:
                os.umask(before)
            os.chmod(self._path, stat.S_IRUSR | stat.S_IWUSR)
            self.kind, self.address = "unix", self._path
        else:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._socket.bind(("127.0.0.1", 0))
            self.kind, self.address = "tcp", f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._socket.listen(64)
        self._thread = threading.Thread(target=self._accept, name="colormnet-accept", daemon=True)

    def start(self) -> None:
        """Begin to accept."""
        self._thread.start()

    def endpoint(self, device: str) -> Endpoint:
        """What the endpoint file says."""
        from .. import __version__

        return Endpoint(self.kind, self.address, os.getpid(), protocol.VERSION, self.token, device, __version__)

    def can_be_reached(self) -> bool:
        """Whether the socket is still where clients look for it."""
        return self._path is None or os.path.exists(self._path)

    def count(self) -> int:
        """Clients that said hello."""
        with self._lock:
            return sum(connection.admitted for connection in self._connections)

    def stop(self) -> None:
        """Close the socket and all connections, after what was answered has been sent."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._socket.close()
        if self._path is not None:
            Path(self._path).unlink(missing_ok=True)
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.close()

    def _accept(self) -> None:
        while not self._stopping:
            try:
                sock, _ = self._socket.accept()
            except OSError as error:
                if self._stopping or self._socket.fileno() < 0:
                    return
                log.warning("a connection could not be accepted: %s", error)
                time.sleep(0.2)
                continue
            try:
                if _same_user(sock):
                    self._admit(sock)
                    continue
                log.warning("a connection of another user was refused")
            except Exception:  # no thread or memory to be had: this client is let go, the next may find some
                log.exception("a connection could not be served")
            sock.close()

    def _admit(self, sock: socket.socket) -> None:
        connection = Connection(sock, self._service, self.token, self._runtime, self._gone, self.count)
        self._let_hellos_finish()
        with self._lock:
            strangers = sorted((each for each in self._connections if not each.admitted), key=lambda each: each.since)
            full = len(self._connections) - len(strangers) >= self._service.limits.connections
            if not full:
                self._connections.add(connection)
        if full:
            log.warning("a connection was refused: %d clients are connected", self._service.limits.connections)
            sock.close()
            return
        if len(strangers) >= MAX_STRANGERS:
            strangers[0].close()
        try:
            threading.Thread(target=connection.serve, name="colormnet-client", daemon=True).start()
        except RuntimeError:
            connection.close()
            raise

    def _let_hellos_finish(self) -> None:
        """Near the limit, wait a moment for hellos under way: whether there is room depends on them."""
        end = time.monotonic() + HELLO_SECONDS
        while time.monotonic() < end:
            with self._lock:
                young = [
                    each for each in self._connections if not each.admitted and each.since > end - 2 * HELLO_SECONDS
                ]
                near = len(self._connections) >= self._service.limits.connections
            if not young or not near:
                return
            time.sleep(0.005)

    def _gone(self, connection: Connection) -> None:
        with self._lock:
            self._connections.discard(connection)


def unix_sockets() -> bool:
    """Whether the worker listens on a Unix socket; elsewhere on a port that only this machine reaches."""
    return hasattr(socket, "AF_UNIX") and os.name != "nt"


def _same_user(sock: socket.socket) -> bool:
    """Whether the peer runs as this user, where the system tells."""
    if sys.platform.startswith("linux") and sock.family == socket.AF_UNIX:
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", raw)[1]) == os.getuid()
    return True

"""The process of a manager's session: it keeps the network loaded and runs the session's tasks, one after another.

Run as ``python -m colormnet.farm.resident FOLDER IDLE_SECONDS`` by `session.start`. It listens in a private folder,
lets in only who knows the token in the endpoint file, and ends when told to (SIGTERM) or when idle for long.
"""

import contextlib
import io
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from colormnet_host import protocol
from colormnet_host.endpoint import Endpoint, make_private, socket_path, write_private

from .. import __version__
from ..errors import ColorMNetError
from .session import ENDPOINT
from .task import Models, Selection, Task, job_from_json, run_task

log = logging.getLogger(__name__)


class _Relay(io.TextIOBase):
    """Text written here goes to the task's own stdout or stderr; where the task has gone, ``stop`` is set instead."""

    def __init__(self, channel: protocol.Channel, stream: str, stop: threading.Event) -> None:
        self._channel = channel
        self._stream = stream
        self._stop = stop

    def write(self, text: str) -> int:
        """Send a piece of text."""
        if text and not self._channel.closed:
            try:
                self._channel.send({"type": "output", "stream": self._stream, "text": text})
            except protocol.ProtocolError:
                self._stop.set()
                self._channel.close()
        return len(text)


class Resident:
    """The socket, the loaded networks, and the loop that serves one task at a time."""

    def __init__(self, folder: Path, idle_seconds: float) -> None:
        self._folder = folder
        self._idle_seconds = idle_seconds
        self._ending = threading.Event()
        self._models = Models()
        self._token = protocol.new_token()

    def serve(self) -> None:
        """Listen until told to end or idle for too long."""
        signal.signal(signal.SIGTERM, lambda *_: self._ending.set())
        signal.signal(signal.SIGINT, lambda *_: self._ending.set())
        make_private(str(self._folder))
        listener, kind, address = self._listen()
        endpoint = Endpoint(kind, address, os.getpid(), protocol.VERSION, self._token, "auto", __version__)
        path = self._folder / ENDPOINT
        write_private(str(path), endpoint.to_json())
        try:
            from .. import pipeline, session  # noqa: F401 - the slow imports, while the first task is on its way

            self._accept(listener)
        finally:
            path.unlink(missing_ok=True)
            listener.close()
            if kind == "unix":
                Path(address).unlink(missing_ok=True)

    def _listen(self) -> tuple[socket.socket, str, str]:
        if hasattr(socket, "AF_UNIX"):
            address = socket_path(str(self._folder), f"task-{os.getpid()}.sock")
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(address)
            os.chmod(address, 0o600)
            kind = "unix"
        else:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.bind(("127.0.0.1", 0))
            address, kind = f"127.0.0.1:{listener.getsockname()[1]}", "tcp"
        listener.listen(8)
        listener.settimeout(0.2)
        return listener, kind, address

    def _accept(self, listener: socket.socket) -> None:
        quiet_since = time.monotonic()
        while not self._ending.is_set() and time.monotonic() - quiet_since < self._idle_seconds:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            channel = protocol.Channel(connection)
            try:
                self._converse(channel)
            except protocol.ProtocolError as error:
                print(f"a connection was given up: {error}", file=sys.stderr, flush=True)
            finally:
                channel.close()
            quiet_since = time.monotonic()

    def _converse(self, channel: protocol.Channel) -> None:
        protocol.admit(channel, self._token, {"engine": __version__})
        message = channel.receive(wait=10.0, max_payload=0)
        if message is None or message[0].get("type") != "task":
            raise protocol.ProtocolError("a task was expected")
        stop, over = threading.Event(), threading.Event()
        watcher = threading.Thread(target=self._watch, args=(channel, stop, over), daemon=True)
        watcher.start()
        out, err = _Relay(channel, "stdout", stop), _Relay(channel, "stderr", stop)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = self._run(message[0], stop)
        over.set()
        channel.send({"type": "done", "code": code})
        watcher.join()

    def _watch(self, channel: protocol.Channel, stop: threading.Event, over: threading.Event) -> None:
        """Set ``stop`` when the task asks for it, or is gone, or this process is to end."""
        while not over.is_set():
            if self._ending.is_set():
                stop.set()
            try:
                message = channel.receive(wait=0.2, max_payload=0)
            except protocol.ProtocolError:
                stop.set()
                return
            if message is not None and message[0].get("type") == "stop":
                stop.set()

    def _run(self, request: dict[str, Any], stop: threading.Event) -> int:
        """The exit code of a task."""
        from ..cli.progress import ReportStyle, shown_as

        before = os.getcwd()
        try:
            os.chdir(str(request["folder"]))
            selection = dict(request["selection"])
            if "between" in selection:
                selection["between"] = tuple(int(number) for number in selection["between"])
            task = Task(job_from_json(request["job"]), Selection(**selection))
            with shown_as(ReportStyle(request["report"])) as shown:
                report = run_task(task, shown, stop, self._models)
                if report is not None:
                    shown.finished(report)
            return 0
        except ColorMNetError as error:
            print(f"colormnet: {error}", file=sys.stderr)
            return error.exit_code
        except Exception:
            log.exception("a task failed")
            traceback.print_exc()
            return 1
        finally:
            os.chdir(before)


def main() -> None:
    """The process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    Resident(Path(sys.argv[1]), float(sys.argv[2])).serve()


if __name__ == "__main__":
    main()

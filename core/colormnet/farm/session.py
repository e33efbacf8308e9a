"""A manager's session: start the process that keeps the network loaded, send tasks to it, stop it.

An Open Job Description step environment calls `start` on enter and `stop` on exit; tasks between find the process by
the variable ``COLORMNET_WORKER`` and need not import torch themselves. The process runs the same `task.run_task`, so
the pixels are the same. Where it cannot be reached a task simply runs by itself.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from colormnet_host import protocol
from colormnet_host.endpoint import Endpoint, UnsafeDirectory, dial, make_private, process_start, read_endpoint

from .. import __version__
from ..errors import DeviceError, InputError
from .task import Task, job_to_json

VARIABLE = "COLORMNET_WORKER"
ENDPOINT = "endpoint.json"
LOG = "session.log"
START_SECONDS = 120.0
STOP_SECONDS = 60.0
_UNREACHABLE = "note: the session's worker cannot be used ({}); the task runs by itself.\n"
GREETING_SECONDS = 900.0  # the process may be finishing the frame of a task that was killed


def folder_of(session: Path) -> Path:
    """The private folder of the process of a session that lives in the folder ``session``."""
    return session / "colormnet-session"


def start(session: Path, idle_seconds: float) -> Path:
    """Start the process, unless it runs; its endpoint file. Returns before the network is loaded.

    Raises InputError where the folder cannot be used, DeviceError where the process does not come up.
    """
    folder = folder_of(session)
    try:
        make_private(str(folder))
    except (OSError, UnsafeDirectory) as error:
        raise InputError(f"The session folder {folder} cannot be used ({error}); choose another.") from error
    path = folder / ENDPOINT
    if _running(read_endpoint(str(path))):
        return path
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "colormnet.farm.resident", str(folder), str(idle_seconds)]
    with open(folder / LOG, "ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=folder
        )
    deadline = time.monotonic() + START_SECONDS
    while read_endpoint(str(path)) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            lines = (folder / LOG).read_text(errors="replace").strip().splitlines()[-1:] or ["no message"]
            raise DeviceError(f"The session's worker did not start ({lines[0]}); see {folder / LOG}.")
        time.sleep(0.05)
    return path


def stop(session: Path) -> bool:
    """Stop the process after the frame in hand; False where none ran. Raises DeviceError where it will not end."""
    path = folder_of(session) / ENDPOINT
    endpoint = read_endpoint(str(path))
    if endpoint is None or not _running(endpoint):
        path.unlink(missing_ok=True)
        return False
    begun = process_start(endpoint.pid)
    os.kill(endpoint.pid, 15)
    deadline = time.monotonic() + STOP_SECONDS
    while process_start(endpoint.pid) == begun and begun is not None:
        if time.monotonic() > deadline:
            os.kill(endpoint.pid, 9)
            path.unlink(missing_ok=True)
            raise DeviceError(f"The session's worker (process {endpoint.pid}) did not stop in time and was killed.")
        time.sleep(0.05)
    path.unlink(missing_ok=True)
    return True


def _running(endpoint: Endpoint | None) -> bool:
    return endpoint is not None and process_start(endpoint.pid) is not None


def run_remotely(
    endpoint_file: str, task: Task, report: str, stop: threading.Event, say: Callable[[str, str], None]
) -> int | None:
    """Have the session's process run a task; its exit code, or None where it cannot (the caller then does it itself).

    ``say`` gets ("stdout" or "stderr", text) as the process prints.
    """
    try:
        endpoint = read_endpoint(endpoint_file)
        if endpoint is None:
            raise OSError(f"{endpoint_file} is not there")
        channel = protocol.Channel(dial(endpoint))
    except (OSError, UnsafeDirectory) as error:
        say("stderr", _UNREACHABLE.format(error))
        return None
    try:
        welcome = protocol.greet(channel, endpoint.token, "farm task", GREETING_SECONDS)
        if welcome.get("engine") != __version__:
            raise protocol.Refused(f"it is version {welcome.get('engine')}, this is {__version__}")
        channel.send({"type": "task", **_request(task), "report": report, "folder": os.getcwd()})
        return _follow(channel, stop, say)
    except protocol.ProtocolError as error:
        say("stderr", _UNREACHABLE.format(error))
        return None
    finally:
        channel.close()


def _request(task: Task) -> dict[str, Any]:
    selection = {key: value for key, value in vars(task.selection).items() if value not in (None, False)}
    return {"job": job_to_json(task.job), "selection": selection}


def _follow(channel: protocol.Channel, stop: threading.Event, say: Callable[[str, str], None]) -> int:
    told = False
    while True:
        message = channel.receive(give_up=None if told else stop.is_set)
        if message is None:
            told = True
            channel.send({"type": "stop"})
            continue
        header = message[0]
        if header.get("type") == "output":
            say(str(header.get("stream")), str(header.get("text", "")))
        elif header.get("type") == "done":
            return int(header["code"])

"""Requests as files in a watched folder, for hosts that have no sockets (a Fusion Fuse in Lua).

Workers watch ``inbox`` in their cache directory, the folders given with ``--watch``, and those a client names with
``Client.watch``. A host

1. writes a request, a JSON object, to ``NAME.part`` and renames it to ``NAME.request.json`` (any NAME of letters,
   digits, ``_``, ``-`` and ``.``, not used before). In the inbox a ``NAME.part`` that stays goes after ten minutes;
2. waits for ``NAME.answer.json``, which appears whole, reads it and deletes it. Answers not fetched go after ten
   minutes;
3. may give up by creating an empty ``NAME.cancel``.

``worker.alive.json`` (``{"pid": ..., "time": seconds since 1970, "protocol": 1, "device": ..., "state": ...}``) is
renewed every second while the worker runs; when it is older than five seconds nobody is listening.

Requests::

    {"protocol": 1, "request": "ping"}
    {"protocol": 1, "request": "status"}                          -> "status": the worker's
    {"protocol": 1, "request": "status", "session": NAME}         -> "status": the session's
    {"protocol": 1, "request": "open", "session": NAME, "settings": {"space": "ACEScg", ...},
     "frames": [[1001, 1100, 1]], "exemplars": [{"path": "/abs/ref.png", "space": "", "frame": null}]}  -> "generation"
    {"protocol": 1, "request": "colour", "session": NAME, "frame": 1001, "plate": "/abs/plate.exr",
     "output": "/abs/out.exr"}
    {"protocol": 1, "request": "supply", "session": NAME, "frame": 1001, "plate": "/abs/plate.exr"}

``open`` takes the settings of `colormnet_host.job.SessionSettings`; without "exemplars" it keeps the session's.
``colour`` and ``supply`` may name a "generation"; without, the session's newest is meant. All paths are absolute and
taken literally.

Answers: ``{"protocol": 1, "ok": true, ...}`` with what the request gives ("output", "confidence", "low_confidence",
"cached" for colour), or ``{"protocol": 1, "ok": false, "code": ..., "message": a sentence for the artist}``. Codes:
"input", "need_frames" (with "frames": supply these first), "out_of_memory" (with "working_size"), "weights", "device",
"stopping", "cancelled", "unknown_generation" (open the session again), "internal".

A request that a killed worker had taken is taken up again by the next one.
"""

import contextlib
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError
from .answers import Cancelled, error_header
from .requests import parse_exemplars, parse_frame, parse_frames, parse_name, parse_path, parse_settings
from .service import Service
from .sessions import remove_unfinished, write_whole
from .tasks import OneAnswer, OutputWanted, PlateInput

log = logging.getLogger(__name__)

PROTOCOL = 1
LOOK_EVERY = 0.05  # seconds
ALIVE_EVERY = 1.0
KEEP_ANSWERS = 600.0
MAX_REQUEST = 1 << 20  # bytes
ALIVE = "worker.alive.json"
INBOX = "inbox"
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,150})\.request\.json")


class FileRequest(OneAnswer):
    """A request from the folder; its answer is a file."""

    def __init__(self, folder: "WatchedFolder", name: str) -> None:
        super().__init__()
        self._folder = folder
        self.name = name
        self.task: Any = None

    def done(self, header: dict[str, Any], payload: bytes | bytearray | memoryview = b"") -> None:
        """The result."""
        if self.claim():
            self._folder.answer(self, {**header, "ok": True})

    def deliver(self, write: Callable[[], None], header: dict[str, Any]) -> None:
        """As `done`."""
        if self.claim(write):
            self._folder.answer(self, {**header, "ok": True})

    def failed(self, error: BaseException) -> None:
        """No result."""
        if self.claim():
            self._folder.answer(self, {**error_header(error), "ok": False})

    def said(self, stage: str, message: str, done: int = 0, total: int = 0) -> None:
        """Progress is not told through files."""


class WatchedFolder:
    """One folder, watched by a thread of its own."""

    def __init__(self, folder: Path, service: Service, label: str, own: bool) -> None:
        """The folder is made if need be, for this user only; ``label`` tells this worker's claims from another's.

        ``own``: the folder is the worker's, so that unfinished requests in it may be removed. Raises InputError.
        """
        self.folder = folder
        self._own = own
        self._taken = f".taken-{label}.json"
        self._service = service
        self._requests: dict[str, FileRequest] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="colormnet-folder", daemon=True)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
                raise InputError(f"The folder {folder} belongs to another user and is not watched; choose your own.")
            remove_unfinished(folder, shared=True)
            for taken in folder.glob(f"*{self._taken}"):  # by a worker that was killed
                os.replace(taken, folder / f"{taken.name.removesuffix(self._taken)}.request.json")
        except OSError as error:
            raise InputError(f"The folder {folder} cannot be watched ({error.strerror}); choose another.") from error

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End; requests under way are answered by the device's end."""
        self._ended.set()
        self._thread.join(timeout=5.0)
        (self.folder / ALIVE).unlink(missing_ok=True)

    def _watch(self) -> None:
        alive = swept = 0.0
        troubled = ""
        while not self._ended.wait(LOOK_EVERY):
            now = time.monotonic()
            try:
                if now - alive > ALIVE_EVERY:
                    alive = now
                    self._show_life()
                if now - swept > KEEP_ANSWERS / 10:
                    swept = now
                    self._sweep()
                names = os.listdir(self.folder)
                troubled = ""
            except OSError as error:
                if str(error) != troubled:
                    log.warning("the folder %s cannot be used: %s", self.folder, error)
                troubled = str(error)
                with contextlib.suppress(OSError):  # somebody cleared the cache
                    self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._ended.wait(1.0)
                continue
            for file in sorted(names):
                if file.endswith(".cancel"):
                    self._cancel(file.removesuffix(".cancel"))
                match = _NAME.fullmatch(file)
                if match is not None:
                    self._take(match[1], self.folder / file)

    def _show_life(self) -> None:
        device = self._service.device
        text = {
            "pid": os.getpid(),
            "time": time.time(),
            "protocol": PROTOCOL,
            "device": self._service.device_name,
            "state": device.state,
        }
        write_whole(self.folder / ALIVE, json.dumps(text).encode())

    def _sweep(self) -> None:
        oldest = time.time() - KEEP_ANSWERS
        for pattern in ("*.answer.json", "*.cancel", *(["*.part"] if self._own else [])):
            for path in self.folder.glob(pattern):
                if path.stat().st_mtime < oldest:
                    path.unlink(missing_ok=True)

    def _take(self, name: str, path: Path) -> None:
        taken = self.folder / f"{name}{self._taken}"
        request = FileRequest(self, name)
        try:
            os.replace(path, taken)
        except OSError as error:
            log.info("%s cannot be taken (%s); another worker may have it", path, error)
            return
        try:
            self._requests[name] = request
            if not taken.is_file() or taken.stat().st_size > MAX_REQUEST:
                raise InputError(f"The request {name} is no file or is larger than {MAX_REQUEST} bytes.")
            self._ask(request, self._parse(taken.read_bytes()))
        except Exception as error:  # whatever is in the file, the folder goes on being watched
            request.failed(error)

    def _parse(self, content: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise InputError(f"The request is not JSON ({str(error)[:80]}).") from error
        if not isinstance(asked, dict) or asked.get("protocol") != PROTOCOL:
            raise InputError(f'The request must be a JSON object with "protocol": {PROTOCOL}.')
        return asked

    def _ask(self, request: FileRequest, asked: dict[str, Any]) -> None:
        service, kind = self._service, asked.get("request")
        if kind == "ping":
            request.done({})
        elif kind == "status" and asked.get("session") is None:
            request.done({"status": service.status(0)})
        elif kind == "status":
            future = service.session_status(parse_name(asked["session"]), str(asked.get("generation", "")))
            future.add_done_callback(
                lambda done: (
                    request.failed(error)
                    if (error := done.exception()) is not None
                    else request.done({"status": done.result()})
                )
            )
        elif kind == "open":
            exemplars = None if asked.get("exemplars") is None else parse_exemplars(asked["exemplars"], 0)
            settings, frames = parse_settings(asked.get("settings")), parse_frames(asked.get("frames"))
            request.task = service.define(request, parse_name(asked.get("session")), settings, frames, exemplars, b"")
        elif kind in ("colour", "supply"):
            name, frame = parse_name(asked.get("session")), parse_frame(asked.get("frame"))
            generation, plate = (
                str(asked.get("generation", "")),
                PlateInput(parse_path(asked.get("plate"), "the plate")),
            )
            if kind == "supply":
                request.task = service.supply(request, name, generation, frame, plate)
            else:
                output = OutputWanted(parse_path(asked.get("output"), "the output"))
                request.task = service.colour(request, name, generation, frame, plate, output)
        else:
            raise InputError(f"The request '{str(kind)[:40]}' is unknown.")

    def _cancel(self, name: str) -> None:
        request = self._requests.get(name)
        if request is None:
            return
        (self.folder / f"{name}.cancel").unlink(missing_ok=True)
        if request.task is not None:
            self._service.device.cancel(request.task)
        request.failed(Cancelled())

    def answer(self, request: FileRequest, header: dict[str, Any]) -> None:
        """Write the answer and forget the request."""
        header = {key: value for key, value in header.items() if key not in ("type", "id")}
        self._requests.pop(request.name, None)
        try:
            text = json.dumps({"protocol": PROTOCOL, **header}, allow_nan=False).encode()
            write_whole(self.folder / f"{request.name}.answer.json", text)
            (self.folder / f"{request.name}{self._taken}").unlink(missing_ok=True)
        except OSError as error:
            log.error("the answer to %s cannot be written: %s", request.name, error)


class WatchedFolders:
    """The folders a worker watches."""

    def __init__(self, service: Service, label: str) -> None:
        self._service = service
        self._label = label
        self._folders: dict[Path, WatchedFolder] = {}
        self._lock = threading.Lock()

    def add(self, folder: Path, own: bool = False) -> None:
        """Watch one more folder (once); ``own``: it belongs to the worker. Raises InputError."""
        with self._lock:
            if folder not in self._folders:
                watched = self._folders[folder] = WatchedFolder(folder, self._service, self._label, own)
                watched.start()

    def stop(self) -> None:
        """Watch no more."""
        with self._lock:
            for folder in self._folders.values():
                folder.stop()

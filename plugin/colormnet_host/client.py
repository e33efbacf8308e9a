"""The one import a host needs: start or find the worker, open a session for a shot, have frames coloured.

Standard library only; Python 3.7 to 3.14 (and 3.6). All calls block, may be made from any thread, and none touches
the host: call them from a background thread and hand progress to the interface by the host's own means.

::

    from colormnet_host.client import Client
    from colormnet_host.job import Exemplar, SessionSettings

    with Client(name="Nuke") as client:                       # starts the worker if none runs; seconds while it loads
        shot = client.open_session(
            "sq010_sh020",                                    # one name per shot; resumes what is on disk
            SessionSettings(space="ACEScg"),
            frames=range(1001, 1101),                         # the shot's frames IN ORDER: this defines the result
            exemplars=[Exemplar("/refs/sh020_ref.png")],
        )
        for frame, plate in bake():                           # streaming: submit while the bake goes on
            shot.submit(frame, plate, "/cache/sh020.%04d.exr" % frame)
        for result in shot.results(progress=show):            # in the order submitted
            print(result.frame, result.confidence)
        print(shot.status().recommended_exemplar)

What holds whatever happens:

- A frame's result is that of a straight run from the first declared frame, bit for bit, in any order of requests.
  Frames the worker needs for this and has never seen make it answer :class:`NeedFrames`; give ``plates=`` (a function
  from frame number to EXR path, or to an Image) and the client sends them by itself.
- The same request again is answered from the cache. Changed exemplars or settings start a new generation by themselves;
  going back to the former ones finds the former results again.
- An output file appears whole or not at all. The plate is never written.
- If the worker dies, the client starts it again (with back-off) and repeats what was under way; the worker goes on
  from its newest snapshot.
- ``cancel``: any callable returning True, asked about ten times a second; or a progress callback returning False.
  The call raises :class:`Cancelled`; the session stays usable.
"""

import os
import threading
import time
from types import TracebackType
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Type

from colormnet_host import endpoint as places
from colormnet_host import protocol
from colormnet_host.errors import Cancelled, NeedFrames, OutOfMemory, WorkerError, raise_answer
from colormnet_host.job import (
    Exemplar,
    FrameResult,
    Image,
    Progress,
    SessionSettings,
    SessionStatus,
    WorkerStatus,
)
from colormnet_host.launcher import Launcher, WorkerUnavailable
from colormnet_host.link import Call, Link, Lost, Slot, frame_message
from colormnet_host.session import CancelCheck, PlateProvider, ProgressCallback, Session, Ticket, UnderWay

__all__ = [
    "Cancelled",
    "Client",
    "Exemplar",
    "FrameResult",
    "Image",
    "NeedFrames",
    "OutOfMemory",
    "Progress",
    "Session",
    "SessionSettings",
    "SessionStatus",
    "Ticket",
    "WorkerError",
    "WorkerStatus",
    "WorkerUnavailable",
]

RESTARTS = 6  # in a row without a frame finished


class Client(object):
    """A connection to the worker of this user and device.

    ``launcher``: how the worker is found and started (see :class:`colormnet_host.launcher.Launcher`; its ``device`` is
    "auto", "cpu", "cuda:0", ...). ``name``: the host's, shown in the worker's log. ``use_mmap`` False sends pixels
    through the socket. ``restarts``: how often in a row the worker may end without finishing a frame before that is
    told as an error. Threads may share a client.
    """

    def __init__(
        self, launcher: Optional[Launcher] = None, name: str = "", use_mmap: bool = True, restarts: int = RESTARTS
    ) -> None:
        self.launcher = launcher or Launcher()
        self.name = name
        self.restarts = 0  # how often the worker had to be started again or found again
        self.device_note = ""  # not empty where the device is not what one would wish
        self._use_mmap = use_mmap
        self._most_restarts = restarts
        self._link: "Optional[Link]" = None
        self._lock = threading.RLock()
        self._failures = 0  # restarts since the last frame that worked
        self._under_way = UnderWay()
        self._closed = False

    def connect(
        self,
        progress: Optional[ProgressCallback] = None,
        cancel: Optional[CancelCheck] = None,
        timeout: float = 300.0,
        launch: bool = True,
    ) -> None:
        """Find or start the worker and say hello; every other call does this by itself when needed.

        Raises WorkerUnavailable (a sentence with the log's path) when it cannot be had within ``timeout``.
        """
        with self._lock:
            if self._link is not None and not self._link.lost:
                return
            given_up: "List[bool]" = []

            def say(message: str) -> None:
                if progress is not None and progress(Progress("starting", message)) is False:
                    given_up.append(True)

            def give_up() -> bool:
                return bool(given_up) or (cancel is not None and cancel())

            if launch:
                found = self.launcher.ensure(self.name, say, give_up, timeout)
            else:
                running = self.launcher.connect(self.name)
                if running is None:
                    raise WorkerUnavailable("No worker runs.")
                found = running
            self._link = Link(found[0], found[1], self._use_mmap)
            self._closed = False
            self.device_note = str(found[1].get("device_note", ""))
            if progress is not None and self.device_note:
                progress(Progress("starting", self.device_note))

    def open_session(
        self,
        name: str,
        settings: SessionSettings,
        frames: Sequence[int],
        exemplars: Optional[Iterable[Exemplar]] = None,
        plates: Optional[PlateProvider] = None,
        progress: Optional[ProgressCallback] = None,
        cancel: Optional[CancelCheck] = None,
    ) -> Session:
        """Open or resume a session. ``frames``: all frame numbers of the shot in the order of play.

        ``exemplars`` None keeps those of the session on disk. ``plates``: see :meth:`Session.colorize`; kept for the
        whole session, also used when the worker lost its store. Weights load with the first frame (its progress tells).
        """
        session = Session(self, name, settings, frames, None if exemplars is None else list(exemplars), plates)
        session._define(progress, cancel)
        return session

    def sessions(self) -> Tuple[Dict[str, Any], ...]:
        """All sessions the worker knows, open or on disk: name, frames, bytes, last use."""
        return tuple(self._request({"type": "sessions"})["sessions"])

    def forget_session(self, name: str) -> None:
        """Delete everything the worker keeps of a session."""
        self._request({"type": "close_session", "session": name, "forget": True})

    def watch(self, folder: str) -> None:
        """Have the worker look for requests in a folder (see ``colormnet.worker.folder``), until it ends."""
        self._request({"type": "watch", "folder": os.path.abspath(folder)})

    def status(self, launch: bool = False) -> Optional[WorkerStatus]:
        """The worker's health; None when none runs (and ``launch`` is False)."""
        found = self._request_running({"type": "status"}) if not launch else self._request({"type": "status"})
        if found is None:
            return None
        status = found["status"]
        known = {name: status[name] for name in WorkerStatus._fields if name in status}
        known["models"] = tuple(status["models"])
        known["sessions"] = tuple(status["sessions"])
        return WorkerStatus(**known)

    def free_gpu(self) -> bool:
        """Drop models and memory from the device after the frame in hand; False when no worker runs.

        Sessions go to disk and come back when asked for.
        """
        return self._request_running({"type": "free"}) is not None

    def stop(self, timeout: float = 60.0) -> bool:
        """Stop the worker after the frame in hand and wait until it has gone; False when none ran."""
        found = self.launcher.find()
        if found is None or self._request_running({"type": "stop"}) is None:
            return False
        born = places.process_start(found.pid)
        end = time.monotonic() + timeout
        while born is not None and places.process_start(found.pid) == born:
            if time.monotonic() > end:
                raise WorkerError("The worker (process %d) has not stopped yet." % found.pid, "stopping")
            self.launcher.reap()
            time.sleep(0.02)
        return True

    def echo(self, image: Image, into: Optional[protocol.Buffer] = None) -> protocol.Buffer:
        """Send a picture to the worker and back, untouched: what the way costs."""
        kept: "List[Optional[Slot]]" = []

        def ask(link: Link) -> Tuple[Call, Optional[Slot]]:
            header, payload, slot = frame_message(link, "echo", image)
            header["output"] = slot.header() if slot is not None else {"inline": True}
            kept.append(slot)
            return link.send(header, payload), None  # the slot is read before it is released

        _, payload = self._ask(ask)
        slot = kept[-1]
        if slot is None:
            if into is None:
                return payload
            memoryview(into).cast("B")[: len(payload)] = payload
            return into
        data = slot.get(image.pixels.nbytes, into)
        slot.release()
        return data

    def close(self) -> None:
        """Close the connection; the worker goes on until it is idle."""
        with self._lock:
            self._closed = True
            if self._link is not None:
                self._link.close()
                self._link = None

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    # --- for this module ------------------------------------------------------------------------------------------

    def _linked(self) -> Link:
        with self._lock:
            if self._link is None or self._link.lost:
                raise Lost("no connection")
            return self._link

    def _worked(self) -> None:
        self._failures = 0

    def _recover(
        self, dead: Optional[Link], progress: Optional[ProgressCallback], cancel: Optional[CancelCheck]
    ) -> None:
        """A new connection in place of ``dead``, with back-off. Raises WorkerUnavailable, Cancelled."""
        with self._lock:
            if self._closed:
                raise WorkerError("The client was closed.", "stopping")
            if self._link is not None and not self._link.lost and self._link is not dead:
                return  # another thread was quicker
            if dead is not None:
                dead.close()
                self._failures += 1
                self.restarts += 1
                if self._failures > self._most_restarts:
                    raise WorkerUnavailable(
                        "The worker ended %d times in a row without finishing a frame; its last words: %s"
                        % (self._failures, self.launcher.last_words() or "none")
                    )
                delay = 0.0 if self._failures < 2 else min(4.0, 0.25 * 2 ** (self._failures - 2))
                if progress is not None:
                    progress(Progress("restarting", "The worker ended; starting it again from the last snapshot."))
                end = time.monotonic() + delay
                while time.monotonic() < end:
                    if cancel is not None and cancel():
                        raise Cancelled()
                    time.sleep(0.05)
            self.connect(progress, cancel)

    def _ask(
        self,
        send: Callable[[Link], Tuple[Call, Optional[Slot]]],
        progress: Optional[ProgressCallback] = None,
        cancel: Optional[CancelCheck] = None,
    ) -> Tuple[protocol.Header, bytearray]:
        """Send and wait, again after a restart. Only for requests that may be repeated (all of ours)."""
        link: "Optional[Link]" = None
        while True:
            try:
                if self._link is None or self._link.lost:
                    self._recover(link, progress, cancel)
                link = self._linked()
                call, slot = send(link)
                asked = False
                try:
                    while call.answer is None:
                        link.wait(call, 0.1)
                        while call.progress:
                            said = call.progress.popleft()
                            asked = (progress is not None and progress(said) is False) or asked
                        if asked or (cancel is not None and call.answer is None and cancel()):
                            link.cancel(call)
                            asked, progress, cancel = False, None, None
                finally:
                    if slot is not None:
                        slot.release()
            except Lost:
                continue
            if call.answer[0].get("type") != "result":
                raise_answer(call.answer[0])
            return call.answer

    def _request(
        self,
        header: protocol.Header,
        payload: protocol.Buffer = b"",
        progress: Optional[ProgressCallback] = None,
        cancel: Optional[CancelCheck] = None,
    ) -> protocol.Header:
        return self._ask(lambda link: (link.send(header, payload), None), progress, cancel)[0]

    def _request_running(self, header: protocol.Header) -> Optional[protocol.Header]:
        """Ask a worker that runs already; None where none does.

        A connection made earlier may be to a worker that has ended since; then there may be another one by now.
        """
        while True:
            with self._lock:
                made_now = self._link is None or bool(self._link.lost)
                if made_now:
                    try:
                        self.connect(launch=False)
                    except WorkerUnavailable:
                        if self.launcher.find() is None:
                            return None
                        raise
                link = self._link
            try:
                if link is None:
                    raise Lost("closed by another thread")
                call = link.send(header)
                while call.answer is None:
                    link.wait(call, 0.5)
            except Lost:
                if made_now:
                    return None
                continue
            if call.answer[0].get("type") != "result":
                raise_answer(call.answer[0])
            return call.answer[0]

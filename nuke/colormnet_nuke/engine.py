"""The thread that talks to the worker: frames go in while the bake goes on, results and progress come out.

It never touches the host.
"""

import os
import queue
import threading
from collections import deque
from typing import Callable, Deque, Dict, NamedTuple, Optional, Sequence, Tuple

from colormnet_host.client import Client, Exemplar, FrameResult, Progress, Session, SessionSettings, Ticket
from colormnet_host.launcher import Launcher
from colormnet_host.weights import find_weights, renew

AHEAD = 4  # frames asked for before the first answer is waited for


class Request(NamedTuple):
    """A plate frame that is baked; ``output`` None where only later frames need it."""

    frame: int
    plate: str
    output: Optional[str]


class Finished(NamedTuple):
    """What a view's work came to. ``generation``: the worker's, and the weights', so that new weights are noticed."""

    generation: str
    device: str
    device_note: str
    notes: Tuple[str, ...]


class Feed:
    """One view of a shot at the worker. ``offer`` and ``close`` are called by the main thread, in order of play."""

    def __init__(
        self,
        session: str,
        settings: SessionSettings,
        device: str,
        frames: Sequence[int],
        exemplars: Sequence[Exemplar],
        wanted: Callable[[str, int], bool],
        done: Callable[[FrameResult], None],
        cancel: threading.Event,
    ) -> None:
        """``wanted(generation, frame)`` tells whether a frame is still to do; ``done`` gets each result.

        Both generations are those of :class:`Finished`.
        """
        self._session, self._settings, self._device = session, settings, device
        self._frames, self._exemplars = tuple(frames), tuple(exemplars)
        self._wanted, self._done, self._cancel = wanted, done, cancel
        self._requests: "queue.Queue[Optional[Request]]" = queue.Queue()
        self._plates: Dict[int, str] = {}
        self._notes: "queue.Queue[str]" = queue.Queue()
        self.error: Optional[BaseException] = None
        self.finished: Optional[Finished] = None
        self._thread = threading.Thread(target=self._run, name="ColorMNet " + session)
        self._thread.daemon = True
        self._thread.start()

    def offer(self, request: Request) -> None:
        """A frame is baked; raises what stopped the thread, so that the bake stops too."""
        self._plates[request.frame] = request.plate
        self._requests.put(request)
        self.check()

    def close(self) -> None:
        """No more frames come."""
        self._requests.put(None)

    def check(self) -> None:
        """Raise what stopped the thread, if anything did."""
        if self.error is not None:
            raise self.error

    def alive(self) -> bool:
        """Whether the thread still works."""
        return self._thread.is_alive()

    def join(self, timeout: Optional[float] = None) -> None:
        """Wait for the thread."""
        self._thread.join(timeout)

    def message(self) -> Optional[str]:
        """The newest thing the worker said, None where it said nothing new."""
        newest = None
        while True:
            try:
                newest = self._notes.get_nowait()
            except queue.Empty:
                return newest

    # The thread.

    def _progress(self, progress: Progress) -> bool:
        self._notes.put(progress.message)
        return not self._cancel.is_set()

    def _run(self) -> None:
        try:
            with Client(Launcher(device=self._device), name="Nuke") as client:
                self._work(client)
        except BaseException as error:  # handed to the main thread by check()
            self.error = error

    def _plate(self, frame: int) -> str:
        return self._plates[frame]

    def _work(self, client: Client) -> None:
        weights = find_weights(self._settings.model)
        shot = client.open_session(
            self._session,
            self._settings,
            self._frames,
            self._exemplars,
            plates=self._plate,
            progress=self._progress,
            cancel=self._cancel.is_set,
        )
        try:
            renew(client, weights)
            generation = "%s-%s" % (shot.generation, weights.sha256[:16])
            self._stream(shot, generation)
            status = shot.status()
            health = client.status()
            self.finished = Finished(
                generation,
                health.device if health else "",
                health.device_note if health else "",
                tuple(status.notes),
            )
        finally:
            if self.error is None:
                shot.close()

    def _stream(self, shot: Session, generation: str) -> None:
        under_way: Deque[Ticket] = deque()
        open_ended = True
        while open_ended or under_way:
            while open_ended and len(under_way) < AHEAD:
                request = self._next(block=not under_way)
                if request is _NOTHING:
                    break
                if request is None:
                    open_ended = False
                elif request.output is not None and self._wanted(generation, request.frame):
                    under_way.append(shot.submit(request.frame, request.plate, request.output))
            if under_way:
                result = under_way.popleft().result(progress=self._progress, cancel=self._cancel.is_set)
                self._done(result._replace(generation=generation))

    def _next(self, block: bool) -> Optional[Request]:
        while True:
            try:
                return self._requests.get(timeout=0.1) if block else self._requests.get_nowait()
            except queue.Empty:
                if not block:
                    return _NOTHING
                if self._cancel.is_set():
                    from colormnet_host.client import Cancelled

                    raise Cancelled() from None


_NOTHING = Request(0, "", None)


def exemplar(path: str, frame: Optional[int]) -> Exemplar:
    """A file as an exemplar; an EXR is in the plate's space, any other file sRGB."""
    return Exemplar(path=os.path.abspath(path), frame=frame)


def on_worker(device: str, call: Callable[[Client], None]) -> bool:
    """Call with a client if a worker runs for the device; False where none does."""
    with Client(Launcher(device=device), name="Nuke") as client:
        if client.status() is None:
            return False
        call(client)
        return True

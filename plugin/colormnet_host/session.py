"""A shot in the worker, and the frames asked of it.

Standard library only, Python 3.6 on. Made by :meth:`colormnet_host.client.Client.open_session`.
"""

import os
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from colormnet_host import protocol
from colormnet_host.errors import Cancelled, NeedFrames, WorkerError, raise_answer
from colormnet_host.job import Exemplar, FrameResult, Image, Progress, SessionSettings, SessionStatus, settings_to_wire
from colormnet_host.link import Call, Link, Lost, Plate, Slot, answer_bytes, check_target, frame_message, samples

if TYPE_CHECKING:
    from colormnet_host.client import Client

ProgressCallback = Callable[[Progress], Optional[bool]]
CancelCheck = Callable[[], bool]
PlateProvider = Callable[[int], Plate]

WINDOW = 8  # frames of a session under way at once
CLIENT_WINDOW = 24  # frames of all sessions of a client under way at once; the worker takes 32 requests of each client


class Ticket(object):
    """A frame that was submitted; :meth:`result` waits for it."""

    def __init__(
        self, session: "Session", frame: int, plate: Plate, output: Optional[str], into: Optional[protocol.Buffer]
    ) -> None:
        self.session = session
        self.frame = frame
        self._plate = plate
        self._output = None if output is None else os.path.abspath(output)
        self._into = into
        self._call: "Optional[Call]" = None
        self._slot: "Optional[Slot]" = None
        self._generation = session.generation
        self._result: "Optional[FrameResult]" = None
        self._error: "Optional[WorkerError]" = None
        self._asked_cancel = False
        self._supplied: "Set[int]" = set()
        self._lock = threading.RLock()

    def result(
        self,
        progress: Optional[ProgressCallback] = None,
        cancel: Optional[CancelCheck] = None,
        timeout: Optional[float] = None,
    ) -> FrameResult:
        """The coloured frame. Raises WorkerError's kinds, and TimeoutError after ``timeout`` seconds (still under way).

        Cancelling by ``cancel`` or ``progress`` cancels the frame. WorkerUnavailable: the worker cannot be had again.
        """
        self.wait(progress, cancel, timeout)
        self.session._fetched(self)
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def wait(
        self,
        progress: Optional[ProgressCallback] = None,
        cancel: Optional[CancelCheck] = None,
        timeout: Optional[float] = None,
    ) -> None:
        """As :meth:`result`, but leave the frame, or the error it ended in, for whoever asks for it later."""
        client = self.session.client
        end = None if timeout is None else time.monotonic() + timeout
        while not self._finished():
            if cancel is not None and cancel():
                self.cancel()
            call = self._call
            try:
                if call is None:
                    raise Lost("not sent")
                call.link.wait(call, 0.1 if end is None else max(0.0, min(0.1, end - time.monotonic())))
            except Lost:
                if self._asked_cancel:
                    self._end(None, Cancelled())
                    break
                client._recover(None if call is None else call.link, progress, cancel)
                self.session._send_again()
                continue
            if call is not self._call:
                continue
            while call.progress:
                if progress is not None and progress(call.progress.popleft()) is False:
                    self.cancel()
                elif progress is None:
                    call.progress.popleft()
            if call.answer is not None:
                with self._lock:  # another thread may wait for the same frame
                    if call is self._call and not self._finished():
                        self._take(call.answer[0], call.answer[1], progress, cancel)
            elif end is not None and time.monotonic() >= end:
                raise TimeoutError("frame %d is still under way" % self.frame)

    def done(self) -> bool:
        """Whether there is something for :meth:`result` to take; never waits.

        That may be the frame or an error, or that frames before it are asked for, or that the worker has to be started
        again; :meth:`result` sees to these.
        """
        call = self._call
        if self._finished() or call is None:
            return True
        try:
            return call.link.look(call)
        except Lost:
            return True

    def cancel(self) -> None:
        """Give the frame up, at the latest before the next frame is touched; :meth:`result` raises Cancelled."""
        if self._asked_cancel:
            return
        self._asked_cancel = True
        call = self._call
        if call is not None and call.answer is None:
            try:
                call.link.cancel(call)
            except Lost:
                self._end(None, Cancelled())

    def _finished(self) -> bool:
        return self._result is not None or self._error is not None

    def _send(self) -> None:
        """Send the request, again if it was sent before. Raises Lost."""
        with self._lock:
            link = self.session.client._linked()
            if self._finished() or (self._call is not None and self._call.link is link):
                return
            self._slot = None  # of another connection, if any
            header, payload, self._slot = frame_message(link, "colour", self._plate)
            header.update(session=self.session.name, generation=self._generation, frame=self.frame)
            if self._output is not None:
                header["output"] = {"path": self._output}
            else:
                header["output"] = self._slot.header() if self._slot is not None else {"inline": True}
            try:
                self._call = link.send(header, payload)
            except WorkerError:
                self._let_go()
                raise

    def _take(
        self,
        header: protocol.Header,
        payload: bytearray,
        progress: Optional[ProgressCallback],
        cancel: Optional[CancelCheck],
    ) -> None:
        if header.get("type") == "result":
            if self._asked_cancel:  # it came too late for the worker, not for the caller
                self._end(None, Cancelled())
            else:
                self._end(self._read(header, payload), None)
            self.session.client._worked()
            return
        try:
            raise_answer(header)
        except NeedFrames as error:
            if self.session.plates is None or self._asked_cancel or self._supplied.issuperset(error.frames):
                self._end(None, error)  # sending the same frames again would not help
                return
            self._supplied.update(error.frames)
            self._let_go()
            try:
                for frame in error.frames:
                    if cancel is not None and cancel():
                        raise Cancelled()
                    self.session.supply(frame, self.session.plates(frame))
                self._send()
            except Lost:
                return  # noticed again by the next wait
            except WorkerError as other:
                self._end(None, other)
            except BaseException:  # of the caller's own function
                self._end(None, error)
                raise
        except WorkerError as error:
            if error.code != "unknown_generation" or self._asked_cancel:
                self._end(None, error)
                return
            self._let_go()
            try:
                self._generation = self.session._define(progress, cancel)
                self._send()
            except WorkerError as other:
                self._end(None, other)

    def _read(self, header: protocol.Header, payload: bytearray) -> FrameResult:
        image = None
        if self._output is None:
            pixels = protocol.parse_pixels(header.get("pixels"))
            data: "protocol.Buffer" = payload
            if self._slot is not None:
                data = self._slot.get(pixels.nbytes, self._into)
            elif self._into is not None:
                memoryview(self._into).cast("B")[: pixels.nbytes] = payload
                data = self._into
            image = Image(data, pixels)
        return FrameResult(
            self.frame,
            str(header.get("output", "")),
            image,
            float(header["confidence"]),
            float(header["low_confidence"]),
            bool(header["cached"]),
            str(header["generation"]),
        )

    def _let_go(self) -> None:
        with self._lock:
            if self._slot is not None:
                self._slot.release()
            self._slot = None
            self._call = None

    def _end(self, result: Optional[FrameResult], error: Optional[WorkerError]) -> None:
        self._let_go()
        self._result, self._error = result, error
        self._plate = ""  # the picture is not needed any more
        self.session.client._under_way.discard(self)


class Session(object):
    """A shot in the worker. Made by :meth:`Client.open_session`.

    ``generation`` changes with everything that alters results. ``plates`` supplies frames the worker asks for.
    """

    def __init__(
        self,
        client: "Client",
        name: str,
        settings: SessionSettings,
        frames: Sequence[int],
        exemplars: Optional[Sequence[Exemplar]],
        plates: Optional[PlateProvider],
    ) -> None:
        self.client = client
        self.name = name
        self.settings = settings
        self.frames = list(frames)
        self.plates = plates
        self.generation = ""
        self._exemplars = None if exemplars is None else list(exemplars)
        self._unfetched: "OrderedDict[int, Ticket]" = OrderedDict()  # what `results` has not given yet
        self._lock = threading.RLock()
        self._sending = threading.RLock()  # requests of the session leave in order; never taken under a ticket's lock

    def set_exemplars(self, exemplars: Iterable[Exemplar], cancel: Optional[CancelCheck] = None) -> None:
        """Replace all exemplars (in this order); a new generation if anything changed. Keys are re-used."""
        self._exemplars = list(exemplars)
        self._define(None, cancel)

    def add_exemplar(self, exemplar: Exemplar, cancel: Optional[CancelCheck] = None) -> None:
        """Add one exemplar after those there. Raises WorkerError where only the worker knows the present ones."""
        if self._exemplars is None:
            raise WorkerError("The session was resumed without naming its exemplars; use set_exemplars.", "input")
        self.set_exemplars([*self._exemplars, exemplar], cancel)

    def set_settings(self, settings: SessionSettings) -> None:
        """Change settings; a new generation if anything changed that alters the result."""
        self.settings = settings
        self._define(None, None)

    def set_frames(self, frames: Sequence[int]) -> None:
        """Change the shot's frames (in the order of play); a new generation if anything changed."""
        self.frames = list(frames)
        self._define(None, None)

    def submit(
        self, frame: int, plate: Plate, output: Optional[str] = None, into: Optional[protocol.Buffer] = None
    ) -> Ticket:
        """Ask for a frame without waiting.

        ``plate``: path of a (baked) EXR or any still the engine reads, taken literally, or an Image. ``output``: path
        of the EXR to write (every channel, metadata and window of the plate kept), taken literally, replaced
        atomically; None returns a buffer in the plate's dtype and layout (``plate`` must then be an Image; ``into`` is
        a writable buffer to put it in, else a new one is made). Blocks only while as many frames as may be are under
        way: 8 of a session, 24 of a client.

        Raises WorkerError for a picture or a buffer that is not of the size it has to be.
        """
        ticket = self._submit(frame, plate, output, into)
        with self._lock:
            self._unfetched[id(ticket)] = ticket
        return ticket

    def _submit(self, frame: int, plate: Plate, output: Optional[str], into: Optional[protocol.Buffer]) -> Ticket:
        if isinstance(plate, Image):
            samples(plate)
            if into is not None:
                check_target(into, answer_bytes(plate.pixels))
        while True:
            first = self._in_the_way()
            if first is None:
                break
            first.wait()
        ticket = Ticket(self, frame, plate, output, into)
        with self._sending:
            self.client._under_way.add(ticket)
            try:
                while True:
                    try:
                        ticket._send()
                        return ticket
                    except Lost:
                        self.client._recover(None if ticket._call is None else ticket._call.link, None, None)
                        self._send_again()
            except BaseException:
                self.client._under_way.discard(ticket)
                raise

    def _in_the_way(self) -> Optional[Ticket]:
        """The frame that has to be done before another may be sent; None where there is room."""
        every = self.client._under_way.tickets()
        own = [ticket for ticket in every if ticket.session is self]
        if len(own) < WINDOW and len(every) < CLIENT_WINDOW:
            return None
        return own[0] if own else every[0]

    def colorize(
        self,
        frame: int,
        plate: Plate,
        output: Optional[str] = None,
        progress: Optional[ProgressCallback] = None,
        cancel: Optional[CancelCheck] = None,
        timeout: Optional[float] = None,
        plates: Optional[PlateProvider] = None,
        into: Optional[protocol.Buffer] = None,
    ) -> FrameResult:
        """Colour one frame and wait. ``plates`` supplies earlier frames the worker asks for (scrubbing)."""
        if plates is not None:
            self.plates = plates
        return self._submit(frame, plate, output, into).result(progress, cancel, timeout)

    def results(
        self, progress: Optional[ProgressCallback] = None, cancel: Optional[CancelCheck] = None
    ) -> Iterator[FrameResult]:
        """Results of the frames submitted so far and not yet fetched, in order of submission.

        Raises the error of the first frame that failed; the iterator may be asked for again for those after it.
        """
        while True:
            with self._lock:
                if not self._unfetched:
                    return
                _, ticket = self._unfetched.popitem(last=False)
            yield ticket.result(progress, cancel)

    def cancel_all(self) -> None:
        """Give up all frames under way."""
        for ticket in reversed(self._under_way()):
            ticket.cancel()

    def supply(self, frame: int, plate: Plate) -> None:
        """Let the worker see a plate frame (its luminance) without colouring it."""

        def ask(link: Link) -> Tuple[Call, Optional[Slot]]:
            header, payload, slot = frame_message(link, "supply", plate)
            header.update(session=self.name, generation=self.generation, frame=frame)
            return link.send(header, payload), slot

        try:
            self.client._ask(ask)
        except WorkerError as error:
            if error.code != "unknown_generation":
                raise
            self._define(None, None)
            self.client._ask(ask)

    def status(self) -> SessionStatus:
        """Frames done, confidence per frame, recommended next exemplar frame, snapshots."""
        header = {"type": "session_status", "session": self.name, "generation": self.generation}
        found = self.client._request(header)["status"]
        return SessionStatus(
            str(found["name"]),
            str(found["generation"]),
            tuple(int(frame) for frame in found["frames"]),
            tuple(int(frame) for frame in found["done"]),
            {int(frame): float(value) for frame, value in found["confidence"].items()},
            found["recommended_exemplar"],
            tuple(int(frame) for frame in found["snapshots"]),
            int(found["exemplars"]),
            int(found["keys_reused"]),
            int(found["keys_encoded"]),
            tuple(str(note) for note in found["notes"]),
        )

    def close(self, forget: bool = False) -> None:
        """Close the session: its state goes to disk; ``forget`` deletes everything kept of it instead."""
        self.client._request({"type": "close_session", "session": self.name, "forget": forget})

    def _define(self, progress: Optional[ProgressCallback], cancel: Optional[CancelCheck]) -> str:
        items, payload = None, bytearray()
        if self._exemplars is not None:
            items = []
            for exemplar in self._exemplars:
                item: "Dict[str, Any]" = {"space": exemplar.space, "frame": exemplar.frame}
                if exemplar.image is not None:
                    payload.extend(samples(exemplar.image))
                    item["pixels"] = exemplar.image.pixels.header()
                else:
                    item["path"] = os.path.abspath(exemplar.path)
                items.append(item)
        header = {
            "type": "define",
            "session": self.name,
            "settings": settings_to_wire(self.settings),
            "frames": runs(self.frames),
            "exemplars": items,
        }
        self.generation = str(self.client._request(header, payload, progress, cancel)["generation"])
        return self.generation

    def _send_again(self) -> None:
        """After a new connection: repeat what was under way, in order."""
        with self._sending:
            for ticket in self._under_way():
                try:
                    if not ticket._asked_cancel:
                        ticket._send()
                except Lost:
                    return  # noticed by the next wait

    def _under_way(self) -> List[Ticket]:
        return [ticket for ticket in self.client._under_way.tickets() if ticket.session is self]

    def _fetched(self, ticket: Ticket) -> None:
        """Keep no picture that its asker has got."""
        with self._lock:
            self._unfetched.pop(id(ticket), None)


class UnderWay(object):
    """The frames of a client that were submitted and have not ended, in order."""

    def __init__(self) -> None:
        self._tickets: "OrderedDict[int, Ticket]" = OrderedDict()
        self._lock = threading.Lock()

    def tickets(self) -> List[Ticket]:
        """All of them, the oldest first."""
        with self._lock:
            return list(self._tickets.values())

    def add(self, ticket: Ticket) -> None:
        """One more."""
        with self._lock:
            self._tickets[id(ticket)] = ticket

    def discard(self, ticket: Ticket) -> None:
        """One less, if it is there."""
        with self._lock:
            self._tickets.pop(id(ticket), None)


def runs(frames: Sequence[int]) -> List[List[int]]:
    """Frame numbers as [first, last, step] runs."""
    runs: "List[List[int]]" = []
    for frame in frames:
        if runs:
            run = runs[-1]
            if run[0] == run[1] and frame != run[1]:
                run[1], run[2] = frame, frame - run[0]
                continue
            if run[0] != run[1] and frame - run[1] == run[2]:
                run[1] = frame
                continue
        runs.append([frame, frame, 1])
    return runs

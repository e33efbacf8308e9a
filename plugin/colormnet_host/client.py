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

import mmap
import os
import threading
import time
from collections import OrderedDict, deque
from types import TracebackType
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, Type, Union

from colormnet_host import endpoint as places
from colormnet_host import protocol
from colormnet_host.job import (
    Exemplar,
    FrameResult,
    Image,
    Progress,
    SessionSettings,
    SessionStatus,
    WorkerStatus,
    settings_to_wire,
)
from colormnet_host.launcher import Launcher, WorkerUnavailable

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

ProgressCallback = Callable[[Progress], Optional[bool]]
CancelCheck = Callable[[], bool]
Plate = Union[str, Image]
PlateProvider = Callable[[int], Plate]

WINDOW = 8  # frames of a session under way at once
SLOTS = 4  # pictures in shared memory at once; further ones go through the socket
RESTARTS = 6  # in a row without a frame finished
OUT_CHANNELS = {1: 3, 2: 4, 3: 3, 4: 4}  # of the answer to a picture of so many channels


class WorkerError(Exception):
    """The worker refused or failed a request; the message is a sentence for the artist.

    ``code``: "input" (the request or a file is at fault), "weights", "device", "stopping", "busy" or "internal".
    """

    def __init__(self, message: str, code: str = "internal") -> None:
        super(WorkerError, self).__init__(message)
        self.code = code


class Cancelled(WorkerError):
    """The caller cancelled; nothing was harmed."""

    def __init__(self, message: str = "cancelled") -> None:
        super(Cancelled, self).__init__(message, "cancelled")


class NeedFrames(WorkerError):
    """Frames before the one asked for were never sent: ``frames``, in order. Use ``plates=`` or ``supply``."""

    def __init__(self, message: str, frames: Sequence[int]) -> None:
        super(NeedFrames, self).__init__(message, "need_frames")
        self.frames = list(frames)


class OutOfMemory(WorkerError):
    """The device's memory is too small; ``working_size`` would fit (0 where none was found). The session survives."""

    def __init__(self, message: str, working_size: int) -> None:
        super(OutOfMemory, self).__init__(message, "out_of_memory")
        self.working_size = working_size


class _Lost(Exception):
    """The worker went away while a call was under way."""


class _Call(object):
    """A message sent, and what came back."""

    def __init__(self, link: "_Link", number: int) -> None:
        self.link = link
        self.number = number
        self.answer: "Optional[Tuple[protocol.Header, bytearray]]" = None
        self.progress: "Deque[Progress]" = deque()


class _Slab(object):
    """Shared memory cut into slots, each for one picture on its way there and back."""

    def __init__(self, number: int, memory: mmap.mmap, slot: int, count: int) -> None:
        self.number = number
        self.memory = memory
        self.slot = slot
        self.count = count
        self.free = [index * slot for index in range(count)]


class _Slot(object):
    """A place in shared memory that is ours until :meth:`release`."""

    def __init__(self, slab: _Slab, offset: int) -> None:
        self.slab = slab
        self.offset = offset

    def put(self, data: protocol.Buffer) -> None:
        view = memoryview(data).cast("B")
        self.slab.memory[self.offset : self.offset + len(view)] = view

    def get(self, size: int, into: Optional[protocol.Buffer]) -> protocol.Buffer:
        if into is None:
            return self.slab.memory[self.offset : self.offset + size]
        with memoryview(self.slab.memory) as whole:
            memoryview(into).cast("B")[:size] = whole[self.offset : self.offset + size]
        return into

    def header(self) -> Dict[str, int]:
        return {"buffer": self.slab.number, "offset": self.offset}

    def release(self) -> None:
        self.slab.free.append(self.offset)


class _Link(object):
    """One connection. Threads that wait take turns in receiving for all."""

    def __init__(self, channel: protocol.Channel, welcome: protocol.Header, use_mmap: bool) -> None:
        self.channel = channel
        self.welcome = welcome
        self.lost = ""
        self._calls: "Dict[int, _Call]" = {}
        self._serial = 0
        self._sending = threading.Lock()
        self._receiving = threading.Lock()
        self._arrived = threading.Condition()
        self._slabs: "List[_Slab]" = []
        self._slab_lock = threading.Lock()
        self._use_mmap = use_mmap

    def send(self, header: protocol.Header, payload: protocol.Buffer = b"") -> _Call:
        """Send a request. Raises _Lost."""
        with self._sending:
            self._serial += 1
            call = _Call(self, self._serial)
            self._calls[call.number] = call
            self._transmit(dict(header, id=call.number), payload)
        return call

    def cancel(self, call: _Call) -> None:
        """Ask for a call to be given up. Raises _Lost."""
        with self._sending:
            self._serial += 1
            self._transmit({"type": "cancel", "id": self._serial, "request": call.number})

    def _transmit(self, header: protocol.Header, payload: protocol.Buffer = b"") -> None:
        if self.lost:
            raise _Lost(self.lost)
        try:
            self.channel.send(header, payload)
        except protocol.ConnectionLost as error:
            self.close(str(error))
            raise _Lost(str(error)) from error

    def wait(self, call: _Call, seconds: float) -> None:
        """Receive until the call has news or the time is over. Raises _Lost."""
        end = time.monotonic() + seconds
        while call.answer is None and not call.progress:
            if self.lost:
                raise _Lost(self.lost)
            left = end - time.monotonic()
            if left <= 0:
                return
            if self._receiving.acquire(False):
                try:
                    if call.answer is None and not call.progress:
                        self._receive(left)
                finally:
                    self._receiving.release()
                    with self._arrived:
                        self._arrived.notify_all()
            else:
                with self._arrived:
                    if call.answer is None and not call.progress:
                        self._arrived.wait(min(left, 0.05))

    def _receive(self, seconds: float) -> None:
        try:
            message = self.channel.receive(seconds, give_up=lambda: bool(self.lost))
        except protocol.ProtocolError as error:
            self.close(str(error))
            return
        if message is None:
            return
        header, payload = message
        number = header.get("id")
        call = self._calls.get(number) if isinstance(number, int) else None
        if call is None:
            return
        if header.get("type") == "progress":
            said = Progress(
                str(header.get("stage", "")),
                str(header.get("message", "")),
                int(header.get("done", 0)),
                int(header.get("total", 0)),
            )
            call.progress.append(said)
        else:
            self._calls.pop(call.number, None)
            call.answer = (header, payload)

    def close(self, why: str = "closed") -> None:
        """Close the connection; calls under way raise _Lost."""
        if not self.lost:
            self.lost = why
        self.channel.close()
        with self._arrived:
            self._arrived.notify_all()

    # --- shared memory --------------------------------------------------------------------------------------------

    def slot(self, size: int) -> Optional[_Slot]:
        """A place for ``size`` bytes in shared memory, None where none can be had now. Raises _Lost."""
        if not self._use_mmap:
            return None
        with self._slab_lock:
            for slab in self._slabs:
                if slab.slot >= size and slab.free:
                    return _Slot(slab, slab.free.pop())
            if any(slab.slot >= size for slab in self._slabs):
                return None  # all in use: this one goes through the socket
            for slab in [slab for slab in self._slabs if len(slab.free) == slab.count]:
                self._slabs.remove(slab)
                slab.memory.close()
                self._finish(self.send({"type": "buffer_done", "buffer": slab.number, "mapped": False}))
            made = self._make_slab(-(-size // 65536) * 65536)
            if made is None:
                self._use_mmap = False  # not to be had here; everything goes through the socket
                return None
            self._slabs.append(made)
            return _Slot(made, made.free.pop())

    def _make_slab(self, slot: int) -> Optional[_Slab]:
        count = max(1, min(SLOTS, (1 << 29) // slot))
        answer = self._finish(self.send({"type": "buffer", "bytes": slot * count}))
        if answer.get("type") != "result":
            return None
        memory = None
        try:
            with open(str(answer["path"]), "r+b") as file:
                memory = mmap.mmap(file.fileno(), int(answer["bytes"]))
            right = memory[:16].hex() == answer["nonce"]
        except (OSError, ValueError):
            right = False
        if memory is not None and not right:
            memory.close()
        self._finish(self.send({"type": "buffer_done", "buffer": answer["buffer"], "mapped": right}))
        return _Slab(int(answer["buffer"]), memory, slot, count) if memory is not None and right else None

    def _finish(self, call: _Call) -> protocol.Header:
        while call.answer is None:
            self.wait(call, 1.0)
        return call.answer[0]


def _raise(header: protocol.Header) -> None:
    """Raise what an error answer says."""
    message, code = str(header.get("message", "the worker failed")), str(header.get("code", "internal"))
    if code == "cancelled":
        raise Cancelled(message)
    if code == "need_frames":
        raise NeedFrames(message, [int(frame) for frame in header.get("frames", [])])
    if code == "out_of_memory":
        raise OutOfMemory(message, int(header.get("working_size", 0)))
    raise WorkerError(message, code)


class Ticket(object):
    """A frame that was submitted; :meth:`result` waits for it."""

    def __init__(
        self, session: "Session", frame: int, plate: Plate, output: Optional[str], into: Optional[protocol.Buffer]
    ) -> None:
        self.session = session
        self.frame = frame
        self._plate = plate
        self._output = output
        self._into = into
        self._call: "Optional[_Call]" = None
        self._slot: "Optional[_Slot]" = None
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

        Cancelling by ``cancel`` or ``progress`` cancels the frame.
        """
        client = self.session.client
        end = None if timeout is None else time.monotonic() + timeout
        while self._result is None and self._error is None:
            if cancel is not None and cancel():
                self.cancel()
            call = self._call
            try:
                if call is None:
                    raise _Lost("not sent")
                call.link.wait(call, 0.1 if end is None else max(0.0, min(0.1, end - time.monotonic())))
            except _Lost:
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
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def done(self) -> bool:
        """Whether :meth:`result` would return at once."""
        call = self._call
        if self._result is None and self._error is None and call is not None:
            try:
                call.link.wait(call, 0.0)
            except _Lost:
                return False
            return call.answer is not None
        return self._result is not None or self._error is not None

    def cancel(self) -> None:
        """Give the frame up, at the latest before the next frame is touched; :meth:`result` raises Cancelled."""
        if self._asked_cancel:
            return
        self._asked_cancel = True
        call = self._call
        if call is not None and call.answer is None:
            try:
                call.link.cancel(call)
            except _Lost:
                self._end(None, Cancelled())

    def _finished(self) -> bool:
        return self._result is not None or self._error is not None

    def _send(self) -> None:
        """Send the request, again if it was sent before. Raises _Lost."""
        with self._lock:
            link = self.session.client._linked()
            if self._finished() or (self._call is not None and self._call.link is link):
                return
            self._slot = None  # of another connection, if any
            header, payload, self._slot = _frame_message(link, "colour", self._plate)
            header.update(session=self.session.name, generation=self._generation, frame=self.frame)
            if self._output is not None:
                header["output"] = {"path": os.path.abspath(self._output)}
            else:
                header["output"] = self._slot.header() if self._slot is not None else {"inline": True}
            self._call = link.send(header, payload)

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
            _raise(header)
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
            except _Lost:
                return  # noticed again by the next wait
            except WorkerError as other:
                self._end(None, other)
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
        self.session._ended(self)


def _frame_message(link: _Link, kind: str, plate: Plate) -> Tuple[protocol.Header, protocol.Buffer, Optional[_Slot]]:
    header: "protocol.Header" = {"type": kind}
    if not isinstance(plate, Image):
        header["plate"] = {"path": os.path.abspath(plate)}
        return header, b"", None
    header["plate"] = {"pixels": plate.pixels.header()}
    size = max(plate.pixels.nbytes, plate.pixels._replace(channels=OUT_CHANNELS[plate.pixels.channels]).nbytes)
    slot = link.slot(size)
    if slot is None:
        return header, plate.data, None
    slot.put(plate.data)
    header["plate"].update(slot.header())
    return header, b"", slot


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
        self._outstanding: "OrderedDict[int, Ticket]" = OrderedDict()
        self._unfetched: "Deque[Ticket]" = deque()
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
        a writable buffer to put it in, else a new one is made). Blocks only while more than the window of frames (8) is
        under way.
        """
        while True:
            with self._lock:
                oldest = next(iter(self._outstanding.values()), None) if len(self._outstanding) >= WINDOW else None
            if oldest is None:
                break
            try:
                oldest.result()
            except WorkerError:
                continue  # whoever asks that ticket hears of it
        ticket = Ticket(self, frame, plate, output, into)
        with self._sending:
            with self._lock:
                self._outstanding[id(ticket)] = ticket
                self._unfetched.append(ticket)
            while True:
                try:
                    ticket._send()
                    return ticket
                except _Lost:
                    self.client._recover(None if ticket._call is None else ticket._call.link, None, None)
                    self._send_again()

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
        ticket = self.submit(frame, plate, output, into)
        with self._lock:
            self._unfetched.remove(ticket)
        return ticket.result(progress, cancel, timeout)

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
                ticket = self._unfetched.popleft()
            yield ticket.result(progress, cancel)

    def cancel_all(self) -> None:
        """Give up all frames under way."""
        with self._lock:
            tickets = list(self._outstanding.values())
        for ticket in reversed(tickets):
            ticket.cancel()

    def supply(self, frame: int, plate: Plate) -> None:
        """Let the worker see a plate frame (its luminance) without colouring it."""

        def ask(link: _Link) -> Tuple[_Call, Optional[_Slot]]:
            header, payload, slot = _frame_message(link, "supply", plate)
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
                    item["pixels"] = exemplar.image.pixels.header()
                    payload.extend(memoryview(exemplar.image.data).cast("B"))
                else:
                    item["path"] = os.path.abspath(exemplar.path)
                items.append(item)
        header = {
            "type": "define",
            "session": self.name,
            "settings": settings_to_wire(self.settings),
            "frames": _runs(self.frames),
            "exemplars": items,
        }
        self.generation = str(self.client._request(header, payload, progress, cancel)["generation"])
        return self.generation

    def _send_again(self) -> None:
        """After a new connection: repeat what was under way, in order."""
        with self._sending:
            with self._lock:
                tickets = list(self._outstanding.values())
            for ticket in tickets:
                try:
                    if not ticket._asked_cancel:
                        ticket._send()
                except _Lost:
                    return  # noticed by the next wait

    def _ended(self, ticket: Ticket) -> None:
        with self._lock:
            self._outstanding.pop(id(ticket), None)


def _runs(frames: Sequence[int]) -> List[List[int]]:
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
        self._link: "Optional[_Link]" = None
        self._lock = threading.RLock()
        self._failures = 0  # restarts since the last frame that worked
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
            self._link = _Link(found[0], found[1], self._use_mmap)
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
        kept: "List[Optional[_Slot]]" = []

        def ask(link: _Link) -> Tuple[_Call, Optional[_Slot]]:
            header, payload, slot = _frame_message(link, "echo", image)
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

    def _linked(self) -> _Link:
        with self._lock:
            if self._link is None or self._link.lost:
                raise _Lost("no connection")
            return self._link

    def _worked(self) -> None:
        self._failures = 0

    def _recover(
        self, dead: Optional[_Link], progress: Optional[ProgressCallback], cancel: Optional[CancelCheck]
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
        send: Callable[[_Link], Tuple[_Call, Optional[_Slot]]],
        progress: Optional[ProgressCallback] = None,
        cancel: Optional[CancelCheck] = None,
    ) -> Tuple[protocol.Header, bytearray]:
        """Send and wait, again after a restart. Only for requests that may be repeated (all of ours)."""
        link: "Optional[_Link]" = None
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
            except _Lost:
                continue
            if call.answer[0].get("type") != "result":
                _raise(call.answer[0])
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
        """Ask a worker that runs already; None where none does."""
        with self._lock:
            if self._link is None or self._link.lost:
                try:
                    self.connect(launch=False)
                except WorkerUnavailable:
                    if self.launcher.find() is None:
                        return None
                    raise
        link = self._linked()
        try:
            call = link.send(header)
            while call.answer is None:
                link.wait(call, 0.5)
        except _Lost:
            return None
        if call.answer[0].get("type") != "result":
            _raise(call.answer[0])
        return call.answer[0]

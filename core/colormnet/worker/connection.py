"""One client: its hello, its requests, its shared memory. Whatever it sends harms no other client."""

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from colormnet_host import protocol
from colormnet_host.protocol import Channel, ConnectionLost, Header, ProtocolError

from ..errors import InputError
from .answers import Busy, Cancelled, error_header, expected
from .buffers import SharedBuffer
from .device import Task
from .pictures import out_layout
from .requests import (
    checked_pixels,
    parse_exemplars,
    parse_frame,
    parse_frames,
    parse_name,
    parse_path,
    parse_settings,
)
from .service import Service
from .tasks import OneAnswer, OutputWanted, PlateInput

log = logging.getLogger(__name__)

SEND_SECONDS = 30.0  # a client that takes nothing for so long is let go
PROGRESS_BACKLOG = 64  # progress is dropped while so many messages wait for the client
MAX_BUFFERS = 16


class Request(OneAnswer):
    """A client's request and the one answer it gets."""

    def __init__(self, connection: "Connection", number: int) -> None:
        super().__init__()
        self._connection = connection
        self.number = number
        self.task: Task | None = None

    def begin(self, task: Task) -> None:
        """Note the task that works on it; let go of it with the answer, so that its pixels go at once."""
        self.task = task
        if self.answered:
            self.task = None

    def done(self, header: Header, payload: bytes | bytearray | memoryview = b"") -> None:
        """The result."""
        if self.claim():
            self._connection.answer(self, {**header, "id": self.number}, payload)

    def deliver(self, write: Callable[[], None], header: Header) -> None:
        """The result, after ``write`` has put the pixels into shared memory."""
        if self.claim(write):
            self._connection.answer(self, {**header, "id": self.number})

    def failed(self, error: BaseException) -> None:
        """No result."""
        if self.claim():
            self._connection.answer(self, {**error_header(error), "id": self.number})

    def said(self, stage: str, message: str, done: int = 0, total: int = 0) -> None:
        """Progress."""
        header = {"type": "progress", "id": self.number, "stage": stage, "message": message}
        if not self.answered:
            self._connection.progress({**header, "done": done, "total": total})


class Connection:
    """A client from hello to good-bye."""

    def __init__(
        self,
        sock: socket.socket,
        service: Service,
        token: str,
        folder: Path,
        left: "Callable[[Connection], None]",
        count: Callable[[], int],
    ) -> None:
        """``folder``: for buffers on systems without anonymous ones; ``left`` is called when the client has gone.

        ``count`` tells how many clients there are.
        """
        self._count = count
        self.service = service
        self.name = ""
        self.admitted = False
        self.since = time.monotonic()
        self._token = token
        self._folder = folder
        self._left = left
        self._channel = Channel(sock)
        self._outgoing: queue.Queue[tuple[Header, bytes | bytearray | memoryview] | None] = queue.Queue()
        self._requests: dict[int, Request] = {}
        self._lock = threading.Lock()
        self._buffers: dict[int, SharedBuffer] = {}
        self._buffer_serial = 0
        self._unsent = 0  # answers that wait for the client to take them
        self._closed = False
        self._writer: threading.Thread | None = None

    def serve(self) -> None:
        """Speak with the client until it leaves or breaks the rules; for a thread of its own."""
        try:
            patience = self.service.limits.message_seconds / 2
            protocol.admit(self._channel, self._token, self._welcome(), patience, self._note)
            writer = threading.Thread(target=self._write, name="colormnet-writer", daemon=True)
            writer.start()
            self._writer = writer  # from here on `close`, which another thread may call at any moment, waits for it
            while not self._closed:
                message = self._channel.receive(
                    give_up=lambda: self._closed, message_time=self.service.limits.message_seconds
                )
                if message is None:
                    break
                self._dispatch(*message)
        except ConnectionLost as error:
            log.debug("client %s: %s", self.name, error)
        except ProtocolError as error:
            log.warning("client %s was let go: %s", self.name or "(no hello)", error)
        except Exception:
            log.exception("the connection of client %s failed", self.name)
        finally:
            self.close()

    def _note(self, hello: Header) -> None:
        """Count the client, before it has its welcome and could ask, or bring others beyond the limit."""
        self.name = "".join(letter for letter in str(hello.get("client", ""))[:60] if letter.isprintable())
        self.admitted = True

    def _welcome(self) -> Header:
        from .. import __version__

        service = self.service
        return {"engine": __version__, "device": service.device_name, "device_note": service.device_note}

    def close(self) -> None:
        """Give up the client's requests and let go of what was its own. Safe to call twice, from any thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            requests = list(self._requests.values())
            self._requests.clear()
            buffers = list(self._buffers.values())
            self._buffers.clear()
        for request in requests:
            task = request.task
            if task is not None and request.claim():
                self.service.device.cancel(task)
                request.task = None
        self._outgoing.put(None)
        if self._writer is not None and self._writer is not threading.current_thread():
            self._writer.join(timeout=1.0)
        self._channel.close()
        for buffer in buffers:
            buffer.close()
        self._left(self)

    # --- sending --------------------------------------------------------------------------------------------------

    def answer(self, request: Request, header: Header, payload: bytes | bytearray | memoryview = b"") -> None:
        """The last message of a request."""
        request.task = None
        with self._lock:
            self._requests.pop(request.number, None)
            self._unsent += 1
        if not self._closed:
            self._outgoing.put((header, payload))

    def progress(self, header: Header) -> None:
        """Queue a message that may be left out; never waits for the client."""
        if not self._closed and self._outgoing.qsize() <= PROGRESS_BACKLOG:
            self._outgoing.put((header, b""))

    def _write(self) -> None:
        while (item := self._outgoing.get()) is not None:
            header, payload = item
            try:
                try:
                    self._channel.send(header, payload, SEND_SECONDS)
                except ConnectionLost:
                    raise
                except (ProtocolError, ValueError, TypeError) as error:  # nothing of it was sent
                    log.exception("an answer to client %s cannot be sent", self.name)
                    self._channel.send({**error_header(error), "id": header.get("id")}, b"", SEND_SECONDS)
            except ProtocolError as error:
                log.info("client %s: %s", self.name, error)
                self.close()
                return
            if header.get("type") != "progress":
                with self._lock:
                    self._unsent -= 1

    # --- requests -------------------------------------------------------------------------------------------------

    def _dispatch(self, header: Header, payload: bytearray) -> None:
        number, kind = header.get("id"), header.get("type")
        if type(number) is not int or not 0 <= number < 1 << 53 or not isinstance(kind, str):
            raise ProtocolError("a request needs a type and an id")
        if kind == "cancel":
            self._cancel(header)
            return
        request = Request(self, number)
        with self._lock:
            if number in self._requests:
                raise ProtocolError(f"the id {number} is in use")
            full = len(self._requests) + self._unsent >= self.service.limits.pending
            self._requests[number] = request
        try:
            if full:
                raise Busy("Too many requests are under way; wait for some of them.")
            handler = self._handlers.get(kind)
            if handler is None:
                raise InputError(f"The worker does not know the request '{kind[:40]}'.")
            handler(self, request, header, payload)
        except Exception as error:
            if not expected(error):
                log.exception("request %s of client %s failed", kind[:40], self.name)
            request.failed(error)

    def _cancel(self, header: Header) -> None:
        number = header.get("request")
        with self._lock:
            request = self._requests.get(number) if type(number) is int else None
        if request is None:
            return  # answered already
        task = request.task
        if task is not None:
            self.service.device.cancel(task)
        request.failed(Cancelled())

    def _later(self, request: Request, future: "Future[Any]", key: str) -> None:
        def answer(done: "Future[Any]") -> None:
            error = done.exception()
            if error is not None:
                request.failed(error)
            else:
                request.done({"type": "result", key: done.result()})

        future.add_done_callback(answer)

    def _ping(self, request: Request, header: Header, payload: bytearray) -> None:
        request.done({"type": "result"})

    def _echo(self, request: Request, header: Header, payload: bytearray) -> None:
        """Give the pixels back: what the way there and back costs, for benchmarks and health checks."""
        plate = self._plate(header, payload)
        if plate.path is not None:
            raise InputError("An echo needs pixels.")
        output = self._output(header, plate)
        if output.shared is None:
            request.done({"type": "result"}, bytearray(plate.raw))
            return
        target, source = output.shared, memoryview(plate.raw)

        def write() -> None:
            target[: len(source)] = source

        request.deliver(write, {"type": "result"})

    def _status(self, request: Request, header: Header, payload: bytearray) -> None:
        request.done({"type": "result", "status": self.service.status(self._count())})

    def _sessions(self, request: Request, header: Header, payload: bytearray) -> None:
        request.done({"type": "result", "sessions": self.service.sessions.overview()})

    def _define(self, request: Request, header: Header, payload: bytearray) -> None:
        settings = parse_settings(header.get("settings"))
        frames = parse_frames(header.get("frames"))
        exemplars = None
        if header.get("exemplars") is not None:
            exemplars = parse_exemplars(header["exemplars"], len(payload))
        name = parse_name(header.get("session"))
        request.begin(self.service.define(request, name, settings, frames, exemplars, payload))

    def _colour(self, request: Request, header: Header, payload: bytearray) -> None:
        plate = self._plate(header, payload)
        request.begin(
            self.service.colour(
                request,
                parse_name(header.get("session")),
                str(header.get("generation", "")),
                parse_frame(header.get("frame")),
                plate,
                self._output(header, plate),
            )
        )

    def _supply(self, request: Request, header: Header, payload: bytearray) -> None:
        request.begin(
            self.service.supply(
                request,
                parse_name(header.get("session")),
                str(header.get("generation", "")),
                parse_frame(header.get("frame")),
                self._plate(header, payload),
            )
        )

    def _session_status(self, request: Request, header: Header, payload: bytearray) -> None:
        name = parse_name(header.get("session"))
        self._later(request, self.service.session_status(name, str(header.get("generation", ""))), "status")

    def _close_session(self, request: Request, header: Header, payload: bytearray) -> None:
        request.begin(self.service.close(request, parse_name(header.get("session")), header.get("forget") is True))

    def _free(self, request: Request, header: Header, payload: bytearray) -> None:
        self._later(request, self.service.free(), "freed")

    def _stop(self, request: Request, header: Header, payload: bytearray) -> None:
        request.done({"type": "result"})
        self.service.stop_asked.set()

    def _watch(self, request: Request, header: Header, payload: bytearray) -> None:
        if self.service.watch is None:
            raise InputError("This worker watches no folders.")
        self.service.watch(parse_path(header.get("folder"), "the folder"))
        request.done({"type": "result"})

    # --- pixels ---------------------------------------------------------------------------------------------------

    def _plate(self, header: Header, payload: bytearray) -> PlateInput:
        plate = header.get("plate")
        if not isinstance(plate, dict):
            raise InputError("A plate is missing.")
        if "path" in plate:
            return PlateInput(parse_path(plate["path"], "the plate"))
        layout = checked_pixels(plate.get("pixels"))
        if "buffer" not in plate:
            if len(payload) != layout.nbytes:
                raise InputError(f"A picture of {layout.nbytes} bytes was announced and {len(payload)} came.")
            return PlateInput(None, layout, payload)
        return PlateInput(None, layout, self._shared(plate, layout.nbytes))

    def _output(self, header: Header, plate: PlateInput) -> OutputWanted:
        output = header.get("output")
        if not isinstance(output, dict):
            raise InputError("It is not said where the result goes.")
        if "path" in output:
            return OutputWanted(parse_path(output["path"], "the output"))
        if "buffer" in output:
            if plate.layout is None:
                raise InputError("A plate that comes as a file goes out as a file; name the output.")
            return OutputWanted(None, self._shared(output, out_layout(plate.layout).nbytes))
        return OutputWanted(None)

    def _shared(self, where: dict[str, Any], size: int) -> memoryview:
        number, offset = where.get("buffer"), where.get("offset", 0)
        if type(number) is not int or type(offset) is not int:
            raise InputError("A place in shared memory needs a buffer and an offset.")
        with self._lock:
            buffer = self._buffers.get(number)
        if buffer is None:
            raise InputError(f"There is no shared buffer {number}.")
        return buffer.view(offset, size)

    def _buffer(self, request: Request, header: Header, payload: bytearray) -> None:
        size = header.get("bytes")
        with self._lock:
            held = sum(buffer.size for buffer in self._buffers.values())
            count = len(self._buffers)
        if type(size) is not int or size < 1 or held + size > self.service.limits.buffer_bytes or count >= MAX_BUFFERS:
            raise InputError(f"A shared buffer of {size} bytes is more than the worker gives to one client.")
        try:
            buffer = SharedBuffer(max(size, protocol.PREFIX.size * 4), self._folder)
        except OSError as error:
            raise InputError(f"No shared memory can be had ({error}).") from error
        with self._lock:
            if self._closed:
                buffer.close()
                return
            self._buffer_serial += 1
            number = self._buffer_serial
            self._buffers[number] = buffer
        request.done(
            {"type": "result", "buffer": number, "path": buffer.path, "bytes": buffer.size, "nonce": buffer.nonce.hex()}
        )

    def _buffer_done(self, request: Request, header: Header, payload: bytearray) -> None:
        """The client has mapped the buffer ("mapped": true), or does not want it any more."""
        number = header.get("buffer")
        if type(number) is not int:
            raise InputError("The number of the shared buffer is missing.")
        mapped = header.get("mapped") is True
        with self._lock:
            buffer = self._buffers.get(number) if mapped else self._buffers.pop(number, None)
        if buffer is not None and mapped:
            buffer.handed_over()
        elif buffer is not None:
            buffer.close()
        request.done({"type": "result"})

    _handlers: dict[str, Callable[["Connection", Request, Header, bytearray], None]] = {  # noqa: RUF012 - a table
        "ping": _ping,
        "echo": _echo,
        "status": _status,
        "sessions": _sessions,
        "define": _define,
        "colour": _colour,
        "supply": _supply,
        "session_status": _session_status,
        "close_session": _close_session,
        "free": _free,
        "stop": _stop,
        "watch": _watch,
        "buffer": _buffer,
        "buffer_done": _buffer_done,
    }

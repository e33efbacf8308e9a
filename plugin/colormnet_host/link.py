"""One connection of a host to the worker: requests and their answers, and pictures through shared memory.

Standard library only, Python 3.6 on. The rest of the package is built on it; hosts use :mod:`colormnet_host.client`.
"""

import mmap
import os
import threading
import time
from collections import deque
from typing import Deque, Dict, List, Optional, Tuple, Union

from colormnet_host import protocol
from colormnet_host.errors import WorkerError
from colormnet_host.job import Image, Progress

SLOTS = 4  # pictures in shared memory at once; further ones go through the socket
OUT_CHANNELS = {1: 3, 2: 4, 3: 3, 4: 4}  # of the answer to a picture of so many channels

Plate = Union[str, Image]


class Lost(Exception):
    """The worker went away while a call was under way."""


class Call(object):
    """A message sent, and what came back."""

    def __init__(self, link: "Link", number: int) -> None:
        self.link = link
        self.number = number
        self.answer: "Optional[Tuple[protocol.Header, bytearray]]" = None
        self.progress: "Deque[Progress]" = deque()


class Slab(object):
    """Shared memory cut into slots, each for one picture on its way there and back."""

    def __init__(self, number: int, memory: mmap.mmap, slot: int, count: int) -> None:
        self.number = number
        self.memory = memory
        self.slot = slot
        self.count = count
        self.free = [index * slot for index in range(count)]


class Slot(object):
    """A place in shared memory that is ours until :meth:`release`."""

    def __init__(self, slab: Slab, offset: int) -> None:
        self.slab = slab
        self.offset = offset

    def put(self, data: protocol.Buffer) -> None:
        """Copy a picture's bytes in; they must fit."""
        view = memoryview(data).cast("B")
        self.slab.memory[self.offset : self.offset + len(view)] = view

    def get(self, size: int, into: Optional[protocol.Buffer]) -> protocol.Buffer:
        """Copy ``size`` bytes out, into a writable buffer of at least that size or (None) a new one; gives it."""
        if into is None:
            return self.slab.memory[self.offset : self.offset + size]
        with memoryview(self.slab.memory) as whole:
            memoryview(into).cast("B")[:size] = whole[self.offset : self.offset + size]
        return into

    def header(self) -> Dict[str, int]:
        """The place, as a request names it."""
        return {"buffer": self.slab.number, "offset": self.offset}

    def release(self) -> None:
        """Let another picture have the place."""
        self.slab.free.append(self.offset)


class Link(object):
    """One connection. Threads that wait take turns in receiving for all."""

    def __init__(self, channel: protocol.Channel, welcome: protocol.Header, use_mmap: bool) -> None:
        self.channel = channel
        self.welcome = welcome
        self.lost = ""
        self._calls: "Dict[int, Call]" = {}
        self._serial = 0
        self._sending = threading.Lock()
        self._receiving = threading.Lock()
        self._arrived = threading.Condition()
        self._slabs: "List[Slab]" = []
        self._slab_lock = threading.Lock()
        self._use_mmap = use_mmap

    def send(self, header: protocol.Header, payload: protocol.Buffer = b"") -> Call:
        """Send a request. Raises Lost, and WorkerError where the request is not one that can be sent."""
        with self._sending:
            self._serial += 1
            call = Call(self, self._serial)
            self._calls[call.number] = call
            try:
                self._transmit(dict(header, id=call.number), payload)
            except BaseException:
                del self._calls[call.number]
                raise
        return call

    def cancel(self, call: Call) -> None:
        """Ask for a call to be given up. Raises Lost."""
        with self._sending:
            self._serial += 1
            self._transmit({"type": "cancel", "id": self._serial, "request": call.number})

    def _transmit(self, header: protocol.Header, payload: protocol.Buffer = b"") -> None:
        if self.lost:
            raise Lost(self.lost)
        try:
            self.channel.send(header, payload)
        except protocol.ConnectionLost as error:
            self.close(str(error))
            raise Lost(str(error)) from error
        except (protocol.ProtocolError, ValueError, TypeError) as error:
            # Nothing was sent: a number that is not finite, a value that JSON does not have, a list too long.
            raise WorkerError("The request cannot be sent (%s); correct its settings." % error, "input") from error

    def wait(self, call: Call, seconds: float) -> None:
        """Receive until the call has news or the time is over. Raises Lost."""
        end = time.monotonic() + seconds
        while call.answer is None and not call.progress:
            if self.lost:
                raise Lost(self.lost)
            left = end - time.monotonic()
            if left <= 0:
                return
            if self._receiving.acquire(False):
                try:
                    if call.answer is None and not call.progress:
                        self._receive(left)
                finally:
                    self._received()
            else:
                with self._arrived:
                    if call.answer is None and not call.progress:
                        self._arrived.wait(min(left, 0.05))

    def look(self, call: Call) -> bool:
        """Take in what has arrived, without waiting for more; whether the call is answered. Raises Lost."""
        while call.answer is None:
            if self.lost:
                raise Lost(self.lost)
            if not self._receiving.acquire(False):
                return False  # another thread takes it in
            try:
                if call.answer is None:
                    if not self.channel.ready():
                        return False
                    self._receive(0.0)
            finally:
                self._received()
        return True

    def _received(self) -> None:
        self._receiving.release()
        with self._arrived:
            self._arrived.notify_all()

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
        """Close the connection; calls under way raise Lost."""
        if not self.lost:
            self.lost = why
        self.channel.close()
        with self._arrived:
            self._arrived.notify_all()

    # --- shared memory --------------------------------------------------------------------------------------------

    def slot(self, size: int) -> Optional[Slot]:
        """A place for ``size`` bytes in shared memory, None where none can be had now. Raises Lost."""
        if not self._use_mmap:
            return None
        with self._slab_lock:
            for slab in self._slabs:
                if slab.slot >= size and slab.free:
                    return Slot(slab, slab.free.pop())
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
            return Slot(made, made.free.pop())

    def _make_slab(self, slot: int) -> Optional[Slab]:
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
        return Slab(int(answer["buffer"]), memory, slot, count) if memory is not None and right else None

    def _finish(self, call: Call) -> protocol.Header:
        while call.answer is None:
            self.wait(call, 1.0)
        return call.answer[0]


def samples(image: Image) -> memoryview:
    """A picture's samples as bytes. Raises WorkerError where they are not what its description says."""
    try:
        pixels = protocol.parse_pixels(image.pixels.header())
    except protocol.ProtocolError as error:
        raise WorkerError("A picture is described wrongly: %s." % error, "input") from error
    view = _bytes_of(image.data, "A picture's samples")
    if view.nbytes != pixels.nbytes:
        text = "A picture of %dx%d pixels with %d %s channels has %d bytes, and %d were given; check its description."
        numbers = (pixels.width, pixels.height, pixels.channels, pixels.dtype, pixels.nbytes, view.nbytes)
        raise WorkerError(text % numbers, "input")
    return view


def answer_bytes(pixels: protocol.Pixels) -> int:
    """Size of the coloured picture that comes back for one of that layout."""
    return pixels._replace(channels=OUT_CHANNELS[pixels.channels]).nbytes


def check_target(into: protocol.Buffer, size: int) -> None:
    """Raise WorkerError unless ``size`` bytes can be written to a buffer."""
    view = _bytes_of(into, "The buffer for the result")
    if view.readonly or view.nbytes < size:
        state = "can only be read" if view.readonly else "has %d bytes" % view.nbytes
        raise WorkerError("The result takes a writable buffer of %d bytes; the one given %s." % (size, state), "input")


def _bytes_of(data: protocol.Buffer, what: str) -> memoryview:
    try:
        return memoryview(data).cast("B")
    except TypeError as error:
        raise WorkerError("%s must be bytes in one piece (%s)." % (what, error), "input") from error


def frame_message(link: Link, kind: str, plate: Plate) -> Tuple[protocol.Header, protocol.Buffer, Optional[Slot]]:
    """Header, payload and place in shared memory of a request that carries a plate; the plate is in its place.

    Raises Lost, and WorkerError for a picture that is not what it says.
    """
    header: "protocol.Header" = {"type": kind}
    if not isinstance(plate, Image):
        header["plate"] = {"path": os.path.abspath(plate)}
        return header, b"", None
    data = samples(plate)
    header["plate"] = {"pixels": plate.pixels.header()}
    slot = link.slot(max(plate.pixels.nbytes, answer_bytes(plate.pixels)))
    if slot is None:
        return header, data, None
    slot.put(data)
    header["plate"].update(slot.header())
    return header, b"", slot

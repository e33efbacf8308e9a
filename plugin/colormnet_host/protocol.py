"""The wire between a host and the worker: framed messages, the hello, and how pixels are described.

Standard library only; runs on every Python from 3.6 on, so that any host can import it.

A message is ``MAGIC``, the header's length (uint32), the payload's length (uint64), both big-endian, then the header
(a JSON object in UTF-8) and the payload (raw bytes). Nothing is ever unpickled. Both lengths are capped, and a message
that has begun must arrive whole within a time limit, so that a slow or malicious peer cannot hold a thread for ever.

The hello (every message with an empty payload, at most ``HELLO_HEADER`` bytes)::

    client -> {"type": "hello", "protocol": [major, minor], "nonce": hex, "client": name, "pid": number}
    worker -> {"type": "challenge", "protocol": [major, minor], "nonce": hex, "proof": HMAC(token, "worker", nonces)}
    client -> {"type": "proof", "proof": HMAC(token, "client", nonces)}
    worker -> {"type": "welcome", ...}   or   {"type": "refused", "message": why}

Both sides thereby show that they know the token of the endpoint file without sending it. HMAC is HMAC-SHA256.
After the welcome every request carries ``"id"`` (a number chosen by the client); every answer repeats it.
"""

import hmac
import json
import os
import select
import socket
import struct
import time
from hashlib import sha256
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple, Union

MAGIC = b"CMNW"
VERSION = (1, 0)  # the major numbers of both sides must be equal
PREFIX = struct.Struct(">4sIQ")
MAX_HEADER = 1 << 23  # the status of a session of 100,000 frames takes six million bytes
MAX_PAYLOAD = 1 << 30
HELLO_HEADER = 4096
TICK = 0.1  # seconds between looks at the deadline and at `give_up`
SLOWEST = 4 << 20  # bytes per second below which a payload is taken to have stalled

Header = Dict[str, Any]
Buffer = Union[bytes, bytearray, memoryview]


class ProtocolError(Exception):
    """The peer did not keep to the protocol; the connection is of no further use."""


class ConnectionLost(ProtocolError):
    """The peer has gone, or stopped in the middle of a message."""


class Refused(ProtocolError):
    """The hello failed: wrong token, or a protocol of another major version."""


class Pixels(NamedTuple):
    """How raw pixels are laid out; samples are native-endian.

    ``dtype``: "half" or "float". ``channels``: 1 to 4. ``layout``: "interleaved" (H, W, C) or "planar" (C, H, W).
    """

    width: int
    height: int
    channels: int = 3
    dtype: str = "half"
    layout: str = "interleaved"

    @property
    def nbytes(self) -> int:
        """Size of the picture in bytes."""
        return self.width * self.height * self.channels * (2 if self.dtype == "half" else 4)

    def header(self) -> Header:
        """The description as a JSON object."""
        return dict(self._asdict())


MAX_SIDE = 65536


def parse_pixels(header: Any) -> Pixels:
    """Check a description that came over the wire; raises ProtocolError."""
    if not isinstance(header, dict):
        raise ProtocolError("a picture's description must be an object")
    numbers = []
    for name, low, high in (("width", 1, MAX_SIDE), ("height", 1, MAX_SIDE), ("channels", 1, 4)):
        value = header.get(name)
        if type(value) is not int or not low <= value <= high:
            raise ProtocolError("a picture's %s must be a whole number from %d to %d" % (name, low, high))
        numbers.append(value)
    dtype, layout = header.get("dtype"), header.get("layout")
    if dtype not in ("half", "float"):
        raise ProtocolError("a picture's dtype must be half or float")
    if layout not in ("interleaved", "planar"):
        raise ProtocolError("a picture's layout must be interleaved or planar")
    pixels = Pixels(numbers[0], numbers[1], numbers[2], str(dtype), str(layout))
    if pixels.nbytes > MAX_PAYLOAD:
        raise ProtocolError("a picture of %d bytes is above the limit of %d" % (pixels.nbytes, MAX_PAYLOAD))
    return pixels


def _no_constant(text: str) -> None:
    raise ValueError("%s is not JSON" % text)


def decode_header(raw: Buffer) -> Header:
    """Parse a header; raises ProtocolError on anything but a JSON object with finite numbers."""
    try:
        header = json.loads(bytes(raw).decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("the header is not a JSON object: %s" % str(error)[:80]) from error
    if not isinstance(header, dict):
        raise ProtocolError("the header is not a JSON object")
    return header


class Channel:
    """A connected socket that speaks in messages. One thread may receive while others send."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(TICK)  # never changed again: receiving and sending threads share it
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            try:
                sock.setsockopt(socket.SOL_SOCKET, option, 1 << 20)  # fewer turns for pixels sent inline
            except OSError:
                continue  # the system's own size will do
        self._sock = sock
        self.closed = False

    def fileno(self) -> int:
        """The socket's descriptor, -1 when closed."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close the socket; a thread that is receiving gets ConnectionLost."""
        self.closed = True
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            self.closed = True  # the peer was quicker
        self._sock.close()

    def ready(self) -> bool:
        """Whether something has arrived, or the connection has ended: receiving would not wait."""
        try:
            if hasattr(select, "poll"):
                poller = select.poll()
                poller.register(self._sock, select.POLLIN)
                return bool(poller.poll(0))
            return bool(select.select([self._sock], [], [], 0)[0])
        except (OSError, ValueError):
            return True  # closed: receiving says so

    def send(self, header: Header, payload: Buffer = b"", timeout: float = 30.0) -> None:
        """Send one message; raises ConnectionLost when the peer is gone or takes nothing for ``timeout`` seconds.

        Raises ProtocolError, ValueError or TypeError, with nothing sent, for what is no message: above the caps, a
        number that is not finite, a value that JSON does not have, a payload in pieces.
        """
        raw = json.dumps(header, separators=(",", ":"), allow_nan=False).encode("utf-8")
        data = memoryview(payload)
        size = data.nbytes
        data = data.cast("B") if size else data
        if len(raw) > MAX_HEADER or size > MAX_PAYLOAD:
            raise ProtocolError("a message of %d + %d bytes is above the limit" % (len(raw), size))
        start = PREFIX.pack(MAGIC, len(raw), size) + raw
        self._send_all(memoryview(start), timeout)
        if size:
            self._send_all(data, timeout)

    def _send_all(self, view: memoryview, timeout: float) -> None:
        last = time.monotonic()
        while view:
            try:
                count = self._sock.send(view)
            except socket.timeout:
                if time.monotonic() - last > timeout:
                    raise ConnectionLost("the peer takes no data") from None
                continue
            except (OSError, ValueError) as error:
                raise ConnectionLost("the connection broke while sending (%s)" % error) from error
            view = view[count:]
            last = time.monotonic()

    def receive(
        self,
        wait: Optional[float] = None,
        give_up: Optional[Callable[[], bool]] = None,
        message_time: float = 10.0,
        max_header: int = MAX_HEADER,
        max_payload: int = MAX_PAYLOAD,
    ) -> Optional[Tuple[Header, bytearray]]:
        """The next message, or None when none begins within ``wait`` seconds (None: for ever) or ``give_up()`` is true.

        A message that has begun must be whole within ``message_time`` seconds (plus time for its payload at
        ``SLOWEST``). Raises ConnectionLost, and ProtocolError on a wrong magic, lengths above the caps or a bad header.
        """
        prefix = bytearray(PREFIX.size)
        view = memoryview(prefix)
        begin = time.monotonic()
        got = 0
        while not got:
            try:
                got = self._read(view)
            except socket.timeout:
                if give_up is not None and give_up():
                    return None
                if wait is not None and time.monotonic() - begin >= wait:
                    return None
        deadline = time.monotonic() + message_time
        self._read_all(view[got:], deadline)
        magic, header_size, payload_size = PREFIX.unpack(bytes(prefix))
        if magic != MAGIC:
            raise ProtocolError("this is not a ColorMNet message")
        if header_size > max_header:
            raise ProtocolError("a header of %d bytes is above the limit of %d" % (header_size, max_header))
        if payload_size > max_payload:
            raise ProtocolError("a payload of %d bytes is above the limit of %d" % (payload_size, max_payload))
        raw = bytearray(header_size)
        self._read_all(memoryview(raw), deadline)
        header = decode_header(raw)
        payload = self._read_payload(payload_size, deadline + payload_size / SLOWEST)
        return header, payload

    def _read_payload(self, size: int, deadline: float) -> bytearray:
        """Read in growing pieces: a peer that only announces a gigabyte must not make us allocate one."""
        payload = bytearray()
        while len(payload) < size:
            done = len(payload)
            payload.extend(bytes(min(size - done, max(1 << 24, done))))
            piece = memoryview(payload)[done:]
            try:
                self._read_all(piece, deadline)
            finally:
                piece.release()
        return payload

    def _read(self, view: memoryview) -> int:
        try:
            count = self._sock.recv_into(view)
        except socket.timeout:
            raise
        except (OSError, ValueError) as error:
            raise ConnectionLost("the connection broke (%s)" % error) from error
        if not count:
            raise ConnectionLost("the peer closed the connection")
        return count

    def _read_all(self, view: memoryview, deadline: float) -> None:
        while view:
            if time.monotonic() > deadline:
                raise ConnectionLost("a message did not arrive whole in time")
            try:
                count = self._read(view)
            except socket.timeout:
                continue
            view = view[count:]


def new_token() -> str:
    """A fresh secret for an endpoint file: 32 random bytes in hex."""
    return os.urandom(32).hex()


def proof(token: str, side: str, client_nonce: str, worker_nonce: str) -> str:
    """HMAC-SHA256 of both nonces under the token; ``side`` is "client" or "worker", so neither can be replayed."""
    text = "\0".join((side, client_nonce, worker_nonce)).encode("utf-8")
    return hmac.new(token.encode("utf-8"), text, sha256).hexdigest()


def _expect(message: Optional[Tuple[Header, bytearray]], kind: str) -> Header:
    if message is None:
        raise ConnectionLost("the peer did not say hello in time")
    header = message[0]
    if header.get("type") == "refused":
        raise Refused(str(header.get("message", "the worker refused the connection")))
    if header.get("type") != kind:
        raise ProtocolError("expected %s, got %s" % (kind, str(header.get("type"))[:40]))
    return header


def _nonce(header: Header) -> str:
    value = header.get("nonce")
    if not isinstance(value, str) or not 16 <= len(value) <= 128:
        raise ProtocolError("a nonce must be a text of 16 to 128 characters")
    return value


def _major(header: Header) -> int:
    version = header.get("protocol")
    if not isinstance(version, list) or not version or type(version[0]) is not int:
        raise ProtocolError("a hello must name its protocol version")
    return int(version[0])


def greet(channel: Channel, token: str, client: str, timeout: float = 10.0) -> Header:
    """The client's side of the hello; gives the welcome. Raises Refused, ConnectionLost or ProtocolError."""
    mine = os.urandom(16).hex()
    channel.send(
        {"type": "hello", "protocol": list(VERSION), "nonce": mine, "client": client[:200], "pid": os.getpid()}
    )
    challenge = _expect(channel.receive(timeout, max_header=HELLO_HEADER, max_payload=0), "challenge")
    if _major(challenge) != VERSION[0]:
        raise Refused("the worker speaks protocol %s, this host %s" % (challenge.get("protocol"), list(VERSION)))
    theirs = _nonce(challenge)
    if not hmac.compare_digest(str(challenge.get("proof", "")).encode(), proof(token, "worker", mine, theirs).encode()):
        raise Refused("the peer at the worker's address does not know the token")
    channel.send({"type": "proof", "proof": proof(token, "client", mine, theirs)})
    return _expect(channel.receive(timeout, max_header=HELLO_HEADER, max_payload=0), "welcome")


def admit(
    channel: Channel,
    token: str,
    welcome: Header,
    timeout: float = 5.0,
    admitted: Callable[[Header], None] = lambda hello: None,
) -> Header:
    """The worker's side of the hello; gives the client's hello. Raises like :func:`greet`, after telling the peer.

    ``admitted`` is called with the hello before the welcome is sent: whoever has its welcome has been noted already.
    """
    hello = _expect(channel.receive(timeout, message_time=timeout, max_header=HELLO_HEADER, max_payload=0), "hello")
    theirs = _nonce(hello)
    if _major(hello) != VERSION[0]:
        why = "the worker speaks protocol %s, the host %s: install matching versions" % (
            list(VERSION),
            hello.get("protocol"),
        )
        channel.send({"type": "refused", "message": why[:400]})
        raise Refused(why)
    mine = os.urandom(16).hex()
    challenge = {"type": "challenge", "protocol": list(VERSION), "nonce": mine}
    challenge["proof"] = proof(token, "worker", theirs, mine)
    channel.send(challenge)
    answer = _expect(channel.receive(timeout, message_time=timeout, max_header=HELLO_HEADER, max_payload=0), "proof")
    if not hmac.compare_digest(str(answer.get("proof", "")).encode(), proof(token, "client", theirs, mine).encode()):
        channel.send({"type": "refused", "message": "wrong token"})
        raise Refused("a client showed a wrong token")
    admitted(hello)
    channel.send(dict(welcome, type="welcome"))
    return hello

"""The wire: messages whole and in order, caps, deadlines, the hello from both sides."""

import json
import socket
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colormnet_host import protocol
from colormnet_host.protocol import Channel, ConnectionLost, Pixels, ProtocolError, Refused

TEXT = st.text(max_size=8)
JSON = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXT | st.lists(st.floats(-1e9, 1e9), max_size=3)


@pytest.fixture
def pair():
    one, other = socket.socketpair()
    channels = Channel(one), Channel(other)
    yield channels
    for channel in channels:
        channel.close()


@settings(max_examples=25)
@given(st.dictionaries(TEXT, JSON, max_size=3), st.binary(max_size=200))
def test_what_is_sent_arrives(header, payload):
    one, other = socket.socketpair()
    left, right = Channel(one), Channel(other)
    left.send(header, payload)
    left.send({"second": True})
    assert right.receive(60.0) == (header, bytearray(payload))
    assert right.receive(60.0) == ({"second": True}, bytearray())
    left.close()
    with pytest.raises(ConnectionLost):
        right.receive(60.0)
    right.close()


def test_a_large_payload_in_both_directions(pair):
    left, right = pair
    payload = bytes(range(256)) * 80_000  # 20 MB, more than the sockets hold
    got = []
    thread = threading.Thread(target=lambda: got.append(right.receive(60.0)))
    thread.start()
    left.send({"n": 1}, memoryview(payload))
    thread.join()
    assert got[0][1] == payload


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE!" * 10,
        protocol.PREFIX.pack(b"CMNW", 2, 0) + b"[]",
        protocol.PREFIX.pack(b"CMNW", 9, 0) + b'{"a":NaN}',
        protocol.PREFIX.pack(b"CMNW", 4, 0) + b"\xff\xfe{}",
        protocol.PREFIX.pack(b"CMNW", 100_000, 0) + b"[" * 100_000,
        protocol.PREFIX.pack(b"CMNW", 2**31, 0),
        protocol.PREFIX.pack(b"CMNW", 2, 2**62) + b"{}",
    ],
)
def test_what_is_no_message_is_refused(pair, raw):
    left, right = pair
    left._sock.sendall(raw)
    with pytest.raises(ProtocolError):
        right.receive(60.0)


def test_a_trickle_is_cut_off(pair):
    """A peer that sends a byte now and then holds nobody for longer than the message's time."""
    left, right = pair
    stop = threading.Event()

    def trickle():
        message = protocol.PREFIX.pack(protocol.MAGIC, 5000, 0) + b"{" + b" " * 4999  # takes 100 seconds
        for value in message:
            if stop.wait(0.02):
                return
            left._sock.send(bytes([value]))

    thread = threading.Thread(target=trickle)
    thread.start()
    begun = time.monotonic()
    with pytest.raises(ConnectionLost, match="in time"):
        right.receive(message_time=0.5)
    assert time.monotonic() - begun < 50.0
    stop.set()
    thread.join()


def test_nothing_begun_is_not_an_error(pair):
    assert pair[0].receive(0.05) is None
    assert pair[0].receive(give_up=lambda: True) is None


@pytest.mark.parametrize("cut", [3, 16, 20])
def test_a_message_cut_short_is_a_lost_connection(pair, cut):
    left, right = pair
    raw = json.dumps({"a": 1}).encode()
    left._sock.sendall((protocol.PREFIX.pack(protocol.MAGIC, len(raw), 50) + raw)[:cut])
    left.close()
    with pytest.raises(ConnectionLost):
        right.receive(60.0)


def shake(worker_token, client_token, worker=protocol.admit, client=protocol.greet):
    """Both sides of the hello; what each got or raised."""
    one, other = socket.socketpair()
    left, right = Channel(one), Channel(other)
    outcome = {}

    def serve():
        try:
            outcome["worker"] = worker(right, worker_token, {"engine": "1"}, 60.0)
        except ProtocolError as error:
            outcome["worker"] = error
            right.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        outcome["client"] = client(left, client_token, "host", 60.0)
    except ProtocolError as error:
        outcome["client"] = error
        left.close()
    thread.join()
    left.close()
    right.close()
    return outcome


def test_the_hello_admits_who_knows_the_token():
    token = protocol.new_token()
    outcome = shake(token, token)
    assert outcome["worker"]["client"] == "host"
    assert outcome["client"]["type"] == "welcome"


def test_a_client_with_another_token_notices_a_worker_it_cannot_trust():
    outcome = shake(protocol.new_token(), protocol.new_token())
    assert isinstance(outcome["client"], Refused)
    assert isinstance(outcome["worker"], ProtocolError)


def test_a_client_that_skips_the_check_is_refused_for_its_token():
    def careless(channel, token, name, timeout):
        channel.send({"type": "hello", "protocol": [1, 0], "nonce": "0" * 32, "client": name})
        challenge, _ = channel.receive(timeout)
        assert challenge["type"] == "challenge"
        channel.send({"type": "proof", "proof": "0" * 64})
        return protocol._expect(channel.receive(timeout), "welcome")

    outcome = shake(protocol.new_token(), "", client=careless)
    assert isinstance(outcome["client"], Refused)
    assert isinstance(outcome["worker"], Refused)


def test_a_proof_cannot_be_reflected():
    """The worker's own proof sent back as the client's is worth nothing."""

    def mirror(channel, token, name, timeout):
        channel.send({"type": "hello", "protocol": [1, 0], "nonce": "0" * 32, "client": name})
        challenge, _ = channel.receive(timeout)
        channel.send({"type": "proof", "proof": challenge["proof"]})
        return protocol._expect(channel.receive(timeout), "welcome")

    outcome = shake(protocol.new_token(), "", client=mirror)
    assert isinstance(outcome["client"], Refused)


@pytest.mark.parametrize("version", [[2, 0], [0], "1.0", [], None, [True]])
def test_another_major_version_is_refused(version):
    token = protocol.new_token()

    def other(channel, token, name, timeout):
        channel.send({"type": "hello", "protocol": version, "nonce": "0" * 32, "client": name})
        return protocol._expect(channel.receive(timeout), "challenge")

    outcome = shake(token, token, client=other)
    assert isinstance(outcome["worker"], ProtocolError)
    assert isinstance(outcome["client"], ProtocolError)


def test_before_the_hello_nothing_large_is_read():
    def eager(channel, token, name, timeout):
        channel.send({"type": "hello", "protocol": [1, 0], "nonce": "0" * 32}, b"x")
        return protocol._expect(channel.receive(timeout), "challenge")

    outcome = shake("t", "t", client=eager)
    assert "above the limit" in str(outcome["worker"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0}, {"width": 2**20}, {"height": -3}, {"channels": 5}, {"channels": True}, {"dtype": "double"},
        {"layout": "tiles"}, {"width": "4"}, {"width": 65536, "height": 65536, "channels": 4, "dtype": "float"},
    ],
)  # fmt: skip
def test_pictures_described_wrongly_are_refused(wrong):
    right = Pixels(4, 3).header()
    assert protocol.parse_pixels(right) == Pixels(4, 3)
    with pytest.raises(ProtocolError):
        protocol.parse_pixels({**right, **wrong})

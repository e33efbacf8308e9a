"""What a host's own mistakes, long shots and many sessions do to the client: a sentence, and the session goes on."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from colormnet_host.client import Client, NeedFrames, WorkerError
from colormnet_host.job import Exemplar, Image, SessionSettings, settings_to_wire
from colormnet_host.link import Link
from colormnet_host.protocol import Pixels

PIXELS = Pixels(96, 64, 3, "half")


@pytest.fixture(params=[True, False], ids=["shared memory", "inline"])
def client(request, launcher):
    with Client(launcher, name="test", use_mmap=request.param) as client:
        yield client


def grey(seed, pixels=PIXELS):
    plane = np.random.default_rng(seed).random((pixels.height, pixels.width, 1))
    return Image(np.repeat(plane, 3, -1).astype(np.float16).tobytes(), pixels)


def opened(client, rig, shot, name="buffers", frames=range(1, 13), **more):
    settings = SessionSettings(space=rig.SPACE, working_size=rig.HEIGHT)
    return client.open_session(name, settings, list(frames), [Exemplar(str(shot[1]))], **more)


def test_pictures_that_are_not_what_they_say_are_refused_and_touch_no_other(client, rig, shot):
    session = opened(client, rig, shot)
    first = bytes(session.colorize(1, grey(1)).image.data)
    for wrong, word in (
        (Image(b"", PIXELS), "and 0 were given"),
        (Image(bytes(PIXELS.nbytes - 2), PIXELS), "36862 were given"),
        (Image(bytes(PIXELS.nbytes + 2), PIXELS), "36866 were given"),
        (Image(bytes(PIXELS.nbytes * 9), PIXELS), "were given"),
        (Image(bytes(PIXELS.nbytes), PIXELS._replace(channels=5)), "channels"),
        (Image(bytes(PIXELS.nbytes), PIXELS._replace(dtype="double")), "dtype"),
        (Image(np.zeros((64, 96, 6), np.float16)[..., ::2], PIXELS), "one piece"),
    ):
        right = session.submit(1, grey(1))
        with pytest.raises(WorkerError, match=word) as caught:
            session.submit(2, wrong)
        assert caught.value.code == "input"
        with pytest.raises(WorkerError, match=word):
            session.supply(2, wrong)
        with pytest.raises(WorkerError, match=word):
            session.set_exemplars([Exemplar(image=wrong)])
        assert bytes(right.result().image.data) == first, word
        session.set_exemplars([Exemplar(str(shot[1]))])
        assert bytes(session.colorize(1, grey(1)).image.data) == first, word
    for frame in range(2, 8):  # no place in shared memory was lost
        session.submit(frame, grey(frame))
    assert [result.frame for result in session.results()] == list(range(2, 8))
    if client._use_mmap:
        assert all(len(slab.free) == slab.count for slab in client._link._slabs)


def test_a_buffer_that_cannot_take_the_result_is_refused_before_any_work(client, rig, shot):
    session = opened(client, rig, shot)
    for into in (bytearray(PIXELS.nbytes - 1), bytes(PIXELS.nbytes), bytearray()):
        with pytest.raises(WorkerError, match="writable buffer of 36864 bytes"):
            session.colorize(1, grey(1), into=into)
    two = Pixels(96, 64, 1, "half")  # comes back with three channels
    with pytest.raises(WorkerError, match="writable buffer of 36864 bytes"):
        session.colorize(1, Image(bytes(two.nbytes), two), into=bytearray(two.nbytes))
    into = bytearray(PIXELS.nbytes + 10)
    result = session.colorize(1, grey(1), into=into)
    assert result.image.data is into
    assert bytes(into[: PIXELS.nbytes]) == bytes(session.colorize(1, grey(1)).image.data)


def test_a_frame_can_be_polled_without_waiting(client, launcher, rig, shot, tmp_path):
    """A host's own loop asks `done` now and then; nothing else receives for it."""
    launcher.hold = rig.Hold(tmp_path / "hold", "step", 6)
    session = opened(client, rig, shot)
    for frame in range(1, 12):
        session.supply(frame, grey(frame))
    ticket = session.submit(12, grey(12))  # tells of its progress on the way
    launcher.hold.wait(6)
    took = []
    for _ in range(31):
        asked = time.monotonic()
        assert not ticket.done()
        took.append(time.monotonic() - asked)
    assert sorted(took)[len(took) // 2] < 0.08  # less than one look at the socket with patience
    launcher.hold.go(6)
    assert rig.wait_until(ticket.done)
    said = []
    assert ticket.result(progress=lambda progress: said.append(progress.stage)).frame == 12
    other = session.submit(12, grey(12))
    os.kill(client.status().pid, signal.SIGKILL)
    assert rig.wait_until(other.done)  # there is something to see to
    assert other.result().frame == 12


def test_a_plate_that_is_nothing_does_not_stop_the_session(client, rig, shot):
    session = opened(client, rig, shot)
    for wrong in (None, 5):
        with pytest.raises(TypeError):
            session.submit(1, wrong)
    assert session.colorize(1, grey(1)).frame == 1
    assert list(session.results()) == []


def test_the_callers_own_error_in_giving_plates_is_passed_on(client, rig, shot):
    def plates(frame):
        raise LookupError(f"no plate {frame}")

    session = opened(client, rig, shot, plates=plates)
    session.colorize(1, grey(1))
    with pytest.raises(LookupError, match="no plate 2"):
        session.colorize(3, grey(3))
    ticket = session.submit(3, grey(3))
    with pytest.raises(LookupError):
        ticket.result()
    with pytest.raises(NeedFrames):  # what became of the frame
        ticket.result()
    assert session.colorize(2, grey(2)).frame == 2


def test_many_sessions_of_one_client_stream_at_once(client, rig, shot):
    """More frames than the worker takes requests from one client: submitting waits, nothing fails."""
    sessions = [opened(client, rig, shot, name=f"node {index}") for index in range(6)]
    tickets = [(session, session.submit(frame, grey(frame))) for frame in range(1, 9) for session in sessions]
    results = [ticket.result() for _, ticket in tickets]
    assert [result.frame for result in results] == [frame for frame in range(1, 9) for _ in sessions]
    assert all(list(session.results()) == [] for session in sessions)


def test_pictures_that_were_fetched_are_not_kept(client, rig, shot):
    """Also where the host asks each ticket, and never for `results`."""
    session = opened(client, rig, shot)
    for frame in range(1, 6):
        session.submit(frame, grey(frame)).result()
    assert len(session._unfetched) == 0
    session.submit(6, grey(6))
    assert [result.frame for result in session.results()] == [6]


def test_another_worker_that_was_started_meanwhile_is_found(rig, client, launcher, fork_server, places):
    """A host that has not asked for a while still has its connection to a worker that has ended."""
    client.connect()
    for call in (lambda: client.status() is not None, client.free_gpu, client.stop):
        client.connect()
        os.kill(launcher.find().pid, signal.SIGKILL)
        assert rig.wait_until(lambda: not fork_server.alive())
        with Client(rig.ForkLauncher(fork_server, places)) as other:
            other.connect()
        assert call()
    assert rig.wait_until(lambda: not fork_server.alive())
    assert client.status() is None
    assert client.free_gpu() is False
    assert client.stop() is False


@pytest.mark.parametrize("client", [True], indirect=True, ids=["shared memory"])
def test_a_shot_of_a_hundred_thousand_frames(client, rig, shot):
    """Its list of frames, what a frame needs, and its status all fit into a message."""
    frames = [10**8 + index * index for index in range(30_000)]  # no runs
    frames = [*frames, *range(-60_000, 10_000)]
    session = opened(client, rig, shot, frames=frames)
    session.colorize(frames[0], grey(1))
    with pytest.raises(NeedFrames) as caught:
        session.colorize(frames[-1], grey(2))
    assert caught.value.frames == frames[1:-1]
    status = session.status()
    assert (status.frames, status.done) == (tuple(frames), (frames[0],))
    assert client.restarts == 0
    with pytest.raises(WorkerError, match="100000 frames"):
        session.set_frames(range(100_001))
    with pytest.raises(WorkerError, match="cannot be sent"):
        session.set_frames([index * index for index in range(1_000_000)])
    assert client.status() is not None


def test_settings_that_are_no_numbers_are_refused_with_a_sentence(client, rig, shot):
    for number in (float("nan"), float("inf"), -float("inf")):
        settings = SessionSettings(space=rig.SPACE, saturation=number)
        with pytest.raises(WorkerError, match="cannot be sent") as caught:
            client.open_session("nan", settings, [1], [Exemplar(str(shot[1]))])
        assert caught.value.code == "input"
    assert opened(client, rig, shot).colorize(1, grey(1)).frame == 1


def test_the_hosts_own_colour_configuration_is_used(client, rig, shot, tmp_path, monkeypatch):
    """A worker started by a host of one show serves a host of another show in that one's colours."""
    monkeypatch.setenv("OCIO", str(tmp_path / "missing.ocio"))
    client.connect()
    assert settings_to_wire(SessionSettings(space="x"))["config"] == str(tmp_path / "missing.ocio")
    session = opened(client, rig, shot)
    with pytest.raises(WorkerError, match=r"missing\.ocio"):
        session.colorize(1, grey(1))
    monkeypatch.setenv("OCIO", "ocio://cg-config-v1.0.0_aces-v1.3_ocio-v2.1")
    assert settings_to_wire(SessionSettings(space="x"))["config"] == os.environ["OCIO"]
    opened(client, rig, shot, name="other").colorize(1, grey(1))
    chosen = SessionSettings(space="x", config="shows/a.ocio", weights="mine.safetensors")
    monkeypatch.chdir(tmp_path)
    assert settings_to_wire(chosen)["config"] == str(tmp_path / "shows" / "a.ocio")
    assert settings_to_wire(chosen)["weights"] == str(tmp_path / "mine.safetensors")


def test_a_host_may_have_any_name(launcher):
    with Client(launcher, name="Næüke\n" * 2000) as client:
        client.connect()
        assert client.status().connections == 1


def test_threads_may_share_a_session(client, rig, shot):
    """One fetches what was submitted while others ask for single frames."""
    session = opened(client, rig, shot, plates=grey)
    got, failures = [], []

    def ask(frames):
        try:
            for frame in frames:
                got.append(session.colorize(frame, grey(frame)).frame)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(range(start, 13, 3),)) for start in (1, 2, 3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for result in session.results():
            failures.append(result)
        time.sleep(0.01)
    assert failures == []
    assert sorted(got) == list(range(1, 13))


def test_a_connection_without_an_answer_is_not_kept_for_ever(launcher):
    """Calls that could not be sent leave nothing in the list of those that wait."""
    with Client(launcher) as client:
        client.connect()
        link = client._link
        assert isinstance(link, Link)
        for _ in range(3):
            with pytest.raises(WorkerError):
                client._request({"type": "ping", "x": float("nan")})
        assert link._calls == {}

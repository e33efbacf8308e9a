"""What wears a worker out or is put in its way: many shots, other weights, a cleared cache, pipes, odd paths."""

import os
import shutil
import signal
import socket
import threading
import weakref
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest

from colormnet.errors import InputError, WeightsError
from colormnet.worker import process
from colormnet.worker.answers import MemoryTooSmall, error_header
from colormnet.worker.caches import RecentPlanes
from colormnet.worker.device import Models
from colormnet.worker.limits import WorkerLimits, WorkerPlaces
from colormnet_host import endpoint, protocol
from colormnet_host.client import Client, WorkerError
from colormnet_host.job import Exemplar, Image, SessionSettings
from colormnet_host.protocol import Pixels

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes and modes are those of Unix")


@pytest.fixture
def client(launcher):
    with Client(launcher, name="test") as client:
        yield client


def opened(client, rig, shot, name="sh010", exemplars=True, **more):
    plates, exemplar, _ = shot
    settings = SessionSettings(space=rig.SPACE, working_size=rig.HEIGHT, snapshot_every=4, **more)
    given = [Exemplar(str(exemplar), frame=1001)] if exemplars else None
    return client.open_session(name, settings, sorted(plates), given)


def worker_status(client):
    return client._request({"type": "status"})["status"]


# --- memory and disk --------------------------------------------------------------------------------------------------


def test_planes_of_all_sessions_share_one_bound():
    planes = RecentPlanes(4 * 100)
    for index in range(10):
        planes.put(f"session {index % 5}", f"{index}", np.zeros((5, 5), np.float32))
    assert planes.bytes == 400
    assert planes.get("session 4", "9") is not None
    assert planes.get("session 0", "0") is None
    planes.put("session 4", "9", np.zeros((5, 10), np.float32))  # again, and larger
    assert planes.bytes == 400
    planes.drop("session 4")
    assert planes.get("session 4", "9") is None
    planes.put("huge", "1", np.zeros((50, 50), np.float32))  # without it there would be nothing to work on
    assert planes.get("huge", "1") is not None
    planes.drop("huge", "1")
    assert planes.bytes == 0


def test_results_are_right_with_next_to_no_planes_in_memory(rig, fork_server, places, shot, tmp_path):
    plates, _, straight = shot
    small = rig.ForkLauncher(fork_server, places, limits={"plane_cache_bytes": 1, "key_cache_bytes": 1})
    with Client(small) as client:
        session = opened(client, rig, shot)
        for frame, plate in plates.items():
            session.supply(frame, str(plate))
        out = {frame: tmp_path / f"{frame}.exr" for frame in (1009, 1003)}
        for frame in out:
            session.colorize(frame, str(plates[frame]), str(out[frame]))
        client.stop()
    assert rig.differing({frame: straight[frame] for frame in out}, out) == []


def test_only_so_many_models_stay_on_the_device(rig, fork_server, places, shot, tmp_path):
    """The shot of a model that had to leave goes to a snapshot, and goes on from it."""
    plates, _, straight = shot
    with Client(rig.ForkLauncher(fork_server, places, limits={"models": 1})) as client:
        one = opened(client, rig, shot, name="one")
        other = opened(client, rig, shot, name="other", precision="float64")
        out = {frame: tmp_path / f"{frame}.exr" for frame in (1001, 1002, 1003)}
        for frame, path in out.items():
            one.colorize(frame, str(plates[frame]), str(path))
            other.colorize(frame, str(plates[frame]), str(tmp_path / f"other {frame}.exr"))
            found = worker_status(client)
            assert (found["models"], found["live_states"]) == (["lite"], 1)
        assert worker_status(client)["steps"] == 6  # nothing was replayed
        client.stop()
    assert rig.differing({frame: straight[frame] for frame in out}, out) == []


def test_nobody_holds_a_model_that_has_left():
    class Loaded:
        default_working_size = 64

    held = []
    models = Models(lambda *choice: Loaded(), WorkerLimits(models=2), held.append)
    seen = [weakref.ref(models.get(("lite", str(index), "auto"))) for index in range(3)]
    assert held == [seen[0]()]
    held.clear()
    assert [reference() is None for reference in seen] == [True, False, False]
    models.keep_only(seen[2]())
    held.clear()
    assert [reference() is None for reference in seen] == [True, True, False]


def test_weights_that_do_not_fit_are_tried_alone_and_then_answered():
    room = {"needed": 1}
    let_go = []

    def load(*choice):
        if len(models.names()) + room["needed"] > 1:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return SimpleNamespace(default_working_size=64)

    models = Models(load, WorkerLimits(models=4), let_go.append)
    models.get(("lite", None, "auto"))
    models.get(("released", None, "auto"))
    assert models.names() == ["released"]
    assert len(let_go) == 1
    room["needed"] = 2
    with pytest.raises(MemoryTooSmall, match="weights of the lite model") as caught:
        models.get(("lite", None, "auto"))
    header = error_header(caught.value)
    assert (header["code"], header["working_size"]) == ("out_of_memory", 0)
    with pytest.raises(WeightsError, match="/nowhere"):
        Models(lambda *choice: os.stat("/nowhere"), WorkerLimits()).get(("lite", "/nowhere", "auto"))


@pytest.mark.parametrize(
    "error", [MemoryError("x"), RuntimeError("CUDA out of memory."), ValueError("(-4:Insufficient memory) Failed")]
)
def test_memory_that_ran_out_beside_the_network_is_called_so(error):
    assert error_header(error)["code"] == "out_of_memory"
    assert error_header(ValueError("something else"))["code"] == "internal"


def test_exemplars_that_no_definition_names_any_more_leave_the_disk(client, rig, shot, places):
    session = opened(client, rig, shot)
    pixels = Pixels(16, 16, 3, "half")
    for index in range(20):
        noise = np.random.default_rng(index).random((16, 16, 3)).astype(np.float16)
        session.set_exemplars([Exemplar(image=Image(noise.tobytes(), pixels))])
    (folder,) = (places / "cache").rglob("exemplars")
    assert len(list(folder.iterdir())) == 8  # as many as definitions are kept
    session.colorize(1001, Image(bytes(pixels.nbytes), pixels))


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_asking_for_a_session_does_not_make_one(client, rig, shot, tmp_path):
    opened(client, rig, shot)
    channel = protocol.Channel(endpoint.dial(client.launcher.find()))
    protocol.greet(channel, client.launcher.find().token, "raw")
    plate, output = {"path": str(shot[0][1001])}, {"path": str(tmp_path / "x.exr")}
    for header, code in (
        ({"type": "session_status", "session": "typo 1"}, "input"),
        ({"type": "session_status", "session": "typo 2", "generation": "abc"}, "unknown_generation"),
        ({"type": "colour", "session": "typo 3", "frame": 1, "plate": plate, "output": output}, "input"),
        ({"type": "supply", "session": "typo 4", "frame": 1, "plate": plate, "generation": "x"}, "unknown_generation"),
        ({"type": "define", "session": "typo 5", "settings": {"space": "ACEScg"}, "frames": [1]}, "input"),
        ({"type": "close_session", "session": "typo 6"}, None),
    ):
        channel.send({"id": 1, **header})
        assert channel.receive(60.0)[0].get("code") == code
    channel.close()
    assert [session["name"] for session in client.sessions()] == ["sh010"]


def test_requests_that_follow_an_opening_at_once_mean_the_same_session(client, rig, shot):
    client.connect()
    found = client.launcher.find()
    channel = protocol.Channel(endpoint.dial(found))
    protocol.greet(channel, found.token, "raw")
    define = {"type": "define", "session": "new", "settings": {"space": rig.SPACE}, "frames": [1]}
    channel.send({**define, "id": 1, "exemplars": [{"path": str(shot[1])}]})
    channel.send({**define, "id": 2, "frames": [1, 2]})  # keeps the exemplars
    answers = [channel.receive(60.0)[0] for _ in range(2)]
    assert [(answer["type"], answer["exemplars"]) for answer in answers] == [("result", 1)] * 2
    channel.close()


def test_what_was_done_is_still_told_after_the_device_was_freed(client, rig, shot, tmp_path):
    session = opened(client, rig, shot)
    for frame in (1001, 1002):
        session.colorize(frame, str(shot[0][frame]), str(tmp_path / f"{frame}.exr"))
    before = session.status()
    client.free_gpu()
    assert session.status() == before
    assert before.done == (1001, 1002)


def test_other_weights_under_the_same_name_are_other_results(client, rig, shot, random_lite, tmp_path):
    import torch

    from colormnet.network.checkpoint import save_weights
    from colormnet.network.lite import Lite, LiteConfig

    weights = tmp_path / "mine.safetensors"
    shutil.copy(random_lite, weights)
    session = opened(client, rig, shot, weights=str(weights))
    plate = str(shot[0][1001])
    first = session.colorize(1001, plate, str(tmp_path / "one.exr"))
    client.free_gpu()
    assert session.colorize(1001, plate, str(tmp_path / "same.exr")).cached
    with torch.random.fork_rng():
        torch.manual_seed(8)
        network = Lite(LiteConfig())
    save_weights(weights, network, asdict(network.config), {"working_size": "64"})
    client.free_gpu()
    second = session.colorize(1001, plate, str(tmp_path / "two.exr"))
    assert (first.cached, second.cached) == (False, False)


def test_the_cache_is_cleared_while_the_worker_runs(client, rig, shot, places, tmp_path):
    """The worker may put a file there while it is being cleared."""
    plates, _, straight = shot

    def cleared():
        try:
            shutil.rmtree(places / "cache")
        except OSError:
            return not (places / "cache").exists()
        return True

    def clear():
        assert rig.wait_until(cleared)

    session = opened(client, rig, shot)
    out = {frame: tmp_path / f"{frame}.exr" for frame in sorted(plates)[:8]}
    some = list(out)
    for frame in some[:4]:
        session.colorize(frame, str(plates[frame]), str(out[frame]))
    clear()
    for frame in some[4:6]:
        session.colorize(frame, str(plates[frame]), str(out[frame]))
    client.free_gpu()  # the exemplar is read again, and is gone: the client gives it again
    session.plates = lambda frame: str(plates[frame])
    clear()
    for frame in some[6:]:
        session.colorize(frame, str(plates[frame]), str(out[frame]))
    assert rig.differing({frame: straight[frame] for frame in some}, out) == []
    alive = places / "cache" / "inbox" / "worker.alive.json"
    assert rig.wait_until(alive.exists)  # hosts without sockets find it again
    client.free_gpu()
    clear()
    other = opened(client, rig, shot, name="resumed")
    assert other.status().done == ()
    clear()
    with pytest.raises(WorkerError, match="give them again"):
        opened(client, rig, shot, name="resumed", exemplars=False)
    assert client.restarts == 0


def test_one_session_opened_twice_with_different_settings(client, rig, shot, tmp_path):
    """Each client gets what it asked for, whatever the other does to the session meanwhile."""
    plates, _, straight = shot
    plain = opened(client, rig, shot)
    with Client(client.launcher) as second:
        strong = opened(second, rig, shot, saturation=2.0)
        for frame in (1001, 1002, 1003):
            plain.colorize(frame, str(plates[frame]), str(tmp_path / f"{frame}.exr"))
            strong.colorize(frame, str(plates[frame]), str(tmp_path / f"strong {frame}.exr"))
        for index in range(9):  # more than are remembered
            opened(second, rig, shot, saturation=0.1 * index)
        again = plain.colorize(1002, str(plates[1002]), str(tmp_path / "again.exr"))
    assert again.generation == plain.generation
    assert rig.picture(tmp_path / "again.exr") == rig.picture(straight[1002])
    out = {frame: tmp_path / f"{frame}.exr" for frame in (1001, 1002, 1003)}
    assert rig.differing({frame: straight[frame] for frame in out}, out) == []
    assert rig.picture(tmp_path / "strong 1002.exr") != rig.picture(straight[1002])


def test_closing_and_forgetting_while_a_frame_is_in_hand(client, rig, shot, tmp_path):
    plates, _, straight = shot
    for forget in (False, True):
        session = opened(client, rig, shot)
        session.plates = lambda frame: str(plates[frame])
        for frame, plate in plates.items():
            session.supply(frame, str(plate))
        ticket = session.submit(1012, str(plates[1012]), str(tmp_path / "out.exr"))
        session.close(forget=forget)  # after what was asked before
        assert ticket.result().frame == 1012
        assert rig.picture(tmp_path / "out.exr") == rig.picture(straight[1012])
        assert [each["open"] for each in client.sessions()] == ([] if forget else [False])
        session.colorize(1003, str(plates[1003]), str(tmp_path / "more.exr"))  # the client opens it again
        assert rig.picture(tmp_path / "more.exr") == rig.picture(straight[1003])


def test_cancelled_in_the_middle_of_a_step(client, launcher, rig, shot, tmp_path):
    """The answer comes while the network is still at work; nothing is written and the session goes on."""
    plates, _, straight = shot
    launcher.hold = rig.Hold(tmp_path / "hold", "step", 1)
    session = opened(client, rig, shot)
    ticket = session.submit(1001, str(plates[1001]), str(tmp_path / "no.exr"))
    launcher.hold.wait(1)
    assert client.status().state == "colouring"
    ticket.cancel()
    with pytest.raises(WorkerError, match="cancelled"):
        ticket.result()
    launcher.hold.go(1)
    session.colorize(1001, str(plates[1001]), str(tmp_path / "yes.exr"))
    assert rig.picture(tmp_path / "yes.exr") == rig.picture(straight[1001])
    assert not (tmp_path / "no.exr").exists()


def test_sessions_may_have_any_printable_name(client, rig, shot, places, tmp_path):
    letters = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
    names = [
        "a/../../b",
        "..",
        "-rf",
        "%s %d",
        "镜头 42 é",
        "CON",
        "a" * 200,
        "back\\slash",
        "dot.",
        "$(touch pwned)",
        "'",
    ]
    for name in names:
        session = opened(client, rig, shot, name=name)
        session.colorize(1001, str(shot[0][1001]), str(tmp_path / "out.exr"))
        assert [each["name"] for each in client.sessions()] == [name]
        (folder,) = (places / "cache" / "cpu" / "sessions").iterdir()
        assert set(folder.name) <= letters, name
        client.forget_session(name)
        assert list((places / "cache" / "cpu" / "sessions").iterdir()) == [], name


def test_names_that_are_none_are_refused(client, rig, shot):
    for name in ("", " ", "a\nb", "a\0b", "a" * 201, "\ud800", "\u200b"):
        with pytest.raises(WorkerError, match="name must be"):
            opened(client, rig, shot, name=name)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_pipe_or_device_in_place_of_a_picture_holds_nobody_up(client, rig, shot, tmp_path):
    """Reading them would never end."""
    pipe = tmp_path / "pipe.exr"
    os.mkfifo(pipe)
    session = opened(client, rig, shot)
    for path in (str(pipe), "/dev/zero", str(tmp_path)):
        with pytest.raises(WorkerError, match="not a file") as caught:
            session.colorize(1001, path, str(tmp_path / "x.exr"), timeout=120)
        assert caught.value.code == "input"
        with pytest.raises(WorkerError, match="no picture file"):
            client.open_session("x", session.settings, [1], [Exemplar(path)])
    session.colorize(1001, str(shot[0][1001]), str(tmp_path / "out.exr"), timeout=120)


def test_outputs_that_cannot_be_are_answered_with_a_sentence(client, rig, shot, tmp_path):
    session = opened(client, rig, shot)
    plate = str(shot[0][1001])
    loop = tmp_path / "loop.exr"
    loop.symlink_to(loop)
    (tmp_path / "file").write_text("")
    folder = tmp_path / "folder.exr"
    folder.mkdir()
    for path in (tmp_path / ("n" * 300 + ".exr"), tmp_path / "file" / "x.exr", folder):
        with pytest.raises(WorkerError) as caught:
            session.colorize(1001, plate, str(path))
        assert caught.value.code == "input", caught.value
        assert str(path) in str(caught.value) or path.parent.name in str(caught.value)
    with pytest.raises(WorkerError) as caught:
        session.colorize(1001, str(loop), str(tmp_path / "y.exr"))
    assert caught.value.code == "input"
    for name in ("\ud800.exr", os.fsdecode(b"\xff\xfe.exr")):  # the second may well be a file's name on Linux
        with pytest.raises(WorkerError, match="not UTF-8") as caught:
            session.colorize(1001, plate, f"{tmp_path}/{name}")
        assert caught.value.code == "input"
    session.colorize(1001, plate, str(loop))  # a link is replaced by the picture
    assert rig.picture(loop) == rig.picture(shot[2][1001])


def test_huge_and_odd_values_are_refused_or_done(client, rig, shot):
    """No value stops the worker; whatever is refused is refused with a code and a sentence."""
    pixels = Pixels(96, 64, 3, "half")
    image = Image(bytes(pixels.nbytes), pixels)
    refusals = []
    for field, value in [
        ("top_k", 10**9), ("top_k", 0), ("top_k", -1), ("top_k", 2**70), ("prototypes", 10**9), ("prototypes", -5),
        ("long_term_tokens", 10**15), ("long_term_tokens", 0), ("every", 10**9), ("every", 0), ("kept_frames", 10**6),
        ("working_frames", 10**9), ("working_frames", 1), ("saturation", 1e308), ("snapshot_every", 10**12),
        ("working_size", 2**65), ("working_size", -1), ("saturation", 10**400), ("space", "x" * 10**6),
        ("weights", "/nowhere/" + "w" * 5000), ("config", "\0"), ("model", "released" * 1000),
    ]:  # fmt: skip
        try:
            settings = SessionSettings(**{"space": rig.SPACE, "working_size": 64, field: value})
            session = client.open_session(f"{field}", settings, [1, 2, 3], [Exemplar(str(shot[1]))])
            for frame in (1, 2, 3):
                session.colorize(frame, image)
        except WorkerError as error:
            refusals.append((field, error.code, str(error)))
    known = ("input", "weights", "out_of_memory")
    assert [each for each in refusals if each[1] not in known or len(each[2]) > 4000] == []
    assert client.restarts == 0


def test_plates_of_extreme_shapes(client, rig, shot):
    settings = SessionSettings(space=rig.SPACE, working_size=32)
    for width, height in ((16, 16), (16, 300), (1500, 16), (17, 31)):
        pixels = Pixels(width, height, 4, "float", "planar")
        session = client.open_session(f"{width}x{height}", settings, [1, 2], [Exemplar(str(shot[1]))])
        data = np.random.default_rng(0).random((4, height, width)).astype(np.float32)
        for frame in (1, 2):
            answer = session.colorize(frame, Image(data, pixels)).image
            out = np.frombuffer(answer.data, np.float32).reshape(data.shape)
            assert np.isfinite(out).all(), pixels
            assert np.array_equal(out[3], data[3]), pixels
    with pytest.raises(WorkerError, match="smallest that can be coloured"):
        session.colorize(1, Image(bytes(16), Pixels(1, 1, 4, "float")))
    assert client.restarts == 0


def test_plates_that_are_no_numbers(client, rig, shot):
    pixels = Pixels(96, 64, 3, "float")
    settings = SessionSettings(space=rig.SPACE, working_size=64)
    session = client.open_session("nan", settings, [1, 2, 3], [Exemplar(str(shot[1]))])
    for frame, value in ((1, np.nan), (2, np.inf), (3, 3e38)):
        result = session.colorize(frame, Image(np.full((64, 96, 3), value, np.float32), pixels))
        assert 0.0 <= result.confidence <= 1.0
    assert client.restarts == 0


# --- clients ----------------------------------------------------------------------------------------------------------


def test_a_client_that_takes_no_answers_is_not_answered_without_end(client, launcher):
    """Answers that wait for it count as its requests; it fills nobody's memory."""
    client.connect()
    found = launcher.find()
    channel = protocol.Channel(endpoint.dial(found))
    protocol.greet(channel, found.token, "greedy")
    pixels = Pixels(512, 512, 3, "float")  # 3 MiB
    before = client.status().memory_bytes
    plate = {"pixels": pixels.header()}
    for number in range(120):
        channel.send({"type": "echo", "id": number, "plate": plate, "output": {"inline": True}}, bytes(pixels.nbytes))
    grown = client.status().memory_bytes - before
    answers = [channel.receive(60.0)[0] for _ in range(120)]
    refused = [answer for answer in answers if answer["type"] == "error"]
    assert {answer["code"] for answer in refused} == {"busy"}
    assert 32 <= len(answers) - len(refused) <= 60
    assert grown < 250 << 20
    channel.send({"type": "ping", "id": 500})
    assert channel.receive(60.0)[0]["type"] == "result"
    channel.close()


def test_loopback_and_named_files_as_where_there_is_nothing_better(rig, fork_server, places, shot, tmp_path):
    """The way of Windows: a port in place of a Unix socket, buffers as files that go once both sides have them."""
    pixels = Pixels(96, 64, 3, "half")
    data = np.random.default_rng(0).random((64, 96, 3)).astype(np.float16).tobytes()
    with Client(rig.ForkLauncher(fork_server, places, plain=True)) as client:
        session = opened(client, rig, shot)
        found = client.launcher.find()
        assert found.kind == "tcp"
        assert found.address.startswith("127.0.0.1:")
        assert bytes(client.echo(Image(data, pixels))) == data
        assert client._link._slabs
        assert not list((places / "run").glob("buffer-*"))
        session.colorize(1001, str(shot[0][1001]), str(tmp_path / "out.exr"))
        assert rig.picture(tmp_path / "out.exr") == rig.picture(shot[2][1001])
        with pytest.raises(protocol.Refused):
            protocol.greet(protocol.Channel(endpoint.dial(found)), "0" * 64, "thief")
        channel = protocol.Channel(endpoint.dial(found))
        protocol.greet(channel, found.token, "never maps it")
        channel.send({"type": "buffer", "id": 1, "bytes": 1 << 16})
        path = channel.receive(60.0)[0]["path"]
        assert os.stat(path).st_mode & 0o777 == 0o600
        os.kill(found.pid, signal.SIGKILL)
        session.colorize(1002, str(shot[0][1002]), str(tmp_path / "two.exr"))
        assert not os.path.exists(path)  # what a killed worker left
        client.stop()
    assert rig.leftovers(places, tmp_path) == []


def test_the_endpoint_file_is_read_only_when_somebody_touched_it(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    endpoint.make_private(str(folder))
    file = endpoint.endpoint_path(str(folder), "cpu")
    found = endpoint.Endpoint("unix", "/x.sock", os.getpid(), (1, 0), "t" * 64, "cpu", "0.1.0")
    reads = []
    read = endpoint.read_endpoint
    monkeypatch.setattr(process.places, "read_endpoint", lambda path: (reads.append(path), read(path))[1])
    announcement = process.Announcement({file}, found)
    for _ in range(5):
        announcement.renew()
    assert len(reads) == 1
    for harm in (
        lambda: os.unlink(file),
        lambda: os.chmod(file, 0o644),
        lambda: endpoint.write_private(file, found._replace(token="u" * 64).to_json()),
        lambda: open(file, "w").close(),
    ):
        harm()
        announcement.renew()
        announcement.renew()
        assert read(file) == found
        assert os.stat(file).st_mode & 0o777 == 0o600


def test_a_watched_folder_keeps_what_is_not_the_workers(client, rig, places, tmp_path):
    client.connect()
    folder = tmp_path / "downloads"
    folder.mkdir()
    os.mkfifo(folder / "pipe.request.json")
    theirs, inbox = folder / "movie.mkv.part", places / "cache" / "inbox"
    assert rig.wait_until((inbox / "worker.alive.json").exists)
    for path in (theirs, folder / "old.answer.json", inbox / "half.part"):
        path.write_text("x")
        os.utime(path, (1, 1))
    client.stop()
    client.connect()
    client.watch(str(folder))
    assert rig.wait_until(lambda: (folder / "pipe.answer.json").exists())
    assert rig.wait_until(lambda: not (folder / "old.answer.json").exists())
    assert rig.wait_until(lambda: not (inbox / "half.part").exists())
    assert theirs.exists()


def test_directories_that_cannot_be_used_are_named_at_the_start(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    runtime = tmp_path / "run"
    for cache in (tmp_path / "file", tmp_path / "file" / "deeper"):
        job = process.WorkerJob("cpu", WorkerPlaces(runtime, cache, cache / "worker.log"), WorkerLimits())
        with pytest.raises(InputError, match="COLORMNET_CACHE"):
            process.run(job)


def listening(folder):
    """A server that lets clients in, with no sessions behind it."""
    from colormnet.worker import server as serving

    endpoint.make_private(str(folder))
    server = serving.Server(SimpleNamespace(limits=WorkerLimits(), device_name="cpu", device_note=""), folder)
    server.start()
    return server


def test_a_client_that_gets_no_thread_is_let_go_and_the_next_is_served(tmp_path, monkeypatch):
    server = listening(tmp_path / "run")
    start, failed = threading.Thread.start, []

    def scarce(thread):
        if thread.name == "colormnet-client" and not failed:
            failed.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    found = server.endpoint("cpu")
    with pytest.raises(protocol.ProtocolError):
        protocol.greet(protocol.Channel(endpoint.dial(found)), found.token, "first")
    assert failed
    second = protocol.Channel(endpoint.dial(found))
    assert protocol.greet(second, found.token, "second")["type"] == "welcome"
    assert server.count() == 1
    second.close()
    server.stop()


def test_a_worker_may_stop_at_the_moment_a_client_is_let_in(rig, tmp_path, monkeypatch):
    server = listening(tmp_path / "run")
    start, stopped = threading.Thread.start, []

    def stopping(thread):
        if thread.name == "colormnet-writer":
            try:
                server.stop()
                stopped.append("all clients were let go")
            except RuntimeError as error:
                stopped.append(error)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", stopping)
    found = server.endpoint("cpu")
    channel = protocol.Channel(endpoint.dial(found))
    protocol.greet(channel, found.token, "client")
    with pytest.raises(protocol.ConnectionLost):
        channel.receive(60.0)
    assert rig.wait_until(lambda: stopped)
    assert stopped == ["all clients were let go"]
    channel.close()


def test_an_answer_that_cannot_be_sent_becomes_an_error(tmp_path):
    """A client that waits hears of it, whatever is wrong with the answer."""
    from colormnet.worker.connection import Connection, Request

    one, other = socket.socketpair()
    service = SimpleNamespace(limits=WorkerLimits())
    connection = Connection(one, service, "t", tmp_path, lambda gone: None, lambda: 1)
    for number, value in ((7, float("nan")), (8, "x" * (protocol.MAX_HEADER + 1)), (9, 1.0)):
        Request(connection, number).done({"type": "result", "value": value})
    connection._outgoing.put(None)
    connection._write()
    client = protocol.Channel(other)
    answers = [client.receive(60.0)[0] for _ in range(3)]
    assert [(answer["id"], answer.get("code")) for answer in answers] == [(7, "internal"), (8, "internal"), (9, None)]
    assert connection._unsent == 0
    connection.close()
    client.close()

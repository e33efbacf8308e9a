"""The worker as a server: who gets in, what a hostile client can do, its life from start to end, its folder."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from colormnet_host import endpoint, protocol
from colormnet_host.client import Client, WorkerError
from colormnet_host.job import Exemplar, SessionSettings
from colormnet_host.launcher import Launcher, WorkerUnavailable

pytestmark = pytest.mark.skipif(os.name == "nt", reason="owners and modes are those of Unix")


@pytest.fixture
def client(launcher):
    with Client(launcher, name="test") as client:
        client.connect()
        yield client


@pytest.fixture
def limited(rig, fork_server, places):
    """A worker with other limits than usual."""

    def make(**limits):
        return rig.ForkLauncher(fork_server, places, limits=limits)

    yield make
    fork_server.kill()


def greeted(found):
    channel = protocol.Channel(endpoint.dial(found))
    protocol.greet(channel, found.token, "raw")
    return channel


def ask(channel, payload=b"", **header):
    channel.send({"id": 1, **header}, payload)
    return channel.receive(60.0)[0]


def test_socket_and_directory_are_for_this_user_alone(client, launcher):
    found = launcher.find()
    assert os.stat(found.address).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(found.address)).st_mode & 0o777 == 0o700


def test_a_wrong_token_and_another_version_do_not_get_in(client, launcher):
    found = launcher.find()
    with pytest.raises(protocol.Refused):
        protocol.greet(protocol.Channel(endpoint.dial(found)), "0" * 64, "thief")
    channel = protocol.Channel(endpoint.dial(found))
    channel.send({"type": "hello", "protocol": [9, 0], "nonce": "0" * 32})
    assert "protocol" in channel.receive(60.0)[0]["message"]
    assert client.status().connections == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_who_reaches_the_socket_is_refused(client, launcher):
    found = launcher.find()
    os.chmod(os.path.dirname(found.address), 0o711)
    os.chmod(found.address, 0o666)
    for parent in list(launcher.runtime.parents)[:-1]:
        if parent.stat().st_mode & 0o011 != 0o011 and "pytest" in str(parent):
            os.chmod(parent, 0o711)
    script = (
        "import os, socket, sys; os.setgid(12345); os.setuid(12345)\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(60)\n"
        "s.connect(sys.argv[1])\n"
        "try: print('got', s.recv(10))\n"
        "except ConnectionError: print('got', b'')\n"
    )
    run = subprocess.run([sys.executable, "-c", script, found.address], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "got b''", run.stderr


def test_slow_strangers_are_let_go_and_others_served(rig, limited):
    launcher = limited(message_seconds=3.0)  # half of that for a hello; one stranger after the other would take 48
    with Client(launcher) as client:
        client.connect()
        found = launcher.find()
        trickles = [endpoint.dial(found) for _ in range(40)]
        for sock in trickles:
            sock.sendall(b"C")
        begun = time.monotonic()
        assert client.status().connections == 1
        assert time.monotonic() - begun < 30.0

        def closed(sock):
            sock.settimeout(0.01)
            try:
                return sock.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        assert rig.wait_until(lambda: all(closed(sock) for sock in trickles))
        for sock in trickles:
            sock.close()


def test_a_slow_message_after_the_hello_is_cut_off(rig, limited):
    launcher = limited(message_seconds=3.0)
    with Client(launcher) as client:
        client.connect()
        channel = greeted(launcher.find())
        assert rig.wait_until(lambda: client.status().connections == 2)
        channel._sock.sendall(protocol.PREFIX.pack(protocol.MAGIC, 100, 0) + b"{")
        assert rig.wait_until(lambda: client.status().connections == 1)


def test_only_so_many_clients_and_requests(rig, limited):
    launcher = limited(connections=3, pending=2)
    with Client(launcher) as client:
        client.connect()
        found = launcher.find()
        others = [greeted(found) for _ in range(2)]
        with pytest.raises(protocol.ConnectionLost):
            greeted(found)
        others[0].close()
        assert rig.wait_until(lambda: client.status().connections == 2)
        greeted(found).close()


def test_requests_that_make_no_sense_get_a_sentence_and_the_connection_lives(client, launcher):
    channel = greeted(launcher.find())
    for header in (
        {"type": "dance"},
        {"type": "colour"},
        {"type": "colour", "session": "x", "frame": "1", "plate": {"path": "/a.exr"}, "output": {"path": "/b.exr"}},
        {"type": "colour", "session": "x", "frame": 1, "plate": {"path": "a.exr"}, "output": {"path": "/b.exr"}},
        {"type": "supply", "session": "\n", "frame": 1, "plate": {"path": "/a.exr"}},
        {"type": "define", "session": "x", "settings": {"space": "ACEScg", "evil": 1}, "frames": [1]},
        {"type": "define", "session": "x", "settings": {"space": "ACEScg"}, "frames": [[1, 10**8, 1]]},
        {"type": "define", "session": "x", "settings": {"space": "ACEScg"}, "frames": [1, 1]},
        {"type": "define", "session": "x", "settings": {"space": "ACEScg"}, "frames": [1], "exemplars": []},
        {"type": "buffer", "bytes": 2**40},
        {"type": "buffer", "bytes": -1},
        {"type": "echo", "plate": {"pixels": protocol.Pixels(4, 4).header(), "buffer": 3, "offset": 0}, "output": {}},
        {"type": "session_status", "session": "never opened"},
        {"type": "watch", "folder": "relative"},
    ):
        answer = ask(channel, **header)
        assert (answer["type"], answer["code"]) == ("error", "input"), (header, answer)
        assert answer["message"].endswith(".")
        assert "Traceback" not in answer["message"]
    assert ask(channel, type="ping")["type"] == "result"
    channel.close()


def test_shared_memory_cannot_be_shrunk_under_the_worker_nor_read_beyond(client, launcher):
    found = launcher.find()
    channel = greeted(found)
    answer = ask(channel, type="buffer", bytes=1 << 16)
    with open(answer["path"], "r+b") as file:
        assert file.read(16).hex() == answer["nonce"]
        if sys.platform == "linux":
            with pytest.raises(OSError, match="not permitted"):
                os.ftruncate(file.fileno(), 10)
    plate = {"pixels": protocol.Pixels(64, 64).header(), "buffer": answer["buffer"]}
    for offset in (-1, 1 << 16, (1 << 16) - 8, 2**70):
        refused = ask(channel, type="echo", plate={**plate, "offset": offset}, output={"inline": True})
        assert refused["code"] == "input"
    assert ask(channel, type="echo", plate={**plate, "offset": 0}, output={"inline": True})["type"] == "result"
    total = sum(1 for _ in range(40) if ask(channel, type="buffer", bytes=1 << 26)["type"] == "result")
    assert 0 < total < 40
    channel.close()


def test_one_worker_for_each_device(rig, client, launcher, fork_server, places):
    """Launchers that start at once end up at one worker; the others leave quietly."""
    client.stop()
    clients = [Client(rig.ForkLauncher(fork_server, places, device=device)) for device in ("cpu", "cpu", "auto", "cpu")]
    threads = [threading.Thread(target=each.connect) for each in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pids = {each.status().pid for each in clients}
    assert len(pids) == 1
    assert rig.wait_until(lambda: fork_server.alive() == sorted(pids))
    clients[0].stop()
    for each in clients:
        each.close()
    assert rig.leftovers(places) == []


def test_an_endpoint_file_that_somebody_removed_comes_back(rig, client, launcher, fork_server, places):
    """Without it the worker would hold the lock and nobody could find it."""
    found = launcher.find()
    (places / "run" / "engine-cpu.json").unlink()
    assert rig.wait_until(lambda: launcher.find() == found)
    with Client(rig.ForkLauncher(fork_server, places)) as other:
        assert other.status().pid == client.status().pid


def test_a_worker_whose_socket_was_removed_makes_room_for_the_next(rig, client, launcher, fork_server, places):
    found = launcher.find()
    os.unlink(found.address)
    with Client(rig.ForkLauncher(fork_server, places)) as other:
        other.connect(timeout=300)
        assert other.status().pid != found.pid
        assert rig.wait_until(lambda: fork_server.alive() == [other.status().pid])


def test_the_fall_back_to_the_cpu_is_said_loudly(rig, fork_server, places):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here, so nothing falls back")
    with Client(rig.ForkLauncher(fork_server, places, device="auto")) as client:
        said = []
        client.connect(progress=lambda progress: said.append(progress.message))
        assert any("CPU" in message and "slower" in message for message in said)
        assert "CPU" in client.status().device_note
        assert "CPU" in client.device_note
        assert "WARNING" in (places / "cache" / "worker.log").read_text()
        client.stop()
    with (
        pytest.raises(WorkerUnavailable, match="cuda"),
        Client(Launcher(device="cuda:7", python=sys.executable)) as other,
    ):
        other.connect()


def test_it_ends_when_idle(rig, limited, fork_server, places):
    with Client(limited(idle_seconds=1.0)) as client:
        client.connect()
        assert rig.wait_until(lambda: not fork_server.alive())
        assert rig.leftovers(places) == []
        assert "idle" in (places / "cache" / "worker.log").read_text()


def test_it_ends_when_its_starter_has_gone_and_nobody_is_connected(rig, fork_server, places):
    starter = subprocess.Popen(["sleep", "60"])
    launcher = rig.ForkLauncher(fork_server, places, parent=starter.pid, limits={"orphan_seconds": 1.0})
    with Client(launcher) as client:
        client.connect()
        worker = client.status().pid
        starter.kill()
        starter.wait()
        time.sleep(2.5)
        assert client.status().pid == worker  # somebody is connected
        client.close()
        assert rig.wait_until(lambda: not fork_server.alive())
    assert rig.leftovers(places) == []


def test_a_graceful_stop_finishes_the_frame_in_hand(rig, client, launcher, shot, fork_server, places, tmp_path):
    plates, exemplar, straight = shot
    client.stop()
    launcher.hold = rig.Hold(tmp_path / "hold", "step", 3)
    settings = SessionSettings(space=rig.SPACE, working_size=rig.HEIGHT)
    session = client.open_session("stop", settings, sorted(plates), [Exemplar(str(exemplar), frame=1001)])
    out = {frame: tmp_path / f"{frame}.exr" for frame in plates}
    session.colorize(1001, str(plates[1001]), str(out[1001]))
    tickets = {frame: session.submit(frame, str(plates[frame]), str(out[frame])) for frame in sorted(plates)[1:8]}
    tickets[1002].result()
    launcher.hold.wait(3)
    os.kill(client.status().pid, signal.SIGTERM)
    assert rig.wait_until(lambda: launcher.find() is None)  # it has heard
    launcher.hold.go(3)
    tickets[1003].result()
    done, codes = [1001, 1002, 1003], []
    for frame, ticket in list(tickets.items())[2:]:
        try:
            ticket.result()
            done.append(frame)
        except WorkerError as error:
            codes.append(error.code)
    assert rig.wait_until(lambda: not fork_server.alive())
    assert set(codes) == {"stopping"}
    assert {frame for frame in plates if out[frame].exists()} == set(done)
    assert rig.differing({frame: straight[frame] for frame in done}, out) == []
    assert rig.leftovers(places, tmp_path) == []


def test_the_log_is_rotated(tmp_path):
    import logging

    from colormnet.worker import process

    with process._logging(tmp_path / "worker.log"):
        for _ in range(400):
            logging.getLogger("colormnet.worker").info("x" * 16_000)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["worker.log", "worker.log.1", "worker.log.2", "worker.log.3"]
    assert all(path.stat().st_size <= process.LOG_BYTES for path in tmp_path.iterdir())


# --- the folder -------------------------------------------------------------------------------------------------------


def put(folder, name, request):
    part = folder / f"{name}.part"
    part.write_text(request if isinstance(request, str) else json.dumps(request))
    os.replace(part, folder / f"{name}.request.json")


def answer(rig, folder, name):
    path = folder / f"{name}.answer.json"
    assert rig.wait_until(path.exists), sorted(entry.name for entry in folder.iterdir())
    found = json.loads(path.read_text())
    path.unlink()
    return found


def test_the_control_channel_of_files(rig, client, launcher, shot, places, tmp_path):
    plates, exemplar, straight = shot
    inbox = places / "cache" / "inbox"
    assert rig.wait_until((inbox / "worker.alive.json").exists)
    alive = json.loads((inbox / "worker.alive.json").read_text())
    assert alive["pid"] == client.status().pid
    put(inbox, "p", {"protocol": 1, "request": "ping"})
    assert answer(rig, inbox, "p") == {"protocol": 1, "ok": True}
    opening = {
        "protocol": 1, "request": "open", "session": "fuse", "frames": [[1001, 1012, 1]],
        "settings": {"space": rig.SPACE, "working_size": rig.HEIGHT},
        "exemplars": [{"path": str(exemplar), "frame": 1001}],
    }  # fmt: skip
    put(inbox, "o", opening)
    generation = answer(rig, inbox, "o")["generation"]
    folder = tmp_path / "fuse"
    folder.mkdir()
    client.watch(str(folder))  # from here on in a folder of the host's own choice

    def frame(number, kind="colour", **more):
        given = {
            "protocol": 1,
            "request": kind,
            "session": "fuse",
            "frame": number,
            "plate": str(plates[number]),
            **more,
        }
        put(folder, f"{kind}-{number}", given)
        return answer(rig, folder, f"{kind}-{number}")

    out = {number: tmp_path / f"{number}.exr" for number in plates}
    assert frame(1001, output=str(out[1001]), generation=generation)["ok"]
    refused = frame(1004, output=str(out[1004]))
    assert (refused["ok"], refused["code"], refused["frames"]) == (False, "need_frames", [1002, 1003])
    for number in refused["frames"]:
        assert frame(number, "supply")["ok"]
    done = frame(1004, output=str(out[1004]))
    assert (done["ok"], done["output"], done["cached"]) == (True, str(out[1004]), False)
    assert 0.0 < done["confidence"] <= 1.0
    some = {number: straight[number] for number in (1001, 1004)}
    assert rig.differing(some, out) == []
    put(folder, "s", {"protocol": 1, "request": "status", "session": "fuse"})
    assert answer(rig, folder, "s")["status"]["done"] == [1001, 1002, 1003, 1004]
    for name, wrong in {
        "w1": "not json", "w2": {"request": "ping"}, "w3": {"protocol": 1, "request": "dance"}, "w4": "[" * 100_000,
        "w5": {"protocol": 1, "request": "colour", "session": "fuse", "frame": 1, "plate": "x.exr", "output": "/y.exr"},
    }.items():  # fmt: skip
        put(folder, name, wrong)
        said = answer(rig, folder, name)
        assert (said["ok"], said["code"]) == (False, "input")
    # What was taken goes after its answer; the sign of life is a temporary file for a moment.
    assert rig.wait_until(lambda: list(folder.iterdir()) == [folder / "worker.alive.json"])


def test_a_file_request_outlives_a_killed_worker_and_can_be_cancelled(rig, client, launcher, shot, places, tmp_path):
    plates, exemplar, straight = shot
    client.stop()
    launcher.hold = rig.Hold(tmp_path / "hold", "step", 3, 6)
    settings = SessionSettings(space=rig.SPACE, working_size=rig.HEIGHT)
    session = client.open_session("fuse", settings, sorted(plates), [Exemplar(str(exemplar), frame=1001)])
    for number, plate in plates.items():
        session.supply(number, str(plate))
    inbox = places / "cache" / "inbox"
    request = {"protocol": 1, "request": "colour", "session": "fuse", "frame": 1012, "plate": str(plates[1012])}
    put(inbox, "cancelled", {**request, "output": str(tmp_path / "no.exr")})
    launcher.hold.wait(3)
    (inbox / "cancelled.cancel").touch()
    assert answer(rig, inbox, "cancelled")["code"] == "cancelled"
    launcher.hold.go(3)
    put(inbox, "killed", {**request, "output": str(tmp_path / "yes.exr")})
    launcher.hold.wait(6)
    assert list(inbox.glob("killed.taken*"))
    os.kill(client.status().pid, signal.SIGKILL)
    launcher.hold.go(6)
    session.status()  # the client finds another worker
    assert answer(rig, inbox, "killed")["ok"]
    assert rig.picture(tmp_path / "yes.exr") == rig.picture(straight[1012])
    assert not (tmp_path / "no.exr").exists()
    assert rig.wait_until(lambda: not list(inbox.glob("*.taken*")))  # goes after the answer


def test_the_command_line_and_the_real_launcher(rig, shot, places, tmp_path):
    """`colormnet worker` from start to stop, in processes of their own, with as many threads as they choose.

    The worker's layers (float, so that no rounding to half hides a difference) are those of `colormnet colorize`.
    """
    environment = {**os.environ, "COLORMNET_CACHE": str(tmp_path / "cache")}
    del environment["OMP_NUM_THREADS"]

    def colormnet(*arguments):
        command = [sys.executable, "-m", "colormnet.cli.main", *arguments, "--device", "cpu"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)

    def worker(*arguments):
        return colormnet("worker", *arguments)

    plates, exemplar, _ = shot
    some = sorted(plates)[:3]
    plate, straight = str(plates[1001].parent / "plate.####.exr"), str(tmp_path / "straight.####.exr")
    words = [plate, "-e", f"{exemplar}@1001", "-o", straight, "--frames", "1001-1003", "--space", rig.SPACE]
    done = colormnet("colorize", *words, "--working-size", str(rig.HEIGHT), "--outputs", "both", "--confidence")
    assert done.returncode == 0, done.stderr
    assert worker("status").stdout.strip() == "No worker runs."
    assert worker("stop").stdout.strip() == "No worker runs."
    started = worker("start")
    assert started.returncode == 0, started.stderr
    assert "The worker runs" in started.stdout
    found = json.loads(worker("status", "--json").stdout)
    assert (found["device"], found["sessions"]) == ("cpu", [])
    if (running := Path(f"/proc/{found['pid']}/cmdline")).exists():  # it does not end because `worker start` has
        assert b"--parent" not in running.read_bytes()
    with Client(Launcher(device="cpu", python="/nowhere"), name="host") as client:
        layers = ("a", "b", "confidence")
        settings = SessionSettings(space=rig.SPACE, working_size=rig.HEIGHT, layers=layers)
        session = client.open_session("cli", settings, some, [Exemplar(str(exemplar), frame=1001)])
        for frame in some:
            session.colorize(frame, str(plates[frame]), str(tmp_path / f"{frame}.exr"))
        elsewhere = [sys.executable, "-m", "colormnet.cli.main", "worker", "status", "--device", "mps"]
        told = subprocess.run(elsewhere, env=environment, capture_output=True, text=True, check=False, timeout=300)
        assert told.stdout.strip() == "No worker runs for the device mps; there is one for cpu (--device)."
        table = worker("status").stdout
        assert "cli" in table
        assert "lite" in table
        assert worker("free").stdout.strip() == "The device is free."
        assert worker("forget", "cli").returncode == 0
        assert worker("stop").stdout.strip() == "The worker has stopped."
    outputs = {frame: tmp_path / f"{frame}.exr" for frame in some}
    assert rig.differing({frame: tmp_path / f"straight.{frame}.exr" for frame in some}, outputs) == []
    assert endpoint.process_start(found["pid"]) is None
    assert rig.leftovers(places, tmp_path / "cache") == []

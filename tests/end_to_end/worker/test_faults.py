"""The fault suite: whatever happens to the worker, its clients and its disk, every frame equals the straight run."""

import contextlib
import json
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from colormnet_host import endpoint, protocol
from colormnet_host.client import Client, OutOfMemory, WorkerError
from colormnet_host.job import Exemplar, SessionSettings

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="kills and limits are those of Unix")]

FRAMES = 60
KILLS = 56  # by stage, two rounds, and the rest at random moments
COUNTS: Counter = Counter()


@pytest.fixture(scope="session")
def long_shot(rig, fork_server, tmp_path_factory):
    """Sixty plates, an exemplar, and the straight run."""
    folder = tmp_path_factory.mktemp("long")
    plates, exemplar = rig.make_plates(folder / "plates", FRAMES)
    spec = rig.ExemplarSpec(str(exemplar), None, 1001)
    return plates, exemplar, rig.straight_run(fork_server, plates, (spec,), folder / "straight")


@pytest.fixture(autouse=True)
def no_worker_left(fork_server, record_property):
    """A test that fails does not drag down the next; what was done goes into the line with the counts at the end."""
    before = COUNTS.copy()
    yield
    fork_server.kill()
    record_property("fault suite", dict(COUNTS - before))


def settings(rig, **more):
    return SessionSettings(space=rig.SPACE, working_size=rig.HEIGHT, snapshot_every=5, **more)


def opened(client, rig, shot, name="sh060", **more):
    plates, exemplar, _ = shot
    exemplars = [Exemplar(str(exemplar), frame=1001)]
    return client.open_session(name, settings(rig), sorted(plates), exemplars, **more)


def compare(rig, shot, out):
    """All frames asked for are there and right."""
    straight = {frame: shot[2][frame] for frame in out}
    assert rig.differing(straight, out) == []
    COUNTS["frames compared bit for bit"] += len(out)


def stop_and_look(rig, client, fork_server, places, *folders):
    """Stop the worker; then nothing is left: no process, no socket, no file that is not wanted."""
    assert client.stop()
    client.close()
    assert rig.wait_until(lambda: not fork_server.alive())
    assert rig.leftovers(places, *folders) == []
    COUNTS["leak checks"] += 1


def test_killed_at_every_stage_and_at_random_moments(rig, fork_server, places, long_shot, tmp_path):
    plates = long_shot[0]
    known = rig.STAGES
    chance = random.Random(20261122)
    launcher = rig.ForkLauncher(fork_server, places)
    once = ("hello", "load weights")  # a worker comes there but once
    deaths = [{"stage": name, "count": 1 if name in once else chance.randint(1, 4)} for name in known * 2]
    chance.shuffle(deaths)
    launcher.plans = deaths
    out = {frame: tmp_path / "out" / f"out.{frame}.exr" for frame in plates}
    (tmp_path / "out").mkdir()
    done = threading.Event()
    random_kills = []

    results = []  # frames answered so far

    def kill_now_and_then():
        """Shoot at a worker that its appointed place passed by, and when no deaths are appointed any more, at all."""
        while not done.is_set():
            alive = fork_server.alive()
            if not alive or (not launcher.plans and launcher.launches >= KILLS):
                time.sleep(0.01)
                continue
            worker, seen, due = alive[-1], len(results), 8 if launcher.plans else chance.randrange(1, 5)
            while worker in fork_server.alive() and len(results) < seen + due and not done.is_set():
                time.sleep(0.01)
            time.sleep(chance.uniform(0.0, 0.2))
            if worker in fork_server.alive() and not done.is_set() and rig.shoot(worker):
                random_kills.append(worker)

    shooter = threading.Thread(target=kill_now_and_then)
    shooter.start()
    try:
        with Client(launcher, name="killed", restarts=1000) as client:
            session = opened(client, rig, long_shot, plates=lambda frame: str(plates[frame]))
            turn = 0
            while True:
                for frame, plate in plates.items():
                    session.submit(frame, str(plate), str(out[frame]))
                    if frame % 4 == 0:
                        results += [result.frame for result in session.results()]
                results += [result.frame for result in session.results()]
                assert results[-FRAMES:] == list(plates)
                turn += 1
                if not launcher.plans and launcher.launches >= KILLS:
                    break
                assert turn < 20
                session = opened(client, rig, long_shot, name=f"sh060 {turn}", plates=lambda frame: str(plates[frame]))
            done.set()
            shooter.join()
            kills = launcher.launches - 1
            assert kills >= 50
            COUNTS["kills of the worker"] += kills
            COUNTS["of them at a named stage"] += kills - len(random_kills)
            COUNTS["turns of the 60-frame shot"] += turn
            compare(rig, long_shot, out)
            stop_and_look(rig, client, fork_server, places, tmp_path)
    finally:
        done.set()
        shooter.join()
    left = [path.name for path in (tmp_path / "out").iterdir() if path not in out.values()]
    assert left == []


CLIENT = """
import sys
from colormnet_host.client import Client
from colormnet_host.job import Exemplar, Image, SessionSettings
from colormnet_host.protocol import Pixels
from colormnet_host.launcher import Launcher
space, exemplar, plate, output = sys.argv[1:]
client = Client(Launcher(device="cpu", python="/nowhere"), name="victim")
frames = list(range(1001, 1061))
session = client.open_session("victim", SessionSettings(space=space, working_size=64), frames, [Exemplar(exemplar)])
pixels = Pixels(96, 64)
for frame in range(1001, 1008):
    session.submit(frame, Image(bytes(pixels.nbytes), pixels))
print("under way", flush=True)
import time
time.sleep(60)
"""


def test_clients_killed_in_the_middle_of_frames(rig, launcher, fork_server, places, long_shot, tmp_path):
    plates, exemplar, _ = long_shot
    some = sorted(plates)[:8]
    out = {frame: tmp_path / f"{frame}.exr" for frame in some}
    with Client(launcher) as client:
        session = opened(client, rig, long_shot)
        session.colorize(some[0], str(plates[some[0]]), str(out[some[0]]))
        worker = client.status().pid
        descriptors = len(os.listdir(f"/proc/{worker}/fd"))
        for _ in range(5):
            victim = subprocess.Popen(
                [sys.executable, "-c", CLIENT, rig.SPACE, str(exemplar), str(plates[1001]), str(tmp_path / "v.exr")],
                stdout=subprocess.PIPE,
                text=True,
            )
            assert victim.stdout.readline().strip() == "under way"
            victim.kill()
            victim.wait()
            victim.stdout.close()
            COUNTS["kills of clients"] += 1
        for frame in some[1:]:
            session.colorize(frame, str(plates[frame]), str(out[frame]))
        assert rig.wait_until(lambda: client.status().connections == 1)
        assert rig.wait_until(lambda: client._request({"type": "status"})["status"]["waiting"] == 0)
        assert client.status().pid == worker
        assert rig.wait_until(lambda: len(os.listdir(f"/proc/{worker}/fd")) <= descriptors)
        compare(rig, long_shot, out)
        stop_and_look(rig, client, fork_server, places, tmp_path)


def test_two_clients_on_one_session(rig, launcher, fork_server, places, long_shot, tmp_path):
    plates = long_shot[0]
    some = sorted(plates)[:14]
    outs = [{frame: tmp_path / f"{who}.{frame}.exr" for frame in some} for who in range(2)]
    failures = []

    def ask(who, order):
        try:
            with Client(launcher if who == 0 else type(launcher)(fork_server, places), name=f"client {who}") as client:
                session = opened(client, rig, long_shot, plates=lambda frame: str(plates[frame]))
                for frame in order:
                    session.colorize(frame, str(plates[frame]), str(outs[who][frame]))
        except Exception as error:
            failures.append(error)

    with Client(launcher) as client:
        client.connect()
        backwards = some[::-1]
        threads = [threading.Thread(target=ask, args=pair) for pair in enumerate((some, backwards))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        for out in outs:
            compare(rig, long_shot, out)
        COUNTS["clients sharing a session"] += 2
        stop_and_look(rig, client, fork_server, places, tmp_path)


def full_disk(places, rig, tmp_path):
    """The worker's arguments for a full disk: a small file system where we may mount one, else a limit on files."""
    cache = places / "cache"
    cache.mkdir(parents=True)
    if os.getuid() == 0:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(cache)], capture_output=True, check=False
        )
        if done.returncode == 0:
            return "tmpfs of 300 KiB", {}, cache
    return "RLIMIT_FSIZE of 70 KB", {"file_bytes": 70_000}, None


@pytest.mark.parametrize("way", ["file system", "file size limit"])
def test_the_snapshot_directory_is_full(rig, fork_server, places, long_shot, tmp_path, way):
    plates = long_shot[0]
    if way == "file system":
        name, asked, mounted = full_disk(places, rig, tmp_path)
        if mounted is None:
            pytest.skip("a small file system cannot be mounted here; the limit on file sizes is tested instead")
    else:
        name, asked, mounted = "file size limit", {"file_bytes": 70_000}, None
    some = sorted(plates)[:16]
    out = {frame: tmp_path / "out" / f"{frame}.exr" for frame in some}
    launcher = rig.ForkLauncher(fork_server, places, **asked)
    try:
        with Client(launcher) as client:
            session = opened(client, rig, long_shot, plates=lambda frame: str(plates[frame]))
            notes = set()
            for frame in some:
                session.colorize(frame, str(plates[frame]), str(out[frame]))
                notes.add(client.status().disk_note)
            assert any("cannot be written" in note for note in notes)
            for frame in (some[9], some[3]):  # out of order, with next to nothing on disk
                session.colorize(frame, str(plates[frame]), str(out[frame]))
            killed = client.status().pid
            os.kill(killed, signal.SIGKILL)  # and after a crash
            session.colorize(some[12], str(plates[some[12]]), str(out[some[12]]))
            assert client.status().pid != killed
            compare(rig, long_shot, out)
            COUNTS[f"full disks ({name})"] += 1
            stop_and_look(rig, client, fork_server, places, tmp_path / "out")
    finally:
        if mounted is not None:
            fork_server.kill()
            subprocess.run(["umount", "-l", str(mounted)], check=True)


def test_truncated_and_altered_files_are_found_out(rig, launcher, fork_server, places, long_shot, tmp_path):
    plates = long_shot[0]
    some = sorted(plates)[:16]
    out = {frame: tmp_path / f"{frame}.exr" for frame in some}
    with Client(launcher) as client:
        session = opened(client, rig, long_shot, plates=lambda frame: str(plates[frame]))
        for frame in some:
            session.submit(frame, str(plates[frame]), str(tmp_path / "thrown away.exr"))
        list(session.results())
        assert client.stop()
        (folder,) = list((places / "cache").rglob("snapshots"))
        snapshots = sorted(folder.iterdir())
        assert len(snapshots) >= 3
        for index, path in enumerate([*snapshots, *(folder.parent / "results").iterdir()]):
            content = path.read_bytes()
            if index % 2:
                path.write_bytes(content[: len(content) // 3])
            else:
                middle = len(content) // 2
                path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
            COUNTS["files damaged"] += 1
        for path in list((folder.parent / "plates").iterdir())[::4]:
            path.write_bytes(path.read_bytes()[:100])
            COUNTS["files damaged"] += 1
        for frame in (some[13], *some):
            session.colorize(frame, str(plates[frame]), str(out[frame]))
        assert client._request({"type": "status"})["status"]["damaged_files"] > 0
        compare(rig, long_shot, out)
        (tmp_path / "thrown away.exr").unlink()
        stop_and_look(rig, client, fork_server, places, tmp_path)


def fuzzed(chance, valid):
    """A message that is wrong in some way, as bytes."""
    kind = chance.randrange(8)
    if kind == 0:
        return chance.randbytes(chance.randrange(1, 200))
    if kind == 1:  # lengths from nowhere
        sizes = chance.choice([(2**32 - 1, 0), (10, 2**63), (chance.randrange(2**21), chance.randrange(2**40))])
        return struct.pack(">4sIQ", protocol.MAGIC, *sizes) + chance.randbytes(40)
    header = dict(chance.choice(valid))
    if kind == 2:  # a field of another type
        field = chance.choice(list(header))
        header[field] = chance.choice(
            [None, [], {}, "x" * 300, -1, 2**80, 1.5, True, [[1, 2, 0]], {"path": "\0"}, "\ud800"]
        )
    elif kind == 3:
        del header[chance.choice(list(header))]
    elif kind == 4:
        header["type"] = chance.choice(
            ["nonsense", "colour", "define", "supply", "buffer", "buffer_done", "cancel", "echo"]
        )
    raw = json.dumps(header).encode()
    if kind == 5:  # bits flipped in the header
        raw = bytearray(raw)
        for _ in range(chance.randrange(1, 6)):
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        raw = bytes(raw)
    if kind == 6:
        raw = b"[" * chance.randrange(1, 5000) + raw
    payload = chance.randbytes(chance.choice([0, 0, 0, 5, 300]))
    message = struct.pack(">4sIQ", protocol.MAGIC, len(raw), len(payload)) + raw + payload
    return message[: chance.randrange(len(message))] if kind == 7 else message


def test_ten_thousand_fuzzed_messages(rig, launcher, fork_server, places, long_shot, tmp_path):
    plates = long_shot[0]
    some = sorted(plates)[:20]
    out = {frame: tmp_path / "out" / f"{frame}.exr" for frame in some}
    chance = random.Random(4)
    valid = [
        {"type": "ping", "id": 1},
        {"type": "status", "id": 1},
        {"type": "session_status", "id": 1, "session": "sh060", "generation": ""},
        {"type": "colour", "id": 1, "session": "fuzz", "frame": 1001, "plate": {"path": "/nowhere.exr"},
         "output": {"path": str(tmp_path / "fuzz.exr")}},
        {"type": "colour", "id": 1, "session": "fuzz", "frame": 1, "output": {"buffer": 1, "offset": -5},
         "plate": {"pixels": protocol.Pixels(4, 4).header(), "buffer": 3, "offset": 2**62}},
        {"type": "define", "id": 1, "session": "fuzz", "settings": {"space": "ACEScg"}, "frames": [[1, 9, 1]],
         "exemplars": [{"pixels": protocol.Pixels(4, 4).header(), "space": "", "frame": None}]},
        {"type": "supply", "id": 1, "session": "fuzz", "frame": 1, "plate": {"path": "relative.exr"}},
        {"type": "buffer", "id": 1, "bytes": 2**40},
        {"type": "buffer_done", "id": 1, "buffer": 7, "mapped": True},
        {"type": "cancel", "id": 1, "request": 12},
        {"type": "close_session", "id": 1, "session": "fuzz", "forget": False},
        {"type": "watch", "id": 1, "folder": "relative"},
    ]  # fmt: skip
    with Client(launcher) as client:
        session = opened(client, rig, long_shot)
        session.colorize(some[0], str(plates[some[0]]), str(out[some[0]]))
        before = client.status()
        descriptors = len(os.listdir(f"/proc/{before.pid}/fd"))
        found = launcher.find()
        failures, sent, finished = [], 0, []

        def good_client():
            try:
                for frame in some[1:]:
                    session.colorize(frame, str(plates[frame]), str(out[frame]))
                finished.append(True)
            except WorkerError as error:
                failures.append(error)

        bystander = threading.Thread(target=good_client)
        bystander.start()
        while sent < 10_000:
            sock = endpoint.dial(found)
            channel = protocol.Channel(sock)
            stranger = chance.random() < 0.2
            if not stranger:
                protocol.greet(channel, found.token, "fuzz")
            try:
                for _ in range(1 if stranger else chance.randrange(1, 60)):
                    message = fuzzed(chance, valid)
                    sent += 1
                    sock.sendall(message)
            except OSError:
                COUNTS["fuzzed connections refused"] += 1
            drain(sock)
            channel.close()
        bystander.join()
        COUNTS["fuzzed messages"] += sent
        assert failures == []
        assert finished
        after = client.status()
        assert after.pid == before.pid
        assert rig.wait_until(lambda: client.status().connections == 1)
        assert rig.wait_until(lambda: len(os.listdir(f"/proc/{before.pid}/fd")) <= descriptors)
        assert not (tmp_path / "fuzz.exr").exists()
        compare(rig, long_shot, out)
        stop_and_look(rig, client, fork_server, places, tmp_path)


def drain(sock):
    """Take what the worker says without waiting for it."""
    try:
        sock.setblocking(False)
        while sock.recv(1 << 16):
            pass
    except OSError:
        return


def test_a_worker_that_dies_with_its_client_leaves_nothing_for_the_next(rig, fork_server, places, long_shot, tmp_path):
    """Killed while it wrote, and nobody asks for that frame again: the next worker tidies up."""
    plates = long_shot[0]
    launcher = rig.ForkLauncher(fork_server, places)
    launcher.plans = [{"stage": "rename", "count": 1}]  # the session's own file; then the output's
    with Client(launcher, restarts=3) as client:
        session = opened(client, rig, long_shot)
        worker = fork_server.workers[-1].pid
        note = places / "cache" / "cpu" / "writing" / "note"
        note.write_text(json.dumps([str(tmp_path / "gone.exr"), worker]))
        (tmp_path / f".gone.{worker}-0badcafe.partial.exr").write_bytes(b"half a picture")
        (tmp_path / ".gone.1-0badcafe.partial.exr").write_bytes(b"of another process")
        os.kill(worker, signal.SIGKILL)
        session.colorize(1001, str(plates[1001]), str(tmp_path / "1001.exr"))
        assert sorted(path.name for path in tmp_path.glob("*.exr")) == [".gone.1-0badcafe.partial.exr", "1001.exr"]
        (tmp_path / ".gone.1-0badcafe.partial.exr").unlink()
        stop_and_look(rig, client, fork_server, places, tmp_path)


def address_space(worker, field):
    """Bytes that a process has reserved ("VmSize") or had at most ("VmPeak")."""
    (line,) = [line for line in Path(f"/proc/{worker}/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1]) << 10


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process's memory")
def test_out_of_memory_names_a_size_that_fits(rig, fork_server, places, long_shot, tmp_path):
    """The system gives less than the working size takes: the one named instead works, and the session lives on."""
    plates, exemplar, _ = long_shot
    side, frames = 512, [1, 2, 3]
    big = tmp_path / "big.exr"
    rig.write_exr(big, np.full((side, side, 3), 0.2, np.float32), np.zeros((side, side), np.float32), 1)
    wanted = SessionSettings(space=rig.SPACE, working_size=side)

    @contextlib.contextmanager
    def worker():
        with Client(rig.ForkLauncher(fork_server, places, lean=True)) as client:
            small = opened(client, rig, long_shot, name="small")
            small.colorize(1001, str(plates[1001]), str(tmp_path / "1001.exr"))
            yield client, small, client.open_session("large", wanted, frames, [Exemplar(str(exemplar))])
            client.forget_session("large")
            client.forget_session("small")
            client.stop()

    with worker() as (client, _, large):  # how much it takes here, where nothing is refused
        pid = client.status().pid
        before = address_space(pid, "VmSize")
        large.colorize(1, str(big), str(tmp_path / "enough.exr"))
        need = address_space(pid, "VmPeak") - before
    assert need > 40 << 20

    with worker() as (client, small, large):
        pid = client.status().pid
        limit = address_space(pid, "VmSize") + int(0.7 * need)
        resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
        with pytest.raises(OutOfMemory) as caught:
            large.colorize(1, str(big), str(tmp_path / "no.exr"))
        fits = caught.value.working_size
        assert 0 < fits < side
        assert f"working size of {fits} would fit" in str(caught.value)
        assert not (tmp_path / "no.exr").exists()
        small.colorize(1002, str(plates[1002]), str(tmp_path / "1002.exr"))
        large.set_settings(wanted._replace(working_size=fits))
        for frame in frames:
            large.colorize(frame, str(big), str(tmp_path / f"yes {frame}.exr"))
        small.colorize(1003, str(plates[1003]), str(tmp_path / "1003.exr"))
        compare(rig, long_shot, {frame: tmp_path / f"{frame}.exr" for frame in (1001, 1002, 1003)})
        assert client.restarts == 0
        assert client.status().pid == pid
        COUNTS["times out of memory"] += 1
    assert rig.leftovers(places, tmp_path) == []

"""The program as a user and a farm run it: real processes, real signals, real limits."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="POSIX signals and limits")]

FRAMES = 30
HELD = str(Path(__file__).with_name("held_colormnet.py"))


@pytest.fixture
def command(tmp_path, write_plate, write_exemplar, random_lite):
    plate, exemplar = write_plate(FRAMES), write_exemplar(0)

    def make(out, *more):
        return [
            sys.executable, "-m", "colormnet.cli.main", "colorize", plate, "-e", f"{exemplar}@1001",
            "-o", str(tmp_path / out / "shot.####.exr"), "--weights", str(random_lite), "--device", "cpu",
            "--snapshot-every", "4", "--outputs", "both", "--confidence", *more,
        ]  # fmt: skip

    return make


def content(folder):
    files = [path for path in Path(folder).iterdir() if path.is_file()]
    assert not [path for path in files if path.name.startswith(".")], "debris of a half-written file"
    return {path.name: path.read_bytes() for path in files}


def run(words, **more):
    return subprocess.run(
        words, capture_output=True, text=True, timeout=500, stdin=subprocess.DEVNULL, check=False, **more
    )


def stop_when(words, folder, more, how):
    """Start, send the signal when so many frames more are there; (exit code, what it said).

    However late the signal comes, it finds the run a few frames further at most.
    """
    hold = folder.parent / f"hold {how.name}"
    hold.mkdir()
    before = len(list(folder.glob("shot.*.exr")))
    words = [words[0], HELD, *words[3:]]  # in place of -m colormnet.cli.main
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
        env={**os.environ, "COLORMNET_TEST_HOLD": f"{more + 4}:{hold}"},
    )  # fmt: skip
    deadline = time.monotonic() + 400
    while process.poll() is None and len(list(folder.glob("shot.*.exr"))) < before + more:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(how)
    (hold / "go").touch()
    _, said = process.communicate(timeout=400)
    return process.returncode, said


def test_interrupted_terminated_and_killed_runs_go_on_bit_for_bit(command, tmp_path):
    straight = run(command("straight"))
    assert straight.returncode == 0, straight.stderr
    wanted = content(tmp_path / "straight")
    assert len(wanted) == FRAMES
    out = tmp_path / "out"
    code, said = stop_when(command("out"), out, 3, signal.SIGINT)
    assert code == 5, said
    assert "--resume" in said
    assert 3 <= len(content(out)) < FRAMES
    code, said = stop_when(command("out", "--resume"), out, 3, signal.SIGTERM)
    assert code == 5, said
    code, said = stop_when(command("out", "--resume"), out, 6, signal.SIGKILL)
    assert code == -signal.SIGKILL, said
    for name, data in content_after_kill(out).items():
        assert data == wanted[name]
    end = run(command("out", "--resume"))
    assert end.returncode == 0, end.stderr
    assert content_after_kill(out) == wanted


def content_after_kill(folder):
    """Only files with a final name: a kill -9 may leave a hidden temporary one, never a half-written frame."""
    return {path.name: path.read_bytes() for path in Path(folder).glob("shot.*.exr")}


def test_a_disk_that_fills_up_stops_the_run_with_one_line_and_whole_frames_only(command, tmp_path):
    """The limit of a file's size stands for a full disk: the write fails in the middle of a frame."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = run(command("out"), preexec_fn=limit)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("colormnet: ")]
    assert content(tmp_path / "out") == {}


def test_a_really_full_disk(command, tmp_path):
    mount = tmp_path / "out"
    mount.mkdir()
    try:
        made = run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(mount)])
    except OSError:
        pytest.skip("a small file system needs the mount command")
    if made.returncode != 0:
        pytest.skip("a small file system needs the right to mount")
    try:
        done = run(command("out"))
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert "space" in done.stderr.lower()
        whole = content(mount)
        import OpenImageIO as oiio  # noqa: N813

        for name in whole:
            image = oiio.ImageBuf(str(mount / name))
            assert image.read(force=True), image.geterror()
    finally:
        run(["umount", str(mount)])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(command, tmp_path):
    (tmp_path / "out").mkdir(mode=0o555)
    done = run(command("out"))
    assert done.returncode == 2
    assert "permission" in done.stderr.lower()


def test_no_home_and_a_read_only_working_folder_do_no_harm(command, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_DATA_HOME")}
    done = run(command("out", "--frames", "1001-1002"), env=environment, cwd="/proc")
    assert done.returncode == 0, done.stderr

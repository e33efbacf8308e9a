"""The program as a user and a farm run it: real processes, real signals, real limits."""

import os
import re
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


def stop_when(words, folder, more, how, files="shot.*.exr", frames=1):
    """Start, send the signal when so many files (of so many frames) more are there; (exit code, what it said).

    However late the signal comes, it finds the run a few frames further at most.
    """
    hold = folder.parent / f"hold {how.name}"
    hold.mkdir(parents=True)
    before = len(list(folder.glob(files)))
    words = [words[0], HELD, *words[3:]]  # in place of -m colormnet.cli.main
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
        env={**os.environ, "COLORMNET_TEST_HOLD": f"{more * frames + 4}:{hold}"},
    )  # fmt: skip
    deadline = time.monotonic() + 400
    while process.poll() is None and len(list(folder.glob(files))) < before + more:
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


def test_a_killed_movie_goes_on_bit_for_bit(command, tmp_path):
    def words(folder, *more):
        given = command(folder, *more)
        given[given.index("-o") + 1] = str(tmp_path / folder / "shot.mov")
        given[given.index("--outputs") + 1] = "colour"
        given.remove("--confidence")
        return given

    segments = tmp_path / "out" / ".shot.mov.segments"
    code, said = stop_when(words("out"), segments, 2, signal.SIGKILL, "*-*.mov", 4)
    assert code == -signal.SIGKILL, said
    assert not (tmp_path / "out" / "shot.mov").exists()
    end = run(words("out", "--resume"))
    assert end.returncode == 0, end.stderr
    assert run(words("straight")).returncode == 0
    assert content(tmp_path / "out") == content(tmp_path / "straight")


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


@pytest.fixture
def disk(tmp_path):
    """``disk("size=400k")`` mounts a small file system as the folder ``out``; again with "remount,size=1g" it grows."""
    place = tmp_path / "out"
    place.mkdir()

    def mount(options):
        try:
            made = run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)])
        except OSError:
            pytest.skip("a small file system needs the mount command")
        if made.returncode != 0:
            pytest.skip("a small file system needs the right to mount")
        return place

    yield mount
    run(["umount", str(place)])


@pytest.mark.parametrize(
    ("output", "kilobytes"),
    [("shot.####.exr", 400), ("shot.mov", 900), ("shot.mp4", 600)],
)
def test_a_really_full_disk_loses_nothing(command, tmp_path, disk, output, kilobytes):
    """One line, whole frames and segments only; with more room the run ends as one that had it from the start."""

    def words(folder, *more):
        given = command(folder, *more)
        given[given.index("-o") + 1] = str(tmp_path / folder / output)
        if not output.endswith("exr"):
            given[given.index("--outputs") + 1] = "colour"
            given.remove("--confidence")
        return given

    out = disk(f"size={kilobytes}k")
    full = run(words("out"))
    assert full.returncode == 2, full.stderr
    assert "Traceback" not in full.stderr
    assert full.stderr.splitlines()[-1].startswith("colormnet: The disk is full: "), full.stderr
    assert full.stderr.splitlines()[-1].endswith("free some space and resume.")
    whole = content(out)
    import OpenImageIO as oiio  # noqa: N813

    for name in whole:
        image = oiio.ImageBuf(str(out / name))
        assert image.read(force=True), image.geterror()
    segments = sorted((out / f".{output}.segments").glob("*-*.mov"))
    kept = {path: path.read_bytes() for path in segments}
    plan = run(words("out", "--resume", "--dry-run")).stdout
    done = int(re.search(rf"done already +(\d+) of {FRAMES} frames", plan)[1])
    if output.endswith("exr"):
        assert len(whole) - 1 <= done <= len(whole)  # the last may be there without its record
    else:
        assert done == (int(segments[-1].stem[-7:]) if segments else 0)
    assert run(words("out", "--resume")).returncode == 2  # still full, and nothing is lost by trying
    assert {path: path.read_bytes() for path in kept} == kept
    disk("remount,size=1g")
    end = run(words("out", "--resume"))
    assert end.returncode == 0, end.stderr
    straight = run(words("straight"))
    assert straight.returncode == 0, straight.stderr
    assert content(out) == content(tmp_path / "straight")


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

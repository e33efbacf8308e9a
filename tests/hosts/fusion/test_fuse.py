"""The Fuse under LuaJIT: what it shows, what it asks, and what it never does."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from folder_worker import FolderWorker, tint
from fusion_host import FUSE, FusionHost, write_exr

WIDTH, HEIGHT = 24, 14


def plate(number: int) -> np.ndarray | None:
    """A grey gradient that differs in every frame, row and column, with an alpha of its own; half-exact."""
    if not 0 <= number <= 11:
        return None
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    grey = (rows * 4 + columns + number * 16) / 256
    alpha = np.where(columns < 4, 0.25, 1.0).astype(np.float32)
    return np.stack([grey, grey, grey, alpha], axis=-1)


@pytest.fixture
def exemplar(tmp_path: Path) -> Path:
    path = tmp_path / "ref one.png"
    path.write_bytes(b"not looked into by the Fuse")
    return path


@pytest.fixture
def host(tmp_path: Path, exemplar: Path) -> Iterator[FusionHost]:
    raw = tmp_path / "raw"
    raw.mkdir()
    with FusionHost(raw, plate, {"COLORMNET_CACHE": str(tmp_path / "engine")}) as host:
        host.set(Folder=tmp_path / "cache", Exemplars=f"{exemplar}@3\n", Timeout=300, Shot="sh010")
        yield host


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[FolderWorker]:
    with FolderWorker(tmp_path / "engine" / "worker" / "inbox") as worker:
        yield worker


def half(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float16).astype(np.float32)


def expected(number: int) -> np.ndarray:
    pixels = plate(number)
    assert pixels is not None
    return half(tint(pixels))


def litter(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.suffix in (".part", ".raw", ".tmp") or ".tmp." in p.name]


def test_luacheck() -> None:
    if shutil.which("luacheck") is None:
        pytest.skip("luacheck is not installed (Debian package lua-check)")
    config = FUSE.with_name(".luacheckrc")
    done = subprocess.run(
        ["luacheck", "--no-color", "--config", str(config), str(FUSE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_off_passes_the_image_through(host: FusionHost) -> None:
    host.set(On=0)
    np.testing.assert_array_equal(host.render(3).pixels, plate(3))
    assert "read_exr" not in host.calls


def test_finished_frames_are_read_by_number(host: FusionHost, tmp_path: Path) -> None:
    for number in range(3):
        pixels = plate(number)
        assert pixels is not None
        write_exr(tmp_path / f"done_{number + 1001:04d}.exr", tint(pixels)[..., :3])
    host.set(Frames=tmp_path / "done_%04d.exr", Offset=1001)
    for number in (2, 0, 1):
        shown = host.render(number).pixels
        np.testing.assert_array_equal(shown, np.dstack([expected(number)[..., :3], plate(number)[..., 3]]))  # type: ignore[index]
    (tmp_path / "done_1001.exr").rename(tmp_path / "100% done_1001.exr")
    host.set(Frames=tmp_path / "100% done_%04d.exr")
    assert host.render(0).kind == "image"
    host.set(Frames=tmp_path / "done_%04d.exr")
    missing = host.render(3)
    assert missing.kind == "failed"
    assert "done_1004.exr is not there" in missing.message
    assert missing.status == "Failed"
    assert missing.label == missing.message, "the sentence stands on the node"


@pytest.mark.parametrize("depth", [5, 6, 7])
def test_other_depths_become_float(host: FusionHost, worker: FolderWorker, depth: int) -> None:
    host.quirk("depth", depth)
    host.set(Live=1)
    np.testing.assert_array_equal(host.render(0).pixels, expected(0))


def test_live_out_of_order_supplies_what_the_worker_needs(
    host: FusionHost, worker: FolderWorker, tmp_path: Path
) -> None:
    host.set(Live=1)
    for number in (7, 2, 11, 0, 7):
        np.testing.assert_array_equal(host.render(number).pixels, expected(number))
    kinds = [asked["request"] for asked in worker.requests]
    assert kinds.count("open") == 1
    supplied = [asked["frame"] for asked in worker.requests if asked["request"] == "supply"]
    assert supplied == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]
    assert kinds.count("colour") == 4 + 2, "the last frame was there already; two had to be asked again"
    assert worker.most_at_once == 1
    opened = worker.requests[0]
    assert opened["frames"] == [[0, 11, 1]]
    assert opened["settings"] == {
        "space": "Gamma 2.4 Rec.709 - Texture",
        "model": "lite",
        "working_size": 0,
        "saturation": 1,
    }
    assert opened["exemplars"] == [{"path": str(tmp_path / "ref one.png"), "space": "", "frame": 3}]
    assert {asked["generation"] for asked in worker.requests[1:]} == {"g1"}
    worker.end()  # its own files come and go
    assert litter(tmp_path) == []


@pytest.mark.parametrize("flag", ["precalc", "quick", "stamp"])
def test_nothing_is_asked_while_fusion_only_looks(
    host: FusionHost, worker: FolderWorker, tmp_path: Path, flag: str
) -> None:
    host.set(Live=1)
    shown = host.render(4, flag)
    assert worker.requests == []
    assert not (tmp_path / "cache").exists()
    if flag == "precalc":
        assert shown.kind == "nodata"
        assert "read_exr" not in host.calls
    else:
        np.testing.assert_array_equal(shown.pixels, plate(4))


def test_quick_requests_show_what_is_there(host: FusionHost, worker: FolderWorker) -> None:
    host.set(Live=1)
    host.render(0)
    np.testing.assert_array_equal(host.render(0, "quick").pixels, expected(0))


def test_proxies_are_never_sent(host: FusionHost, worker: FolderWorker) -> None:
    host.set(Live=1)
    host.proxy_of = WIDTH * 2
    np.testing.assert_array_equal(host.render(0).pixels, plate(0))
    assert worker.requests == []


def test_exrio_failing_to_read_falls_back_to_clip(host: FusionHost, worker: FolderWorker) -> None:
    host.set(Live=1)
    host.quirk("exrio_read", "broken")
    np.testing.assert_array_equal(host.render(0).pixels, expected(0))
    host.quirk("clip", "broken")
    failed = host.render(0)
    assert failed.kind == "failed"
    assert "cannot be read (cannot read; Clip cannot open it)" in failed.message


@pytest.mark.parametrize("name", ["WritePart", "_WritePart"])
def test_either_name_of_the_write_call(host: FusionHost, worker: FolderWorker, name: str) -> None:
    host.set(Live=1)
    host.quirk("write_name", name)
    host.quirk("putframe", "broken")
    np.testing.assert_array_equal(host.render(0).pixels, expected(0))


@pytest.mark.parametrize("how", ["broken", "lies"])
def test_exrio_failing_to_write_falls_back_to_putframe(
    host: FusionHost, worker: FolderWorker, tmp_path: Path, how: str
) -> None:
    host.set(Live=1)
    host.quirk("exrio_write", how)
    np.testing.assert_array_equal(host.render(0).pixels, expected(0))
    host.quirk("putframe", "broken")
    failed = host.render(1)
    assert failed.kind == "failed"
    assert "cannot be written" in failed.message
    assert "bake the shot" in failed.message
    assert [asked["frame"] for asked in worker.requests if asked["request"] == "colour"] == [0]
    worker.end()  # its own files come and go
    assert litter(tmp_path) == []


def test_without_a_worker_the_node_says_so(host: FusionHost, tmp_path: Path) -> None:
    host.set(Live=1)
    failed = host.render(0)
    assert failed.kind == "failed"
    assert "does not listen" in failed.message
    assert "colormnet worker start" in failed.message
    assert not (tmp_path / "cache").exists()


def test_a_worker_that_died_while_asked(host: FusionHost, worker: FolderWorker) -> None:
    host.set(Live=1)
    worker.mute = True

    def die() -> None:
        worker.end()
        worker.alive(age=60)

    host.on_wait = die
    assert "does not listen" in host.render(0).message


def test_no_answer_ends_the_wait(host: FusionHost, worker: FolderWorker) -> None:
    host.set(Live=1, Timeout=1)
    worker.mute = True
    failed = host.render(0)
    assert "no answer within 1 seconds" in failed.message
    assert list(worker.folder.glob("*.request.json")) == []
    assert len(list(worker.folder.glob("*.cancel"))) == 1


def test_the_workers_sentence_stands_on_the_node(host: FusionHost, worker: FolderWorker) -> None:
    host.set(Live=1)
    worker.refuse = {"code": "weights", "message": "The weights are “lost”:\nfetch them \\ again."}
    failed = host.render(0)
    assert failed.message == "ColorMNet: The weights are “lost”: fetch them \\ again."


def test_a_worker_that_forgot_the_shot_is_told_again(host: FusionHost, worker: FolderWorker) -> None:
    host.set(Live=1)
    host.render(0)
    worker.forget = True
    np.testing.assert_array_equal(host.render(1).pixels, expected(1))
    assert [asked["request"] for asked in worker.requests].count("open") == 2


def test_another_exemplar_makes_other_frames(
    host: FusionHost, worker: FolderWorker, exemplar: Path, tmp_path: Path
) -> None:
    host.set(Live=1)
    host.render(0)
    exemplar.write_bytes(b"another picture, of another size")
    host.render(0)
    host.set(Saturation=0.5)
    host.render(0)
    host.press("Forget")
    assert host.get("Edition") == "1"
    host.render(0)
    assert [asked["request"] for asked in worker.requests].count("colour") == 4
    assert len(list((tmp_path / "cache" / "sh010").iterdir())) == 4, "what was coloured before is kept"


def test_an_exemplar_painted_over_is_noticed_though_its_size_is_the_same(
    host: FusionHost, worker: FolderWorker, exemplar: Path
) -> None:
    host.set(Live=1)
    host.render(0)
    exemplar.write_bytes(exemplar.read_bytes()[::-1])
    host.quirk("later", 4)  # seconds
    host.render(0)
    assert [asked["request"] for asked in worker.requests].count("colour") == 2


def test_frames_outside_the_shot(host: FusionHost, worker: FolderWorker) -> None:
    host.set(Live=1, WholeComp=0, First=2, Last=5)
    assert "outside the shot (2 to 5)" in host.render(6).message
    assert worker.requests == []


@pytest.mark.parametrize("shot", ["", "..", "a/b", "sh 010"])
def test_a_shot_name_that_is_no_folder_of_its_own(host: FusionHost, worker: FolderWorker, shot: str) -> None:
    host.set(Live=1, Shot=shot)
    assert "a shot name of letters" in host.render(0).message
    assert worker.requests == []


def test_a_missing_exemplar(host: FusionHost, worker: FolderWorker) -> None:
    host.set(Live=1, Exemplars="/nowhere/ref.png")
    assert "/nowhere/ref.png cannot be read" in host.render(0).message
    host.set(Exemplars="")
    assert "no exemplar" in host.render(0).message


def test_a_finished_frame_of_another_size(host: FusionHost, tmp_path: Path) -> None:
    write_exr(tmp_path / "a_0000.exr", np.ones((5, 6, 3), np.float32))
    host.set(Frames=tmp_path / "a_%04d.exr")
    assert "it is 6x5, the input 24x14" in host.render(0).message
    (tmp_path / "a_0001.exr").write_bytes(b"v/1\x01" + b"\0" * 90)
    assert "cannot be read" in host.render(1).message


def test_the_end_of_the_input_is_told(host: FusionHost, worker: FolderWorker) -> None:
    host.comp(-3, 11)
    host.set(Live=1)
    assert "the input has none there" in host.render(0).message
    assert host.render(-2).kind == "empty"


def test_several_frames_at_once(tmp_path: Path, exemplar: Path, worker: FolderWorker) -> None:
    """As Fusion renders several frames at once: states that know nothing of each other share cache and worker."""

    def render(seed: int) -> None:
        raw = tmp_path / f"raw{seed}"
        raw.mkdir()
        with FusionHost(raw, plate, {"COLORMNET_CACHE": str(tmp_path / "engine")}) as host:
            host.set(Folder=tmp_path / "cache", Exemplars=exemplar, Timeout=300, Live=1)
            for number in np.random.default_rng(seed).permutation(12):
                np.testing.assert_array_equal(host.render(int(number)).pixels, expected(int(number)))

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(render, seed) for seed in range(3)]:
            done.result()
    worker.end()  # its own files come and go
    assert litter(tmp_path) == []

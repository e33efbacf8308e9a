"""Read -> ColorMNet -> Write with the real worker and the lite model: 24 real frames, pixels as ``colormnet colorize``.

The host is the strict stand-in, in GUI mode in this process and in terminal mode as a process of its own.
"""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
STANDIN = ROOT / "tests" / "hosts" / "nuke_standin"
FRAMES = list(range(1001, 1025))
WIDTH, HEIGHT = 128, 72
WORKING_SIZE = 112


def _standin() -> ModuleType:
    if "nuke_standin" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "nuke_standin", STANDIN / "__init__.py", submodule_search_locations=[str(STANDIN)]
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["nuke_standin"] = module
        spec.loader.exec_module(module)
    return sys.modules["nuke_standin"]


class Shot:
    """The bundled clip as grey linear EXRs with alpha and depth; coloured first and later frames as exemplars."""

    def __init__(self, folder: Path, overscan: tuple[int, int] = (0, 0)) -> None:
        import cv2

        from colormnet.media.frames import open_source

        self.folder, self.overscan = folder, overscan
        clip = open_source(str(ROOT / "core" / "colormnet" / "demo_media" / "big_buck_bunny.mp4"), range(1, 25))
        self.plates = folder / "plates"
        self.plates.mkdir()
        with clip:
            for number, frame in enumerate(FRAMES, start=1):
                small = cv2.resize(clip.read(number).pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
                linear = np.where(small <= 0.081, small / 4.5, ((small + 0.099) / 1.099) ** (1 / 0.45))
                grey = linear @ np.array([0.2126, 0.7152, 0.0722])
                self._write(self.plates / f"plate.{frame}.exr", np.repeat(grey[..., None], 3, axis=-1), rest=True)
                if frame in (1001, 1012):
                    self._write(folder / f"paint.{frame}.exr", linear, rest=False)

    def _write(self, path: Path, rgb: np.ndarray, rest: bool) -> None:
        images = _standin()
        planes = {f"rgba.{c}": rgb[..., i].astype(np.float32) for i, c in enumerate(("red", "green", "blue"))}
        if rest:
            ramp = np.linspace(0, 1, rgb[..., 0].size, dtype=np.float32).reshape(rgb.shape[:2])
            planes.update({"rgba.alpha": ramp, "depth.Z": ramp * 50})
        left, top = self.overscan  # and as much at the other end
        shape, box = images.Format(WIDTH - 2 * left, HEIGHT - 2 * top), (-left, -top, WIDTH - left, HEIGHT - top)
        images.write_exr(str(path), images.Image(shape, box, planes), False, "zip")

    def reference(self, name: str, exemplars: list[str]) -> dict[int, np.ndarray]:
        """RGB of every frame from the command line."""
        out = self.folder / name
        if not out.is_dir():
            command = [sys.executable, "-m", "colormnet.cli.main", "colorize", f"{self.plates}/plate.####.exr"]
            command += ["-o", f"{out}/ref.####.exr", "--space", "lin_rec709_srgb", "--device", "cpu"]
            command += ["--working-size", str(WORKING_SIZE)]
            for exemplar in exemplars:
                command += ["-e", exemplar]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        return {frame: rgb(out / f"ref.{frame}.exr") for frame in FRAMES}


def png_of_format(shot: Shot, source: Path, target: Path) -> Path:
    """What a painter gets: the display window of an EXR as sRGB, without its overscan."""
    images = _standin().images
    picture = images.read(str(source))
    shown = {name: images.from_linear(plane) for name, plane in picture.channels.items()}
    images.write_png(str(target), images.Image(picture.format, picture.box, shown))
    assert shot.overscan != (0, 0)
    return target


def rgb(path: Path) -> np.ndarray:
    image = _standin().read(str(path))
    return np.stack([image.channels[f"rgba.{c}"] for c in ("red", "green", "blue")], axis=-1)


@pytest.fixture(scope="module")
def worker_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Directories of a worker of our own, stopped at the end."""
    home = tmp_path_factory.mktemp("worker")
    values = {
        "COLORMNET_RUNTIME": str(home / "run"),
        "COLORMNET_CACHE": str(home / "cache"),
        "COLORMNET_PYTHON": sys.executable,
        "OMP_NUM_THREADS": "1",
    }
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    yield values
    from colormnet_host.client import Client
    from colormnet_host.launcher import Launcher

    with Client(Launcher(device="cpu")) as client:
        client.stop()
    for name, value in before.items():
        if value is None:
            os.environ.pop(name)
        else:
            os.environ[name] = value


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    return Shot(tmp_path_factory.mktemp("shot"))


@pytest.fixture
def start(worker_home: dict[str, str]) -> Iterator[Callable[..., Any]]:
    """Start a host in this process with the plugin loaded."""
    path_before = list(sys.path)

    def forget() -> None:
        for name in [n for n in sys.modules if n == "nuke" or n.partition(".")[0] == "colormnet_nuke"]:
            del sys.modules[name]

    def begin(gui: bool) -> Any:
        forget()
        host = _standin().Host(gui=gui)
        host.load_plugins(ROOT / "nuke")
        return host

    yield begin
    sys.path[:] = path_before
    forget()


def build(shot: Shot, script: Path, exemplar: Path) -> Any:
    """Read -> ColorMNet -> Write, saved as a script; the ColorMNet node."""
    import nuke

    import colormnet_nuke

    plate = nuke.nodes.Read(first=FRAMES[0], last=FRAMES[-1])
    plate["file"].setValue(f"{shot.plates.as_posix()}/plate.%04d.exr")
    paint = nuke.nodes.Read(name="paint")
    paint["file"].setValue(exemplar.as_posix())
    nuke.root()["first_frame"].setValue(FRAMES[0])
    nuke.root()["last_frame"].setValue(FRAMES[-1])
    node = colormnet_nuke.create(plate, paint)
    node["use_gpu"].setValue(False)
    node["working_size"].setValue(WORKING_SIZE)
    node["exemplar_frame"].setValue(1001)
    node["snapshot_every"].setValue(5)
    write = nuke.nodes.Write(name="out")
    write["file_type"].setValue("exr")
    write["channels"].setValue("all")
    write["datatype"].setValue("32 bit float")
    write["file"].setValue(f"{script.parent.as_posix()}/out.%04d.exr")
    write.setInput(0, node)
    nuke.scriptSaveAs(str(script), 1)
    return node


def press_and_wait(host: Any, node: Any) -> None:
    import colormnet_nuke.job as job

    node["colorize"].execute()
    deadline = time.monotonic() + 200
    while job.running(node) is not None:
        assert time.monotonic() < deadline
        host.process_events(timeout=0.05)


def rendered(shot: Shot, folder: Path, frames: list[int]) -> dict[int, np.ndarray]:
    """RGB of the rendered frames, after checking that alpha and depth are the plate's."""
    for frame in frames:
        out, plate = (
            _standin().read(str(p)) for p in (folder / f"out.{frame}.exr", shot.plates / f"plate.{frame}.exr")
        )
        for name in ("rgba.alpha", "depth.Z"):
            np.testing.assert_array_equal(out.channels[name], plate.channels[name])
    return {frame: rgb(folder / f"out.{frame}.exr") for frame in frames}


def assert_same(found: dict[int, np.ndarray], expected: dict[int, np.ndarray]) -> None:
    for frame, pixels in found.items():
        np.testing.assert_array_equal(pixels, expected[frame], err_msg=f"frame {frame}")


def test_gui_exemplar_change_cancel_resume_and_killed_worker(
    start: Callable[..., Any],
    shot: Shot,
    tmp_path: Path,
    worker_home: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = start(gui=True)
    script = tmp_path / "shot.nk"
    node = build(shot, script, shot.folder / "paint.1001.exr")
    import nuke

    import colormnet_nuke.job as job

    # Cancelled on the way, then resumed; the worker is killed in the middle of the second part.
    def cancel(work: Any) -> None:
        host.cancel_tasks = True
        assert work.cancel.wait(200)

    when_done(7, cancel, monkeypatch)
    press_and_wait(host, node)
    assert node["summary"].value() == "cancelled", node["status"].value()
    first_part = sorted(job.results.attached(node).frames("main"))
    assert first_part == FRAMES[: len(first_part)]
    assert 7 <= len(first_part) < 24

    host.cancel_tasks = False
    killed: list[int] = []
    when_done(4, lambda work: killed.append(kill_worker()), monkeypatch)
    press_and_wait(host, node)
    assert killed
    assert node["status"].value() == f"24 frames colorized, {len(first_part)} of them were there already"
    assert host.messages == []
    expected = shot.reference("ref_one", [f"{shot.folder}/paint.1001.exr@1001"])
    nuke.execute(nuke.toNode("out"), FRAMES[0], FRAMES[-1])
    assert_same(rendered(shot, tmp_path, FRAMES), expected)
    assert any(not np.array_equal(p[..., 0], p[..., 2]) for p in expected.values())

    # One more exemplar: everything is recoloured, nothing is baked again.
    baked_before = len(host.executions)
    node["more_exemplars"].setValue(f"{shot.folder.as_posix()}/paint.1012.exr@1012")
    press_and_wait(host, node)
    assert node["status"].value().startswith("24 frames colorized"), node["status"].value()
    frames_baked = sum(len(frames) for _, frames, _ in host.executions[baked_before:])
    assert frames_baked == 1  # the exemplar input's frame
    two = shot.reference("ref_two", [f"{shot.folder}/paint.1001.exr@1001", f"{shot.folder}/paint.1012.exr@1012"])
    nuke.execute(nuke.toNode("out"), FRAMES[0], FRAMES[-1])
    assert_same(rendered(shot, tmp_path, FRAMES), two)
    assert not np.array_equal(two[1012], expected[1012])
    assert _keys_reused(node) > 0  # the network's analysis of the plate is taken from the first time


def _keys_reused(node: Any) -> int:
    """How many encodings of plate frames the worker has saved in the node's session."""
    from colormnet_host.client import Client
    from colormnet_host.launcher import Launcher
    from colormnet_nuke import settings

    chosen = settings.read(node)
    with Client(Launcher(device="cpu")) as client:
        (name,) = [str(each["name"]) for each in client.sessions() if chosen.node_id in str(each["name"])]
        return client.open_session(name, chosen.session, chosen.frames).status().keys_reused


def when_done(frames: int, act: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Call ``act`` with the next job, once, when so many of its frames are done; it takes no further ones meanwhile."""
    import colormnet_nuke.job as job

    coloured, called = job.Job._coloured, []

    def then(work: Any, view: Any, result: Any) -> None:
        coloured(work, view, result)
        if not called and sum(len(each.computed) for each in work.views) >= frames:
            called.append(True)
            act(work)

    monkeypatch.setattr(job.Job, "_coloured", then)


def kill_worker() -> int:
    from colormnet_host.client import Client
    from colormnet_host.launcher import Launcher

    with Client(Launcher(device="cpu")) as client:
        status = client.status()
    assert status is not None
    os.kill(status.pid, signal.SIGKILL)
    return int(status.pid)


def nuke(worker_home: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The stand-in in terminal mode, as a process, with the plugin on NUKE_PATH."""
    environment = dict(os.environ, NUKE_PATH=str(ROOT / "nuke"), **worker_home)
    command = [sys.executable, str(STANDIN / "__main__.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)


def test_terminal_colorize_then_render_in_pieces_and_out_of_order(
    start: Callable[..., Any], shot: Shot, tmp_path: Path, worker_home: dict[str, str]
) -> None:
    start(gui=False)
    script = tmp_path / "shot.nk"
    build(shot, script, shot.folder / "paint.1001.exr")
    text = script.read_text()

    refused = nuke(worker_home, "-x", "-F", "1003-1005", str(script))
    assert refused.returncode == 1
    assert "has not been colorized" in refused.stderr
    assert "colorize.py" in refused.stderr
    assert not list(tmp_path.glob("out.*"))

    # The middle of the shot first, as a farm's task; then the rest.
    for frames in ("1010-1012", "1001-1024"):
        done = nuke(worker_home, "-t", str(ROOT / "nuke" / "colorize.py"), str(script), "--frames", frames)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Error:" not in done.stdout + done.stderr
        if frames == "1010-1012":
            half = nuke(worker_home, "-x", "-F", "1010-1013", str(script))
            assert half.returncode == 1
            assert "no colour for frame 1013" in half.stderr
    assert script.read_text() == text  # the artist's script is not touched

    for ranges in (["-F", "1020-1024"], ["-F", "1011x1", "-F", "1001-1010"], ["-F", "1011-1019"]):
        arguments = [r.replace("x1", "") for r in ranges]
        done = nuke(worker_home, "-x", *arguments, str(script))
        assert done.returncode == 0, done.stdout + done.stderr
    expected = shot.reference("ref_one", [f"{shot.folder}/paint.1001.exr@1001"])
    assert_same(rendered(shot, tmp_path, FRAMES), expected)

    usage = nuke(worker_home, "-t", str(ROOT / "nuke" / "colorize.py"), str(script), "--node", "Nobody")
    assert usage.returncode == 2
    assert "no ColorMNet node Nobody" in usage.stderr


def test_an_exemplar_file_under_overscan_lies_where_the_command_line_lays_it(
    start: Callable[..., Any], tmp_path: Path, worker_home: dict[str, str]
) -> None:
    """The bounding box is larger than the format; the painter's still holds the format alone."""
    start(gui=False)
    (tmp_path / "shot").mkdir()
    shot = Shot(tmp_path / "shot", overscan=(16, 8))
    still = png_of_format(shot, shot.folder / "paint.1001.exr", tmp_path / "still.png")
    node = build(shot, tmp_path / "shot.nk", shot.folder / "paint.1001.exr")
    import nuke

    import colormnet_nuke

    node["exemplar_source"].setValue("file")
    node["exemplar_file"].setValue((shot.folder / "paint.1012.exr").as_posix())
    node["more_exemplars"].setValue(f"{still.as_posix()}@1001")
    frames = FRAMES[:3]
    colormnet_nuke.colorize(node, frames)
    status = str(node["status"].value())
    assert f"lies on the plate's display window {WIDTH - 32}x{HEIGHT - 16}" in status, status
    assert "does not show" not in status
    nuke.execute(nuke.toNode("out"), frames[0], frames[-1])
    expected = shot.reference("ref", [f"{shot.folder}/paint.1012.exr", f"{still}@1001"])
    assert_same(rendered(shot, tmp_path, frames), expected)
    coloured = expected[1001].reshape(-1, 3)
    assert np.abs(coloured - coloured.mean(axis=1, keepdims=True)).max() > 0.01

"""A stand-in host with the plugin loaded as Nuke loads it, and a shot of rendered frames."""

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # without a display Qt would end the whole process


def _load(name: str, folder: Path) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


standin = _load("nuke_standin", ROOT / "tests" / "hosts" / "nuke_standin")


def _forget_plugin() -> None:
    for name in [n for n in sys.modules if n == "nuke" or n.partition(".")[0] == "colormnet_nuke"]:
        del sys.modules[name]


@pytest.fixture
def start_host() -> Iterator[Callable[..., Any]]:
    """Start a host; with ``plugin`` the plugin's folder is on its path, as NUKE_PATH puts it there."""
    path_before = list(sys.path)

    def start(plugin: bool = True, **how: Any) -> Any:
        _forget_plugin()
        host = standin.Host(**how)
        if plugin:
            host.load_plugins(ROOT / "nuke")
        return host

    yield start
    sys.path[:] = path_before
    _forget_plugin()


@pytest.fixture
def shot(tmp_path: Path) -> "Shot":
    """Six grey frames with alpha, depth and overscan, two views, and a coloured first frame."""
    return Shot(tmp_path / "plates")


class Shot:
    """Rendered EXR frames 1001-1006: a disc moves over a gradient."""

    frames = range(1001, 1007)
    width, height, margin = 64, 48, 4

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        for view in ("main", "left", "right"):
            for frame in self.frames:
                self.render(view, frame)
        self.exemplar = folder / "exemplar.exr"
        grey = self.grey("main", 1001)
        colour = np.stack([grey * 1.3, grey, grey * 0.6], axis=-1)
        self._write(self.exemplar, {f"rgba.{c}": colour[..., i] for i, c in enumerate(("red", "green", "blue"))})

    def pattern(self) -> str:
        """The file name for a Read."""
        return f"{self.folder.as_posix()}/plate.%V.%04d.exr"

    def path(self, view: str, frame: int) -> Path:
        """The file of a frame."""
        return self.folder / f"plate.{view}.{frame:04d}.exr"

    def grey(self, view: str, frame: int) -> np.ndarray:
        """The plate's luminance with overscan."""
        height, width = self.height + 2 * self.margin, self.width + 2 * self.margin
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        shift = {"main": 0, "left": 3, "right": -3}[view]
        disc = ((x - 12 - 6 * (frame - 1001) - shift) ** 2 + (y - 26) ** 2) < 100
        return (0.1 + 0.4 * x / width + np.where(disc, 1.5, 0.0)).astype(np.float32)

    def render(self, view: str, frame: int, gain: float = 1.0) -> None:
        """Write one frame: RGB grey, alpha a ramp, depth."""
        grey = self.grey(view, frame) * np.float32(gain)
        ramp = np.linspace(0, 1, grey.size, dtype=np.float32).reshape(grey.shape)
        planes = dict.fromkeys(("rgba.red", "rgba.green", "rgba.blue"), grey)
        self._write(self.path(view, frame), {**planes, "rgba.alpha": ramp, "depth.Z": ramp * 100})

    def _write(self, path: Path, channels: dict[str, np.ndarray]) -> None:
        box = (-self.margin, -self.margin, self.width + self.margin, self.height + self.margin)
        image = standin.Image(standin.Format(self.width, self.height), box, channels)
        standin.write_exr(str(path), image, False, "zip")


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, start_host: Callable[..., Any]) -> Any:
    """The fake worker; put in place by ``use_worker`` once the plugin is loaded."""
    fake = _load_file("nuke_fake_engine", Path(__file__).with_name("fake_engine.py"))
    fake.Client.worker = fake.Worker(standin)
    return fake.Client.worker


def _load_file(name: str, path: Path) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


class Scene:
    """A script with Read -> ColorMNet -> Write in a host with the plugin and the fake worker."""

    def __init__(self, host: Any, shot: Shot, folder: Path) -> None:
        self.host, self.shot, self.folder = host, shot, folder
        self.script = folder / "shot.nk"
        self.nuke = sys.modules["nuke"]
        self.worker = sys.modules["nuke_fake_engine"].Client.worker
        import colormnet_nuke.engine as engine

        for name in ("Client", "Launcher", "find_weights", "renew"):
            setattr(engine, name, getattr(sys.modules["nuke_fake_engine"], name))

    def build(self) -> Any:
        """Read, exemplar, ColorMNet, Write; saved."""
        nuke, shot = self.nuke, self.shot
        read = nuke.nodes.Read(name="plate_read", first=shot.frames[0], last=shot.frames[-1])
        read["file"].setValue(shot.pattern())
        read["localizationPolicy"].setValue("off")
        exemplar = nuke.nodes.Read(name="exemplar_read")
        exemplar["file"].setValue(shot.exemplar.as_posix())
        exemplar["localizationPolicy"].setValue("off")
        nuke.root()["first_frame"].setValue(shot.frames[0])
        nuke.root()["last_frame"].setValue(shot.frames[-1])
        import colormnet_nuke

        node = colormnet_nuke.create(read, exemplar)
        write = nuke.nodes.Write(name="out")
        write["file_type"].setValue("exr")
        write["channels"].setValue("all")
        write["datatype"].setValue("32 bit float")
        write["file"].setValue(f"{self.folder.as_posix()}/out.%V.%04d.exr")
        write.setInput(0, node)
        nuke.scriptSaveAs(str(self.script), 1)
        return node

    def serve_until(self, true: Callable[[], bool]) -> None:
        """What the GUI's event loop does until something is so."""
        deadline = time.monotonic() + 120
        while not true():
            assert time.monotonic() < deadline
            self.host.process_events(timeout=0.05)

    def wait(self, node: Any) -> None:
        """The same until the node's job is over."""
        import colormnet_nuke.job as job

        self.serve_until(lambda: job.running(node) is None)

    def node(self) -> Any:
        """The ColorMNet node as the script has it now."""
        return self.nuke.toNode("ColorMNet1")

    def expected(self, node: Any, frame: int, view: str = "main", saturation: float = 1.0) -> np.ndarray:
        """RGB (H, W, 3) that the fake worker gives to the shot's frame in the session the node would open."""
        generation = next(iter(self.generations(node, view)))
        history = sum(float(self.shot.grey(view, f).mean()) for f in self.shot.frames if f <= frame) / 100
        return self.shot.grey(view, frame)[..., None] * self.worker.tint(generation, history)

    def generations(self, node: Any, view: str) -> set[str]:
        """Generations noted in the journal of what the node shows."""
        import colormnet_nuke.results as results

        return {record.generation for record in results.attached(node).frames(view).values()}

    def rgb(self, node: Any, frame: int, view: str = "main") -> np.ndarray:
        """What the node gives at a frame, (H, W, 3)."""
        image = self.host.picture(node, frame, view)
        return np.stack([image.channels[f"rgba.{c}"] for c in ("red", "green", "blue")], axis=-1)


@pytest.fixture
def scene(start_host: Callable[..., Any], worker: Any, shot: Shot, tmp_path: Path) -> Callable[..., Scene]:
    """Make a scene: ``scene(gui=True, views=("main",))``."""

    def make(**how: Any) -> Scene:
        return Scene(start_host(**how), shot, tmp_path)

    return make

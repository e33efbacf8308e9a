"""A stand-in host with the plugin loaded as Nuke loads it, and a shot of rendered frames."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]


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

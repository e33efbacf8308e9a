"""What tests of more than one folder share: real frames, and a small network with random weights."""

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run, and no limits on time: a slow machine is no failure, and none comes by chance.
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# PyTorch rounds sums otherwise with another number of threads. Tests compare pictures of this process with those of
# others bit for bit, and several of them run at once: one thread each, here and in every process started from here.
os.environ["OMP_NUM_THREADS"] = "1"

# Folders whose files take long, in this order; with the short ones last all processes end at about the same time.
LONG = ("end_to_end", "unit/worker", "unit/host_client")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first."""
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        return next((at for at, folder in enumerate(LONG) if item.path.is_relative_to(here / folder)), len(LONG))

    items.sort(key=place)


_counts: Counter[str] = Counter()  # of the fault suite, which may run in another process


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown":
        for name, value in report.user_properties:
            if name == "fault suite":
                _counts.update(value)  # type: ignore[arg-type]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _counts:
        terminalreporter.write_line("fault suite: " + ", ".join(f"{count} {what}" for what, count in _counts.items()))


@pytest.fixture(scope="session")
def demo_clip() -> Path:
    """The bundled Big Buck Bunny excerpt: 60 frames, 640x360."""
    return Path(str(files("colormnet") / "demo_media" / "big_buck_bunny.mp4"))


@pytest.fixture(scope="session")
def demo_frames(demo_clip: Path) -> list[np.ndarray]:
    """Its first 12 frames at 128x72: (72, 128, 3) float32 sRGB code values in [0, 1]."""
    from colormnet.media.frames import open_source

    with open_source(demo_clip, "1-12") as source:
        full = [source.read(number).pixels for number in source.frames]
    return [cv2.resize(frame, (128, 72), interpolation=cv2.INTER_AREA) for frame in full]


@pytest.fixture(scope="session")
def random_lite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the lite architecture with random weights: colours are nonsense, everything else is real."""
    import torch

    from colormnet.network.checkpoint import save_weights
    from colormnet.network.lite import Lite, LiteConfig

    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = Lite(LiteConfig())
    path = tmp_path_factory.mktemp("weights") / "random_lite.safetensors"
    save_weights(path, network, asdict(network.config), {"working_size": json.dumps(64)})
    return path


@pytest.fixture(scope="session")
def clip_folder(demo_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``plate/plate.####.png``: 20 grey frames of the demo clip at 96x54; ``key.png``: the first one in colour."""
    from colormnet.media.frames import open_source

    folder = tmp_path_factory.mktemp("farm clip")
    (folder / "plate").mkdir()
    with open_source(demo_clip, "1-20") as source:
        for number in source.frames:
            small = cv2.resize(source.read(number).pixels, (96, 54), interpolation=cv2.INTER_AREA)
            coded = np.round(small * 255).astype(np.uint8)
            grey = cv2.cvtColor(coded, cv2.COLOR_RGB2GRAY)
            assert cv2.imwrite(str(folder / "plate" / f"plate.{1000 + number}.png"), cv2.merge([grey] * 3))
            if number == 1:
                assert cv2.imwrite(str(folder / "key.png"), cv2.cvtColor(coded, cv2.COLOR_RGB2BGR))
    return folder


PlateWriter = Callable[..., str]


@pytest.fixture
def write_plate(tmp_path: Path, demo_frames: list[np.ndarray]) -> PlateWriter:
    """``write_plate(count, suffix, first, name)`` writes a grey plate of the demo's frames and answers its pattern.

    EXR plates are half float, scene-linear, with values above 1 and below 0.
    """
    import OpenImageIO as oiio  # noqa: N813

    def write(count: int = 8, suffix: str = "exr", first: int = 1001, name: str = "plate") -> str:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for index in range(count):
            code = demo_frames[index % len(demo_frames)] @ np.float32([0.2126, 0.7152, 0.0722])
            pixels = np.repeat(code[..., None], 3, axis=2).astype(np.float32)
            if suffix == "exr":
                pixels = pixels**2.2 * 1.6 - 0.002
                spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], 3, "half")
                spec.attribute("compression", "zip")
            else:
                spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], 3, "uint8")
            path = folder / f"{name}.{first + index:04d}.{suffix}"
            out = oiio.ImageOutput.create(str(path))
            assert out is not None
            assert out.open(str(path), spec), oiio.geterror()
            assert out.write_image(np.ascontiguousarray(pixels)), out.geterror()
            out.close()
        return str(folder / f"{name}.####.{suffix}")

    return write


@pytest.fixture
def write_exemplar(tmp_path: Path, demo_frames: list[np.ndarray]) -> Callable[..., str]:
    """``write_exemplar(index, name, size, colour)`` writes a frame of the demo as an 8-bit PNG and answers its path."""

    def write(
        index: int = 0, name: str = "exemplar.png", size: tuple[int, int] | None = None, colour: bool = True
    ) -> str:
        picture = demo_frames[index]
        if not colour:
            picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
        if size is not None:
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        path = tmp_path / name
        codes = np.rint(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)
        assert cv2.imwrite(str(path), cv2.cvtColor(codes, cv2.COLOR_RGB2BGR))
        return str(path)

    return write

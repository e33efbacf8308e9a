"""What the worker's tests share: plates from the bundled clip, workers on demand, comparison of pictures."""

import atexit
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio  # noqa: N813

import colormnet
from colormnet.job import ExemplarSpec
from colormnet.media.frames import open_source
from colormnet_host import endpoint
from colormnet_host.launcher import Launcher

HERE = Path(__file__).parent
CLIP = Path(colormnet.__file__).parent / "demo_media" / "big_buck_bunny.mp4"
WIDTH, HEIGHT = 96, 64
SPACE = "lin_rec709_srgb"


def footage(count: int) -> np.ndarray:
    """(count, HEIGHT, WIDTH, 3) float32 in [0, 1]: the bundled clip in colour, there and back where it is too short."""
    with open_source(CLIP) as source:
        numbers = source.frames
        order = [*numbers, *numbers[-2:0:-1]]
        wanted = [order[index % len(order)] for index in range(count)]
        small = {}
        for number in sorted(set(wanted)):
            pixels = source.read(number).pixels
            small[number] = cv2.resize(pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.stack([small[number] for number in wanted])


def write_exr(path: Path, pixels: np.ndarray, extra: np.ndarray, frame: int) -> None:
    """Half RGBA, a float channel of its own, a data window beyond the display window, metadata."""
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], 5, "half")
    spec.channelnames = ("R", "G", "B", "A", "depth.Z")
    spec.channelformats = (oiio.HALF, oiio.HALF, oiio.HALF, oiio.HALF, oiio.FLOAT)
    spec.x, spec.y = -4, -2
    spec.full_x, spec.full_y, spec.full_width, spec.full_height = 0, 0, pixels.shape[1] - 8, pixels.shape[0] - 4
    spec.attribute("compression", "zips")
    spec.attribute("framesPerSecond", "rational", [24, 1])
    spec.attribute("shot", f"sh010 frame {frame}")
    alpha = np.full((*pixels.shape[:2], 1), 0.75, np.float32)
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), spec), output.geterror()
    assert output.write_image(np.concatenate([pixels, alpha, extra[..., None]], -1).astype(np.float32))
    output.close()


def make_plates(folder: Path, count: int) -> tuple[dict[int, Path], Path]:
    """Grey linear plates 1001... as EXR, and the first frame in colour as PNG."""
    folder.mkdir(parents=True)
    colour = footage(count)
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4).astype(np.float32)
    grey = linear @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    grey = grey * 1.5  # highlights above 1
    paths = {}
    for index in range(count):
        paths[1001 + index] = folder / f"plate.{1001 + index}.exr"
        write_exr(paths[1001 + index], np.repeat(grey[index][..., None], 3, -1), grey[index] * 100, 1001 + index)
    exemplar = folder.parent / "exemplar.png"
    cv2.imwrite(str(exemplar), np.round(colour[0][..., ::-1] * 255).astype(np.uint8))
    return paths, exemplar


def straight_run(
    server: "ForkServer", plates: dict[int, Path], exemplars: tuple[ExemplarSpec, ...], output: Path, **settings
) -> dict[int, Path]:
    """What `colormnet colorize` writes, in a process like the workers': with more threads sums round otherwise."""
    output.mkdir(parents=True)
    server.colorize(
        output.parent / f"{output.name}.err",
        plate=str(next(iter(plates.values())).parent / "plate.####.exr"),
        exemplars=[[each.path, each.picture, each.frame] for each in exemplars],
        output=str(output / "out.####.exr"),
        space=SPACE,
        working_size=HEIGHT,
        device="cpu",
        **settings,
    )
    return {frame: output / f"out.{frame}.exr" for frame in plates}


def picture(path: Path) -> tuple[list[str], bytes]:
    """Channel names and every sample of a picture, in the file's own types."""
    image = oiio.ImageInput.open(str(path))
    assert image, oiio.geterror()
    pixels = image.read_image(0, 0, 0, image.spec().nchannels, "float")
    names = list(image.spec().channelnames)
    image.close()
    return names, pixels.tobytes()


def differing(one: dict[int, Path], other: dict[int, Path]) -> list[int]:
    """Frames whose pictures are not the same bit for bit, or are missing."""
    return [frame for frame in one if not other[frame].is_file() or picture(one[frame]) != picture(other[frame])]


# Places at which forkserver.py can make a worker die.
STAGES = [
    *("hello", "decode", "decode done", "keep plate", "keep plate done", "load weights", "encode", "encode done"),
    *("step", "step done", "keep result", "keep result done", "snapshot", "snapshot done", "before rename"),
    *("before rename done", "rename", "rename done", "write picture", "write picture done", "answer", "answer done"),
]


class Forked:
    """A forked worker, as far as the launcher looks at it."""

    def __init__(self, pid: int, codes: Path) -> None:
        self.pid = pid
        self.born = endpoint.process_start(pid)
        self._code = codes / str(pid)  # written by a process that ends by itself

    def poll(self) -> int | None:
        """As `subprocess.Popen.poll`."""
        if self.born is not None and endpoint.process_start(self.pid) == self.born:
            return None
        return int(self._code.read_text()) if self._code.exists() else -signal.SIGKILL


class ForkServer:
    """See forkserver.py."""

    def __init__(self) -> None:
        # One arena: a limit on address space counts what glibc only reserves.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "forkserver.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self.workers: list[Forked] = []
        self._codes = Path(tempfile.mkdtemp(prefix="worker-codes-"))
        self._lock = threading.Lock()
        assert self.process.stdout.readline().strip() == "ready"

    def _start(self, **asked) -> Forked:
        with self._lock:  # launchers of several threads ask at once
            self.process.stdin.write(json.dumps({**asked, "codes": str(self._codes)}) + "\n")
            self.process.stdin.flush()
            return Forked(int(self.process.stdout.readline()), self._codes)

    def fork(self, **asked) -> Forked:
        worker = self._start(**asked)
        self.workers.append(worker)
        return worker

    def colorize(self, errors: Path, **job) -> None:
        """Run a `ColorizeJob` in a forked process and wait for its end."""
        errors.touch()
        process = self._start(job=job, errors=str(errors))
        assert wait_until(lambda: process.poll() is not None, 400)
        assert process.poll() == 0, errors.read_text()
        assert not errors.read_text(), errors.read_text()

    def alive(self) -> list[int]:
        return [worker.pid for worker in self.workers if worker.poll() is None]

    def kill(self) -> None:
        """Kill the workers that are left, and wait until they have gone."""
        for pid in self.alive():
            shoot(pid)
        assert wait_until(lambda: not self.alive())

    def close(self) -> None:
        self.kill()
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        shutil.rmtree(self._codes)


def shoot(pid: int) -> bool:
    """Kill a process; False where it had ended by itself just now."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


@functools.cache
def fork_server() -> ForkServer:
    """The one of this process, started when it is first needed."""
    server = ForkServer()
    atexit.register(server.close)
    return server


@functools.cache
def twelve_frames(folder: Path) -> tuple[dict[int, Path], Path, dict[int, Path]]:
    """Plates, an exemplar that colours the first of them, and what `colormnet colorize` makes of them."""
    plates, exemplar = make_plates(folder / "plates", 12)
    specs = (ExemplarSpec(str(exemplar), None, 1001),)
    return plates, exemplar, straight_run(fork_server(), plates, specs, folder / "straight")


class Hold:
    """Stops a worker when it comes to a stage the n-th time, for every n of ``counts``, until it is told to go on."""

    def __init__(self, folder: Path, stage: str, *counts: int) -> None:
        folder.mkdir()
        self.folder = folder
        self.plan = {"stage": stage, "counts": counts, "folder": str(folder)}

    def wait(self, count: int) -> None:
        """Until the worker stands there."""
        assert wait_until((self.folder / f"held-{count}").exists), f"the worker did not come to {self.plan}"

    def go(self, count: int) -> None:
        """Let it go on, or by when it comes there."""
        (self.folder / f"go-{count}").touch()


class ForkLauncher(Launcher):
    """Starts workers by the fork server; finding and greeting them is the launcher's own."""

    def __init__(self, server: ForkServer, places: Path, device: str = "cpu", **asked) -> None:
        super().__init__(device=device)
        self.server = server
        self.asked = asked
        self.runtime, self.cache = places / "run", places / "cache"
        endpoint.make_private(str(self.runtime))
        self.plans: list[dict] = []  # deaths of the workers to come
        self.hold: Hold | None = None  # of all workers to come

    def start(self) -> None:
        asked = dict(self.asked)
        if self.plans:
            asked["die"] = self.plans.pop(0)
        if self.hold is not None:
            asked["hold"] = self.hold.plan
        self.process = self.server.fork(
            runtime=str(self.runtime),
            cache=str(self.cache),
            device=self.device,
            errors=self.error_file(),
            **asked,
        )
        self.launches += 1


def leftovers(*folders: Path) -> list[str]:
    """Files that nobody should find after the work: unfinished ones, sockets, endpoint files, notes."""
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            name = path.name
            unfinished = ".part" in name or name.endswith((".sock", ".tmp")) or name.startswith((".write-", "buffer-"))
            endpoint_file = name.startswith("engine-") and name.endswith(".json")
            if path.is_socket() or unfinished or endpoint_file or (path.parent.name == "writing" and path.is_file()):
                found.append(str(path))
    return found


def wait_until(true, seconds: float = 120.0) -> bool:
    """Whether ``true()`` became so in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return bool(true())

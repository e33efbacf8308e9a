"""A worker inside the test process, for what the node does around it: same client API, no network, files for real.

Its colour depends on the exemplars, the settings and every plate frame before, as the real one's does, so a frame that
was computed from the wrong past is seen in its pixels. The end-to-end tests use the real worker.
"""

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from colormnet_host import client as real
from colormnet_host.job import Exemplar, FrameResult, Progress, SessionSettings, SessionStatus, WorkerStatus
from colormnet_host.weights import WeightsFile


class Worker:
    """What outlives a client: sessions and orders for misbehaviour."""

    def __init__(self, standin: Any) -> None:
        self.standin = standin
        self.seen: dict[str, dict[int, float]] = {}
        self.submitted: list[tuple[str, int]] = []
        self.fail: dict[int, Exception] = {}
        self.running = True
        self.freed = 0
        self.forgotten: list[str] = []
        self.devices: list[str] = []
        self.weights, self.loaded = "w1", ""
        self.notes: tuple[str, ...] = ()
        self.gate: threading.Event | None = None
        self.before_frame: Callable[[int], None] = lambda frame: None

    def generation(self, settings: SessionSettings, exemplars: Sequence[Exemplar]) -> str:
        """Changes with settings and exemplars' content; like the real one's, not with the weights."""
        text = repr(settings)
        for exemplar in exemplars:
            text += f"{exemplar.frame} {exemplar.space} {hashlib.md5(Path(exemplar.path).read_bytes()).hexdigest()}"
        return hashlib.md5(text.encode()).hexdigest()

    def loaded_gain(self) -> np.ndarray:
        """What the weights do to the colour; once read they stay, as in the real worker, until they are dropped."""
        self.loaded = self.loaded or self.weights
        return np.array([1.0, 1.0, 1.0 if self.loaded == "w1" else 0.9], np.float32)

    def tint(self, generation: str, history: float) -> np.ndarray:
        """The colour of a frame, given the mean of all plates up to it."""
        seed = int(generation[:6], 16) / 0xFFFFFF
        return np.array([1.0 + seed, 1.0, 1.0 - 0.5 * seed + history], np.float32)

    def colour(self, plate: str, output: str, settings: SessionSettings, tint: np.ndarray) -> None:
        """Write the output as the real worker does: the plate's windows, colour and layers."""
        image = self.standin.read(plate)
        channels = dict(image.channels)
        for index, name in enumerate(("red", "green", "blue")):
            channels[f"rgba.{name}"] = channels[f"rgba.{name}"] * tint[index]
        for layer in settings.layers:
            channels[f"colormnet.{layer}"] = np.full_like(channels["rgba.red"], tint[0] - 0.5)
        temporary = f"{output}.tmp.exr"
        self.standin.write_exr(temporary, self.standin.Image(image.format, image.box, channels), False, "zip")
        Path(temporary).replace(output)


class Ticket:
    def __init__(self, session: "Session", frame: int, plate: str, output: str) -> None:
        self._session, self._frame, self._plate, self._output = session, frame, plate, output

    def result(self, progress: Any = None, cancel: Any = None, timeout: float | None = None) -> FrameResult:
        session, worker = self._session, self._session.worker
        worker.before_frame(self._frame)
        while worker.gate is not None and not worker.gate.wait(0.01):
            if cancel is not None and cancel():
                raise real.Cancelled()
        if cancel is not None and cancel():
            raise real.Cancelled()
        if progress is not None and progress(Progress("colouring", f"frame {self._frame}")) is False:
            raise real.Cancelled()
        if self._frame in worker.fail:
            raise worker.fail[self._frame]
        tint = worker.tint(session.generation, session.history(self._frame)) * worker.loaded_gain()
        worker.colour(self._plate, self._output, session.settings, tint)
        worker.submitted.append((session.name, self._frame))
        confidence = 1.0 - (self._frame % 7) / 10
        return FrameResult(self._frame, self._output, None, confidence, confidence / 2, False, session.generation)

    def done(self) -> bool:
        return True

    def cancel(self) -> None:
        return None


class Session:
    def __init__(self, worker: Worker, name: str, settings: Any, frames: Any, exemplars: Any, plates: Any) -> None:
        self.worker, self.name, self.settings = worker, name, settings
        self.frames, self.exemplars, self.plates = tuple(frames), tuple(exemplars), plates
        self.generation = worker.generation(settings, self.exemplars)

    def history(self, frame: int) -> float:
        total = 0.0
        for each in self.frames[: self.frames.index(frame) + 1]:
            total += float(self.worker.standin.read(self.plates(each)).channels["rgba.red"].mean())
        return total / 100

    def submit(self, frame: int, plate: str, output: str | None = None, into: Any = None) -> Ticket:
        assert frame in self.frames
        assert output is not None
        return Ticket(self, frame, plate, output)

    def status(self) -> SessionStatus:
        return SessionStatus(
            self.name, self.generation, self.frames, (), {}, self.frames[-1], (), 1, 0, 0, self.worker.notes
        )

    def close(self, forget: bool = False) -> None:
        return None


def find_weights(model: str, python: str | None = None) -> WeightsFile:
    return WeightsFile(f"/{model}", hashlib.sha256(Client.worker.weights.encode()).hexdigest(), 0.0)


def renew(client: "Client", weights: WeightsFile) -> bool:
    worker = client.worker
    return bool(worker.loaded) and worker.loaded != worker.weights and client.free_gpu()


class Launcher:
    def __init__(
        self,
        device: str = "auto",
        python: str | None = None,
        arguments: Sequence[str] = (),
        environment: Any = None,
        attended: bool = True,
    ) -> None:
        self.device = device


class Client:
    worker: Worker

    def __init__(self, launcher: Any = None, name: str = "", use_mmap: bool = True) -> None:
        self.worker.devices.append(launcher.device)

    def open_session(
        self,
        name: str,
        settings: SessionSettings,
        frames: Sequence[int],
        exemplars: Iterable[Exemplar] | None = None,
        plates: Any = None,
        progress: Any = None,
        cancel: Any = None,
    ) -> Session:
        if progress is not None:
            progress(Progress("loading weights", "loading weights"))
        if 0 in self.worker.fail:
            raise self.worker.fail[0]
        return Session(self.worker, name, settings, frames, exemplars, plates)

    def sessions(self) -> tuple[dict[str, Any], ...]:
        return tuple({"name": name} for name in sorted({name for name, _ in self.worker.submitted}))

    def forget_session(self, name: str) -> None:
        self.worker.forgotten.append(name)

    def status(self, launch: bool = False) -> WorkerStatus | None:
        if not self.worker.running:
            return None
        values = dict.fromkeys(WorkerStatus._fields, 0)
        return WorkerStatus(**{**values, "device": "cpu (test)", "device_note": "", "state": "idle"})

    def free_gpu(self) -> bool:
        self.worker.freed += 1
        self.worker.loaded = ""
        return True

    def close(self) -> None:
        return None

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        return None

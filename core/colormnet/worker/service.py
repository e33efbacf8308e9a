"""What the worker offers, whatever way a request came: sessions, frames, status, freeing the device."""

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from ..errors import InputError
from .answers import Stopping
from .chain import Engine
from .device import Device, Models, Task
from .limits import WorkerLimits, WorkerPlaces
from .outputs import Outputs
from .requests import ExemplarRequest, ShotSettings
from .sessions import Session, Sessions
from .store import Store
from .tasks import CloseTask, ColourTask, DefineTask, OutputWanted, PlateInput, PlateTask, Reply

log = logging.getLogger(__name__)


class Service:
    """The worker's heart without its sockets."""

    def __init__(
        self,
        places: WorkerPlaces,
        limits: WorkerLimits,
        load_model: Callable[[str, str | None, str], Any],
        device_name: str,
        device_note: str,
    ) -> None:
        """``load_model``: model, weights, precision -> Model on the worker's device."""
        self.places = places
        self.limits = limits
        self.device_name = device_name
        self.device_note = device_note
        self.started = time.time()
        self.stop_asked = threading.Event()
        self.watch: Callable[[Path], None] | None = None  # begin to look for requests in a folder
        self.store = Store(places.cache / "sessions", limits.disk_bytes)
        self.sessions = Sessions(self.store, limits.plane_cache_bytes)
        self.engine = Engine(self.store, limits)
        models = Models(load_model, limits, self._let_go)
        self.engine.make_room = models.keep_only
        self.device = Device(self.engine, models, Outputs(places.cache / "writing"))
        self.device.start()

    def _let_go(self, model: Any) -> None:
        """Have nobody hold a model that has to leave the device. Called by the device's thread."""
        self.engine.let_go(model)
        for session in self.sessions.opened():
            session.release(model)

    # --- sessions -------------------------------------------------------------------------------------------------

    def define(
        self,
        reply: Reply,
        name: str,
        settings: ShotSettings,
        frames: tuple[int, ...],
        exemplars: tuple[ExemplarRequest, ...] | None,
        payload: bytes | bytearray | memoryview,
    ) -> Task:
        """Open a session or change it."""
        session = self.sessions.get(name)
        return self._submit(DefineTask(session, reply, settings, frames, exemplars, payload, self.sessions.keep))

    def colour(
        self, reply: Reply, name: str, generation: str, frame: int, plate: PlateInput, output: OutputWanted
    ) -> Task:
        """Colour a frame. Raises UnknownGeneration, InputError."""
        session = self.sessions.get(name)
        definition = self._definition(session, generation)
        task = ColourTask(self.device, session, reply, definition, frame, plate, output)
        return self._submit(task)

    def supply(self, reply: Reply, name: str, generation: str, frame: int, plate: PlateInput) -> Task:
        """Take note of a plate frame. Raises UnknownGeneration, InputError."""
        session = self.sessions.get(name)
        return self._submit(PlateTask(self.device, session, reply, self._definition(session, generation), frame, plate))

    def _definition(self, session: Session, generation: str) -> Any:
        if generation:
            return session.definition(generation)
        if session.current is None:
            raise InputError(f"There is no session {session.name}; open it first.")
        return session.current

    def close(self, reply: Reply, name: str, forget: bool) -> Task:
        """Bring a session to disk, or delete everything of it."""
        session = self.sessions.get(name)

        def then() -> None:
            if forget:
                self.engine.forget(session.key)
                self.sessions.forget(name)
            else:
                self.engine.close(session.key)
                self.sessions.put_away(name)

        return self._submit(CloseTask(self.device, session, reply, then))

    def _submit(self, task: Task) -> Task:
        if self.stop_asked.is_set():
            raise Stopping
        self.device.submit(task)
        return task

    def session_status(self, name: str, generation: str) -> "Future[Any]":
        """What is known of a session; answered between two steps."""
        session = self.sessions.get(name)
        definition = self._definition(session, generation)
        return self.device.call(lambda: session.progress(definition, self.engine))

    # --- the whole ------------------------------------------------------------------------------------------------

    def free(self) -> "Future[Any]":
        """Take models and memories off the device after the step in hand."""

        def clear() -> None:
            self.engine.clear_device()
            for session in self.sessions.opened():
                session.release()
            self.device.models.clear()
            log.info("the device was freed on request")

        return self.device.call(clear)

    def status(self, connections: int) -> dict[str, Any]:
        """The worker's health; never waits for the device."""
        from .. import __version__

        return {
            "pid": os.getpid(),
            "engine": __version__,
            "device": self.device_name,
            "device_note": self.device_note,
            "state": "stopping" if self.stop_asked.is_set() else self.device.state,
            "models": self.device.models.names(),
            "sessions": self.sessions.overview(),
            "frames_done": sum(session.frames_done for session in self.sessions.opened()),
            "frames_per_second": round(self.device.rate(), 3),
            "memory_bytes": resident_bytes(),
            "device_bytes": device_bytes(),
            "disk_bytes": self.store.total_bytes,
            "disk_note": self.store.note,
            "damaged_files": self.store.damaged,
            "steps": self.engine.steps,
            "waiting": self.device.waiting(),
            "live_states": self.engine.live_states,
            "uptime": round(time.time() - self.started, 1),
            "connections": connections,
        }

    def stop(self) -> None:
        """Finish the step in hand, answer what was coloured, bring everything to disk."""
        self.stop_asked.set()
        self.device.stop()


def resident_bytes() -> int:
    """Resident memory of this process."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        try:
            import resource
        except ImportError:  # Windows
            return 0
        import sys

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def device_bytes() -> int:
    """Memory that PyTorch holds on the GPU, 0 on the CPU."""
    import torch

    return int(torch.cuda.memory_reserved()) if torch.cuda.is_available() else 0

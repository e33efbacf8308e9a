"""The requests of a session as tasks of the device."""

import logging
import os
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from colormnet_host.protocol import Pixels

from ..colouring import ColouredFrame, PreparedFrame
from ..errors import InputError
from .answers import Cancelled
from .chain import NetworkResult
from .device import Device, ModelChoice, Task
from .pictures import Picture, from_buffer, into_buffer, out_layout, read_picture, write_picture
from .planes import Plane
from .requests import ExemplarRequest, ShotSettings
from .sessions import PlateFile, Session, plate_file
from .shot import Definition, Geometry, Shot

log = logging.getLogger(__name__)

PROGRESS_EVERY = 0.1  # seconds


class Reply(Protocol):
    """Where the answer to a request goes."""

    def done(self, header: dict[str, Any], payload: bytes | bytearray | memoryview = b"") -> None:
        """The result."""
        ...

    def failed(self, error: BaseException) -> None:
        """No result."""
        ...

    def said(self, stage: str, message: str, done: int = 0, total: int = 0) -> None:
        """Progress."""
        ...

    def deliver(self, write: Callable[[], None], header: dict[str, Any]) -> None:
        """As `done`, after ``write`` has filled shared memory; neither happens if the client has given up."""
        ...


@dataclass(frozen=True)
class PlateInput:
    """A plate frame as it came: a file, or raw samples."""

    path: Path | None
    layout: Pixels | None = None
    raw: bytes | bytearray | memoryview = b""


@dataclass(frozen=True)
class OutputWanted:
    """Where a coloured frame goes: a file, shared memory, or into the message."""

    path: Path | None
    shared: memoryview | None = None


@dataclass(frozen=True)
class _Prepared:
    picture: Picture
    frame: PreparedFrame
    shot: Shot
    file: PlateFile | None


class _SessionTask(Task):
    """What all tasks of a session share: progress and errors go to the client."""

    def __init__(self, session: Session, reply: Reply) -> None:
        super().__init__(session.key)
        self.of = session
        self.reply = reply
        self._last_said = 0.0

    def fail(self, error: BaseException) -> None:
        self.reply.failed(error)

    def said(self, stage: str, message: str, done: int = 0, total: int = 0) -> None:
        now = time.monotonic()
        if stage == "replaying" and now - self._last_said < PROGRESS_EVERY:
            return
        self._last_said = now
        self.reply.said(stage, message, done, total)


class DefineTask(_SessionTask):
    """Open a session, or change its settings, frames or exemplars."""

    def __init__(
        self,
        session: Session,
        reply: Reply,
        settings: ShotSettings,
        frames: tuple[int, ...],
        exemplars: tuple[ExemplarRequest, ...] | None,
        payload: bytes | bytearray | memoryview,
        then: Callable[[Session], None],
    ) -> None:
        """``then`` is called with the session once it is defined."""
        super().__init__(session, reply)
        self._then = then
        self._settings, self._frames, self._exemplars, self._payload = settings, frames, exemplars, payload

    def run(self) -> Generator[Any, None, Definition]:
        """Give the definition."""
        yield from ()
        definition = self.of.define(self._settings, self._frames, self._exemplars, self._payload)
        self._then(self.of)
        return definition

    def finish(self, result: Definition) -> None:
        """Answer its name."""
        self.reply.done({"type": "result", "generation": result.name, "exemplars": len(result.exemplars)})


class PlateTask(_SessionTask):
    """Take note of a plate frame without colouring it."""

    def __init__(
        self, device: Device, session: Session, reply: Reply, definition: Definition, frame: int, plate: PlateInput
    ) -> None:
        """Raises InputError for a frame that is not of the shot."""
        super().__init__(session, reply)
        if frame not in definition.frames:
            raise InputError(
                f"Frame {frame} is not among the frames of the session {session.name} "
                f"({definition.frames[0]} to {definition.frames[-1]}); open it with the shot's whole range."
            )
        settings = definition.settings
        self.model: ModelChoice = (settings.model, settings.weights, settings.precision)
        self.frame = frame
        self.definition = definition
        self.device = device
        self._plate: PlateInput | None = plate

    def prepare(self) -> _Prepared:
        """Read the plate and derive its luminance."""
        plate, file = self._plate, None
        self._plate = None  # inline pixels need not wait in memory for their turn
        if plate is None:
            raise InputError("The plate was read already.")
        if plate.path is not None:
            file = plate_file(plate.path)
            picture = read_picture(plate.path)
        elif plate.layout is not None:
            picture = from_buffer(plate.layout, plate.raw)
        else:
            raise InputError("A plate needs a path or pixels.")
        height, width = picture.pixels.shape[:2]
        short_side = self.definition.settings.working_size or self.device.models.working_sizes[self.model]
        geometry = Geometry(height, width, picture.pixel_aspect, picture.windows)
        shot = self.of.shot(self.definition, geometry, short_side)
        return _Prepared(picture, shot.colouring.prepare(picture.pixels), shot, file)

    def remember(self) -> _Prepared:
        """Put the luminance with the session's plates."""
        if self.prepared is None:
            raise ValueError("the plate was not prepared")
        ready: _Prepared = self.prepared.result()
        self.of.remember(ready.shot, self.frame, ready.frame.luminance, ready.file)
        self.of.used = time.time()
        return ready

    def run(self) -> Generator[Any, None, Any]:
        """Take note of the frame."""
        yield from ()
        self.remember()

    def finish(self, result: Any) -> None:
        """Answer."""
        self.reply.done({"type": "result", "frame": self.frame})


class ColourTask(PlateTask):
    """Colour a frame."""

    def __init__(
        self,
        device: Device,
        session: Session,
        reply: Reply,
        definition: Definition,
        frame: int,
        plate: PlateInput,
        output: OutputWanted,
    ) -> None:
        """Raises InputError for a frame that is not of the shot, or an output that is the plate itself."""
        super().__init__(device, session, reply, definition, frame, plate)
        self._output = output
        self._layout = plate.layout
        if output.path is not None:
            if plate.path is None:
                raise InputError(f"{output.path} cannot be written from a buffer; send the plate as a file.")
            if output.path.suffix.lower() != ".exr":
                raise InputError(f"The worker writes EXR only, not {output.path.name}; convert the result afterwards.")
            if os.path.realpath(output.path) == os.path.realpath(plate.path):
                raise InputError(f"The output {output.path} is the plate itself; choose another name.")
        elif plate.path is not None:
            raise InputError("A plate that comes as a file goes out as a file; name the output.")
        elif definition.settings.layers:
            raise InputError("Layers can only be written into files; send the plate as a file or ask for no layers.")

    def run(self) -> Generator[Any, None, NetworkResult]:
        """Bring the session to the frame and step it."""
        ready = self.remember()
        shot, engine = ready.shot, self.device.engine
        self.of.settle(shot, self.device.models.get(self.model))
        place = shot.places[self.frame]
        names = self.of.names(shot, place)
        if shot.recipe is None:
            raise ValueError("the exemplars were not prepared")
        work = engine.colour(shot.recipe, names, place, self.of.luminance(shot), self.cancelled.is_set)
        first = None
        while True:
            try:
                at = next(work)
            except StopIteration as end:
                result: NetworkResult = end.value
                return result
            first = at - 1 if first is None else first
            frame = self.definition.frames[at - 1]
            self.said(
                "replaying", f"Replaying frame {frame} on the way to {self.frame}.", at - first, place + 1 - first
            )
            yield at

    def finish(self, result: NetworkResult) -> None:
        """Put the chroma on the plate, write it, and answer."""
        if self.prepared is None:
            raise ValueError("the plate was not prepared")
        ready: _Prepared = self.prepared.result()
        settings = self.definition.settings
        wants_confidence = "confidence" in settings.layers
        coloured = ready.shot.colouring.finish(
            ready.picture.pixels, ready.frame, result.chroma, result.confidence if wants_confidence else None
        )
        header: dict[str, Any] = {
            "type": "result",
            "frame": self.frame,
            "confidence": result.mean,
            "low_confidence": result.low,
            "cached": result.cached,
            "generation": self.definition.name,
            "non_finite": ready.frame.non_finite,
        }
        if self.cancelled.is_set():
            raise Cancelled
        if self._output.path is not None:
            with self.device.outputs.writing(self._output.path):
                write_picture(ready.picture, self._output.path, settings, coloured.pixels, _layers(settings, coloured))
            header["output"] = str(self._output.path)
            self.of.frames_done += 1
            self.reply.done(header)
            return
        if self._layout is None:
            raise InputError("A plate needs a path or pixels.")
        layout = out_layout(self._layout)
        header["pixels"] = layout.header()
        self.of.frames_done += 1
        shared, alpha = self._output.shared, ready.picture.alpha
        if shared is not None:
            self.reply.deliver(lambda: into_buffer(layout, coloured.pixels, alpha, shared), header)
            return
        payload = bytearray(layout.nbytes)
        into_buffer(layout, coloured.pixels, alpha, memoryview(payload))
        self.reply.done(header, payload)


def _layers(settings: ShotSettings, coloured: ColouredFrame) -> dict[str, Plane]:
    from .pictures import LAYER_NAMES

    found: dict[str, Plane | None] = {
        "a": coloured.chroma[0],
        "b": coloured.chroma[1],
        "confidence": coloured.confidence,
    }
    layers = {}
    for layer in settings.layers:
        plane = found[layer]
        if plane is None:
            raise ValueError(f"the layer {layer} was not made")
        layers[LAYER_NAMES[layer]] = plane
    return layers


class CloseTask(_SessionTask):
    """Bring a session to disk, or delete it, after what was asked before."""

    def __init__(self, device: Device, session: Session, reply: Reply, then: Callable[[], None]) -> None:
        super().__init__(session, reply)
        self._device, self._then = device, then

    def run(self) -> Generator[Any, None, Any]:
        """Let go of it."""
        yield from ()
        self._then()

    def finish(self, result: Any) -> None:
        """Answer."""
        self.reply.done({"type": "result"})


class OneAnswer:
    """Guards that a request is answered once, whoever is first: the result, an error or a cancellation."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.answered = False

    def claim(self, before: Callable[[], None] | None = None) -> bool:
        """Whether this is the first answer; ``before`` is done first, under the lock."""
        with self._lock:
            if self.answered:
                return False
            if before is not None:
                before()
            self.answered = True
            return True

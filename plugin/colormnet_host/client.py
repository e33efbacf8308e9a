"""The one import a host needs: start or find the worker, open a session for a shot, have frames coloured.

Standard library only; Python 3.7 to 3.14 (and 3.6). All calls block, may be made from any thread, and none touches
the host: call them from a background thread and hand progress to the interface by the host's own means.

::

    from colormnet_host.client import Client
    from colormnet_host.job import Exemplar, SessionSettings

    with Client(name="Nuke") as client:                       # starts the worker if none runs; seconds while it loads
        shot = client.open_session(
            "sq010_sh020",                                    # one name per shot; resumes what is on disk
            SessionSettings(space="ACEScg"),
            frames=range(1001, 1101),                         # the shot's frames IN ORDER: this defines the result
            exemplars=[Exemplar("/refs/sh020_ref.png")],
        )
        for frame, plate in bake():                           # streaming: submit while the bake goes on
            shot.submit(frame, plate, "/cache/sh020.%04d.exr" % frame)
        for result in shot.results(progress=show):            # in the order submitted
            print(result.frame, result.confidence)
        print(shot.status().recommended_exemplar)

What holds whatever happens:

- A frame's result is that of a straight run from the first declared frame, bit for bit, in any order of requests. Frames
  the worker needs for this and has never seen make it answer :class:`NeedFrames`; give ``plates=`` (a function from
  frame number to EXR path, or to an Image) and the client sends them by itself.
- The same request again is answered from the cache. Changed exemplars or settings start a new generation by themselves;
  going back to the former ones finds the former results again.
- An output file appears whole or not at all. The plate is never written.
- If the worker dies, the client starts it again (with back-off), opens the sessions again and repeats what was under way;
  the worker goes on from its newest snapshot.
- ``cancel``: any callable returning True, asked about ten times a second; or a progress callback returning False.
  The call raises :class:`Cancelled`; the session stays usable.
"""

import mmap
import os
import threading
import time
from collections import OrderedDict
from types import TracebackType
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Type, Union

from colormnet_host import protocol
from colormnet_host.job import (
    Exemplar,
    FrameResult,
    Image,
    Progress,
    SessionSettings,
    SessionStatus,
    WorkerStatus,
    settings_to_wire,
)
from colormnet_host.launcher import Launcher, WorkerUnavailable

__all__ = [
    "Cancelled",
    "Client",
    "Exemplar",
    "FrameResult",
    "Image",
    "NeedFrames",
    "OutOfMemory",
    "Progress",
    "Session",
    "SessionSettings",
    "SessionStatus",
    "Ticket",
    "WorkerError",
    "WorkerStatus",
    "WorkerUnavailable",
]

ProgressCallback = Callable[[Progress], Optional[bool]]
CancelCheck = Callable[[], bool]
Plate = Union[str, Image]
PlateProvider = Callable[[int], Plate]


class WorkerError(Exception):
    """The worker refused or failed a request; the message is a sentence for the artist.

    ``code``: "input" (the request or a file is at fault), "weights", "device", "stopping", "busy" or "internal".
    """

    def __init__(self, message: str, code: str = "internal") -> None:
        super(WorkerError, self).__init__(message)
        self.code = code


class Cancelled(WorkerError):
    """The caller cancelled; nothing was harmed."""

    def __init__(self, message: str = "cancelled") -> None:
        super(Cancelled, self).__init__(message, "cancelled")


class NeedFrames(WorkerError):
    """Frames before the one asked for were never sent; ``frames`` lists them in order. Use ``plates=`` or ``supply``."""

    def __init__(self, message: str, frames: Sequence[int]) -> None:
        super(NeedFrames, self).__init__(message, "need_frames")
        self.frames = list(frames)


class OutOfMemory(WorkerError):
    """The device's memory is too small; ``working_size`` would fit (0 where none was found). The session survives."""

    def __init__(self, message: str, working_size: int) -> None:
        super(OutOfMemory, self).__init__(message, "out_of_memory")
        self.working_size = working_size


class Ticket:
    """A frame that was submitted; :meth:`result` waits for it."""

    def result(
        self,
        progress: Optional[ProgressCallback] = None,
        cancel: Optional[CancelCheck] = None,
        timeout: Optional[float] = None,
    ) -> FrameResult:
        """The coloured frame. Raises WorkerError's kinds, and TimeoutError after ``timeout`` seconds (still under way)."""
        raise NotImplementedError

    def done(self) -> bool:
        """Whether :meth:`result` would return at once."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Give the frame up, at the latest before the next frame is touched; :meth:`result` raises Cancelled."""
        raise NotImplementedError


class Session:
    """A shot in the worker. Made by :meth:`Client.open_session`."""

    name: str
    generation: str

    def set_exemplars(self, exemplars: Iterable[Exemplar], cancel: Optional[CancelCheck] = None) -> None:
        """Replace all exemplars (in this order); a new generation if anything changed. Keys are re-used."""

    def add_exemplar(self, exemplar: Exemplar, cancel: Optional[CancelCheck] = None) -> None:
        """Add one exemplar after those there."""

    def set_settings(self, settings: SessionSettings) -> None:
        """Change settings; a new generation if anything changed that alters the result."""

    def submit(self, frame: int, plate: Plate, output: Optional[str] = None) -> Ticket:
        """Ask for a frame without waiting.

        ``plate``: path of a (baked) EXR or any still the engine reads, taken literally, or an Image. ``output``: path
        of the EXR to write (every channel, metadata and window of the plate kept), taken literally, replaced
        atomically; None returns a buffer in the plate's dtype and layout (``plate`` must then be an Image).
        Blocks only while more than the window of frames (8) is under way.
        """
        raise NotImplementedError

    def colorize(
        self,
        frame: int,
        plate: Plate,
        output: Optional[str] = None,
        progress: Optional[ProgressCallback] = None,
        cancel: Optional[CancelCheck] = None,
        timeout: Optional[float] = None,
        plates: Optional[PlateProvider] = None,
    ) -> FrameResult:
        """Colour one frame and wait. ``plates`` supplies earlier frames the worker asks for (scrubbing)."""
        raise NotImplementedError

    def results(
        self, progress: Optional[ProgressCallback] = None, cancel: Optional[CancelCheck] = None
    ) -> Iterator[FrameResult]:
        """Results of the frames submitted so far and not yet fetched, in order of submission."""
        raise NotImplementedError

    def supply(self, frame: int, plate: Plate) -> None:
        """Let the worker see a plate frame (its luminance) without colouring it."""

    def status(self) -> SessionStatus:
        """Frames done, confidence per frame, recommended next exemplar frame, snapshots."""
        raise NotImplementedError

    def close(self, forget: bool = False) -> None:
        """Close the session: its state goes to disk; ``forget`` deletes everything kept of it instead."""


class Client:
    """A connection to the worker of this user and device.

    ``launcher``: how the worker is found and started (see :class:`colormnet_host.launcher.Launcher`; its ``device`` is
    "auto", "cpu", "cuda:0", ...). ``name``: the host's, shown in the worker's status. Threads may share a client.
    """

    def __init__(self, launcher: Optional[Launcher] = None, name: str = "", use_mmap: bool = True) -> None:
        self.launcher = launcher or Launcher()

    def connect(
        self,
        progress: Optional[ProgressCallback] = None,
        cancel: Optional[CancelCheck] = None,
        timeout: float = 120.0,
        launch: bool = True,
    ) -> None:
        """Find or start the worker and say hello; every other call does this by itself when needed.

        Raises WorkerUnavailable (a sentence with the log's path) when it cannot be had within ``timeout``.
        """

    def open_session(
        self,
        name: str,
        settings: SessionSettings,
        frames: Sequence[int],
        exemplars: Optional[Iterable[Exemplar]] = None,
        plates: Optional[PlateProvider] = None,
        progress: Optional[ProgressCallback] = None,
        cancel: Optional[CancelCheck] = None,
    ) -> Session:
        """Open or resume a session. ``frames``: all frame numbers of the shot in the order of play.

        ``exemplars`` None keeps those of the session on disk. ``plates``: see :meth:`Session.colorize`; kept for the
        whole session, also used when the worker lost its store. Waits while weights load (progress tells).
        """
        raise NotImplementedError

    def sessions(self) -> Tuple[Dict[str, Any], ...]:
        """All sessions the worker knows, open or on disk: name, frames, bytes, last use."""
        raise NotImplementedError

    def forget_session(self, name: str) -> None:
        """Delete everything the worker keeps of a session."""

    def status(self, launch: bool = False) -> Optional[WorkerStatus]:
        """The worker's health; None when none runs (and ``launch`` is False)."""
        raise NotImplementedError

    def free_gpu(self) -> None:
        """Drop models and memory from the device after the frame in hand; sessions go to disk and come back by need."""

    def stop(self, timeout: float = 30.0) -> bool:
        """Stop the worker after the frame in hand and wait until it has gone; False when none ran."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connection; the worker goes on until it is idle."""

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

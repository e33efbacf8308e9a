"""What the worker's refusals and failures look like to a host: exceptions whose message is a sentence for the artist.

Standard library only, Python 3.6 on.
"""

from typing import Sequence

from colormnet_host.protocol import Header


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
    """Frames before the one asked for were never sent: ``frames``, in order. Use ``plates=`` or ``supply``."""

    def __init__(self, message: str, frames: Sequence[int]) -> None:
        super(NeedFrames, self).__init__(message, "need_frames")
        self.frames = list(frames)


class OutOfMemory(WorkerError):
    """The device's memory is too small; ``working_size`` would fit (0 where none was found). The session survives."""

    def __init__(self, message: str, working_size: int) -> None:
        super(OutOfMemory, self).__init__(message, "out_of_memory")
        self.working_size = working_size


def raise_answer(header: Header) -> None:
    """Raise what an error answer says."""
    message, code = str(header.get("message", "the worker failed")), str(header.get("code", "internal"))
    if code == "cancelled":
        raise Cancelled(message)
    if code == "need_frames":
        raise NeedFrames(message, [int(frame) for frame in header.get("frames", [])])
    if code == "out_of_memory":
        raise OutOfMemory(message, int(header.get("working_size", 0)))
    raise WorkerError(message, code)

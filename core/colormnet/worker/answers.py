"""What a request can end in besides a result, and how it is told to the client."""

from collections.abc import Sequence
from typing import Any

from ..errors import ColorMNetError, DeviceError, InputError, OutOfMemoryError, WeightsError


class Answer(Exception):
    """An expected end of a request that is no result."""

    code = "internal"


class Cancelled(Answer):
    """The client gave the request up."""

    code = "cancelled"

    def __init__(self) -> None:
        super().__init__("The request was cancelled.")


class Stopping(Answer):
    """The worker is ending; the request was not begun."""

    code = "stopping"

    def __init__(self) -> None:
        super().__init__("The worker is stopping; ask again to start another.")


class Busy(Answer):
    """The client has too many requests under way."""

    code = "busy"


class UnknownGeneration(Answer):
    """The client names a definition that is not here (any more); it has to declare it again."""

    code = "unknown_generation"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The worker does not know the generation {name[:40]} of this session; open the session again."
        )


class NeedFrames(Answer):
    """Frames of the plate that were never sent and that the result depends on."""

    code = "need_frames"

    def __init__(self, frames: Sequence[int], note: str = "") -> None:
        some = ", ".join(str(frame) for frame in frames[:8]) + (", ..." if len(frames) > 8 else "")
        super().__init__(f"The result depends on {len(frames)} plate frames that were not sent yet: {some}.{note}")
        self.frames = list(frames)


class MemoryTooSmall(OutOfMemoryError):
    """Out of memory, with the working size that was tried and fits (0: none)."""

    def __init__(self, message: str, working_size: int) -> None:
        super().__init__(message)
        self.working_size = working_size


def error_header(error: BaseException) -> dict[str, Any]:
    """An error as the answer to a request."""
    header: dict[str, Any] = {"type": "error", "code": "internal", "message": f"{type(error).__name__}: {error}"}
    if isinstance(error, Answer):
        header.update(code=error.code, message=str(error))
        if isinstance(error, NeedFrames):
            header["frames"] = error.frames
    elif isinstance(error, ColorMNetError):
        header.update(code="device", message=str(error))
        if isinstance(error, OutOfMemoryError):
            header.update(code="out_of_memory", working_size=getattr(error, "working_size", 0))
        elif isinstance(error, WeightsError):
            header["code"] = "weights"
        elif isinstance(error, InputError):
            header["code"] = "input"
        elif not isinstance(error, DeviceError):
            header["code"] = "internal"
    elif out_of_memory(error):
        message = (
            f"This machine ran out of memory while a frame was prepared or finished ({error}); close other programs."
        )
        header.update(code="out_of_memory", message=message, working_size=0)
    header["message"] = header["message"][:4000]
    return header


def expected(error: BaseException) -> bool:
    """Whether an error is an answer rather than a fault of the worker."""
    return isinstance(error, (Answer, ColorMNetError))


# What CUDA, PyTorch and OpenCV say; oneDNN, which computes convolutions on the CPU, does not say what it lacked.
_FULL = (
    "out of memory",
    "insufficient memory",
    "can't allocate memory",
    "cannot allocate memory",
    "could not create a primitive",
    "could not execute a primitive",
)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of the engine, the framework or the system means that memory ran out."""
    text = str(error).lower()
    return isinstance(error, (MemoryError, OutOfMemoryError)) or any(words in text for words in _FULL)

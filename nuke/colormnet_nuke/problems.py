"""What can go wrong, as one sentence for the artist and an exit code for a script."""

from colormnet_host import client


class NodeError(Exception):
    """The message is one sentence: what, where, what to do."""

    exit_code = 1


class SetupError(NodeError):
    """The node's settings, inputs or cache are at fault."""

    exit_code = 2


class StoppedError(NodeError):
    """The artist or the farm cancelled; what is done stays and Colorize goes on from there."""

    exit_code = 5


class EngineError(NodeError):
    """The worker refused or failed."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


CODES = {"input": 2, "need_frames": 2, "weights": 3, "device": 4, "out_of_memory": 4, "cancelled": 5}


def of_engine(error: Exception) -> NodeError:
    """The worker's or launcher's error as a problem."""
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, client.Cancelled):
        return StoppedError("Cancelled; Colorize goes on from here.")
    if isinstance(error, client.WorkerError):
        return EngineError(message, CODES.get(error.code, 1))
    return EngineError(message, 4 if isinstance(error, client.WorkerUnavailable) else 1)

"""What can go wrong, as one sentence for the artist and an exit code for a script."""

from colormnet_host import client


class Problem(Exception):
    """The message is one sentence: what, where, what to do."""

    exit_code = 1


class SetupProblem(Problem):
    """The node's settings, inputs or cache are at fault."""

    exit_code = 2


class Stopped(Problem):
    """The artist or the farm cancelled; what is done stays and Colorize goes on from there."""

    exit_code = 5


class EngineProblem(Problem):
    """The worker refused or failed."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


CODES = {"input": 2, "need_frames": 2, "weights": 3, "device": 4, "out_of_memory": 4, "cancelled": 5}


def of_engine(error: Exception) -> Problem:
    """The worker's or launcher's error as a problem."""
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, client.Cancelled):
        return Stopped("Cancelled; Colorize goes on from here.")
    if isinstance(error, client.WorkerError):
        return EngineProblem(message, CODES.get(error.code, 1))
    return EngineProblem(message, 1)

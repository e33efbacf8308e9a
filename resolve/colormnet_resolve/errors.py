"""What can go wrong in a pass, with the exit code the ``colormnet-resolve`` command gives it."""


class PassError(Exception):
    """One sentence for the editor: what is wrong, where, and what to do. Exit code 2 unless said otherwise."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super(PassError, self).__init__(message)
        self.exit_code = exit_code


class Cancelled(Exception):
    """The editor cancelled; what is written is whole and the pass can be resumed. Exit code 5."""

"""Every error a user can meet, with the exit code the command line gives it.

The message of each error is one sentence that says what is wrong, where, and what to do.
"""


class ColorMNetError(Exception):
    """Base of all errors that carry a message for the user."""

    exit_code = 1


class InputError(ColorMNetError):
    """The request or the footage is at fault: bad option, missing frame, unreadable file, unsafe output."""

    exit_code = 2


class WeightsError(ColorMNetError):
    """A checkpoint is missing, truncated, of another model, or not what its name says."""

    exit_code = 3


class DeviceError(ColorMNetError):
    """The device is absent, failed, or ran out of memory."""

    exit_code = 4


class OutOfMemoryError(DeviceError):
    """The device ran out of memory; the message names a working size that would fit."""


class InterruptedRun(ColorMNetError):
    """The run was stopped; what is written is whole and the run can be resumed."""

    exit_code = 5

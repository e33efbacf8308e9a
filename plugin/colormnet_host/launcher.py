"""Find the worker of this user and device, or start one in the engine's own environment.

Standard library only, Python 3.6 on.
"""

from typing import Optional, Sequence


class WorkerUnavailable(Exception):
    """No worker could be found or started; the message says why and what to do."""


class Launcher:
    """How to start the worker.

    ``python``: the engine's interpreter; None looks at COLORMNET_PYTHON, then at ``engine.json`` beside this package or
    in the plugin's parent folders (written by ``install.py``: {"python": path}), then at ``.venv`` of the checkout.
    ``device``: "auto", "cpu", "cuda:0", "mps". ``arguments``: further ones for ``colormnet worker run``.
    """

    def __init__(
        self, device: str = "auto", python: Optional[str] = None, arguments: Sequence[str] = ()
    ) -> None:
        self.device = device
        self.python = python
        self.arguments = list(arguments)

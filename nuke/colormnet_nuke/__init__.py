"""ColorMNet for Nuke: a Group node that asks the local worker for colour and reads it back.

Standard library only, Python 3.7 to 3.11. Importing this package needs the host's ``nuke`` module but changes nothing
in it; :func:`colormnet_nuke.callbacks.register` (called by ``init.py``) does.
"""

from typing import TYPE_CHECKING, Optional, Sequence

if TYPE_CHECKING:
    import nuke

    from .job import Outcome

__version__ = "0.1.0"

__all__ = ["__version__", "colorize", "create"]


def create(plate: "Optional[nuke.Node]" = None, exemplar: "Optional[nuke.Node]" = None) -> "nuke.Group":
    """A new ColorMNet node, connected to ``plate`` and ``exemplar`` where given."""
    from .build import create as build

    return build(plate, exemplar)


def colorize(
    node: "nuke.Node", frames: Optional[Sequence[int]] = None, views: Optional[Sequence[str]] = None
) -> "Outcome":
    """Colorize and wait: bake what is missing, ask the worker, read the result back. For scripts, in every mode.

    ``frames``: those to have ready afterwards, all of the node's range when None; whichever are asked for, their pixels
    are those of a run over the whole range. ``views``: all of the script's when None. Raises
    :class:`colormnet_nuke.problems.NodeError` (its ``exit_code`` is the command line's) and shows it on the node.
    """
    from .job import colorize as run

    return run(node, frames, views)

"""Exemplar-based colorization of black-and-white footage (ColorMNet, ECCV 2024).

Planes are in network units: ``L' = (L - 50) / 50``, ``a' = a / 110``, ``b' = b / 110`` (CIE Lab, D65).
"""

from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colormnet.memory.settings import MemorySettings
    from colormnet.model import Model, load_model
    from colormnet.session import Colorizer

__all__ = ["Colorizer", "MemorySettings", "Model", "__version__", "load_model"]

try:
    __version__ = metadata.version("colormnet")
except metadata.PackageNotFoundError:
    __version__ = "0+unknown"

_HOMES = {
    "Colorizer": "colormnet.session",
    "MemorySettings": "colormnet.memory.settings",
    "Model": "colormnet.model",
    "load_model": "colormnet.model",
}


def __getattr__(name: str) -> Any:
    """Import torch only when something that needs it is asked for: the command line answers at once."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

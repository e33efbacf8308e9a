"""The one running host of this process, and the base of everything it hands out."""

import functools
import inspect
from typing import TYPE_CHECKING, Any

from .stubs import SURFACE, NotModelledError, check

if TYPE_CHECKING:
    from .host import Host

CLASSES: dict[str, type] = {}
_running: "list[Host]" = []


def host() -> "Host":
    """The running host; raises RuntimeError when none is."""
    if not _running:
        raise RuntimeError("no stand-in host is running")
    return _running[-1]


def start(new: "Host") -> None:
    """Make this the running host."""
    _running[:] = [new]


class Strict:
    """Objects whose public names are those of types-nuke, called as types-nuke says, and no others."""

    _stub = ""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name.startswith("_"):
            raise AttributeError(name)
        if SURFACE.has_member(self._stub, name):
            raise NotModelledError(f"nuke.{self._stub}.{name} is in types-nuke but not modelled by the stand-in")
        raise AttributeError(f"nuke.{self._stub} has no {name!r} in types-nuke")

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            raise AttributeError(f"nuke.{self._stub} objects take no attribute {name!r}")
        object.__setattr__(self, name, value)


def _checked(stub: str, name: str, function: Any) -> Any:
    calls = SURFACE.method(stub, name)
    if calls is None:
        raise NotModelledError(f"the stand-in invents nuke.{stub}.{name}, which types-nuke does not have")

    @functools.wraps(function)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        check(f"nuke.{stub}.{name}", calls, args, kwargs, CLASSES)
        return function(self, *args, **kwargs)

    return call


def modelled(cls: type) -> type:
    """Class decorator: every public method must be in types-nuke and is called as types-nuke declares it."""
    stub = cls.__dict__.get("_stub") or cls.__name__
    if stub not in SURFACE.classes:
        raise NotModelledError(f"types-nuke has no class {stub}")
    cls._stub = stub  # type: ignore[attr-defined]
    for name, member in list(cls.__dict__.items()):
        if not name.startswith("_") and inspect.isfunction(member):
            setattr(cls, name, _checked(stub, name, member))
    CLASSES[stub] = cls
    return cls

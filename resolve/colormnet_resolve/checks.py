"""Checks of what Resolve's scripting interface returns.

Its objects answer every attribute name (``hasattr`` is always true, a name that does not exist reads as ``None``) and
its calls report failure by returning ``None`` or ``False`` only.
"""

from typing import Any, Iterable, List, Optional, TypeVar

from .errors import PassError

T = TypeVar("T")


def need(value: Optional[T], message: str) -> T:
    """``value`` itself; raises PassError(``message``) when it is ``None`` or ``False``, Resolve's way of failing."""
    if value is None or value is False:
        raise PassError(message)
    return value


def got(value: Optional[T]) -> Optional[T]:
    """``value``, or ``None`` where a call failed by either of Resolve's two ways."""
    return None if value is None or value is False else value


def each(values: Optional[Iterable[Optional[T]]]) -> List[T]:
    """The usable entries of a list that a call returned; none where it failed."""
    return [value for value in got(values) or [] if value is not None and value is not False]


def offers(owner: Any, name: str) -> bool:
    """Whether ``owner`` really has the method ``name`` in this version of Resolve; ``hasattr`` cannot tell."""
    return callable(getattr(owner, name, None))


def as_int(value: Any, fallback: int = -1) -> int:
    """A clip property ("24", "24.0", 24.0, "") as an integer, or ``fallback``."""
    try:
        return int(float(value))
    except (TypeError, ValueError):
        return fallback


def as_float(value: Any, fallback: float = 0.0) -> float:
    """A clip property or project setting ("23.976", "29.97 DF", 24.0, "") as a float, or ``fallback``."""
    try:
        return float(str(value).split()[0])
    except (IndexError, ValueError):
        return fallback

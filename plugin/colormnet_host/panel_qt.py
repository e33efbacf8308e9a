"""Whichever Qt the host has: PySide6 or PySide2, the one that is loaded already first.

Imported by the panel alone; nothing of Qt is touched in terminal mode.
"""

import importlib
import sys
from typing import Any, Tuple


class NoQtError(ImportError):
    """Neither PySide6 nor PySide2 can be imported."""


def _load() -> Tuple[str, Any, Any, Any]:
    known = ["PySide6", "PySide2"]
    known.sort(key=lambda name: name not in sys.modules)
    for name in known:
        try:
            parts = [importlib.import_module("%s.%s" % (name, part)) for part in ("QtCore", "QtGui", "QtWidgets")]
        except ImportError:
            continue
        return (name, parts[0], parts[1], parts[2])
    raise NoQtError("The panel needs PySide6 or PySide2, and this Python has neither.")


BINDING, QtCore, QtGui, QtWidgets = _load()

"""The fixtures of tests/end_to_end/worker, where the worker's tests share them."""

import importlib.util
import sys
from pathlib import Path

_PATH = Path(__file__).parents[2] / "end_to_end" / "worker" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("worker_fixtures", _PATH)
_MODULE = sys.modules.setdefault("worker_fixtures", importlib.util.module_from_spec(_SPEC))
if not hasattr(_MODULE, "RIG"):
    _SPEC.loader.exec_module(_MODULE)

rig, fork_server, places = _MODULE.rig, _MODULE.fork_server, _MODULE.places
launcher, shot = _MODULE.launcher, _MODULE.shot

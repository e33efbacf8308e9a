"""Which weights a model has now, so that a host notices new ones.

Standard library only, Python 3.6 on. A session's generation stands for exemplars, settings and frames, not for the
weights: a host that keeps results of its own notes their digest beside them. The engine's own Python says which file
it is, because only the engine knows where weights may lie. May be called from any thread; the first time it starts a
process.
"""

import json
import os
import subprocess
import threading
import time
from typing import Dict, NamedTuple, Optional, Tuple

from colormnet_host.client import Client, WorkerError
from colormnet_host.launcher import WorkerUnavailable, clean_environment, find_python, host_folder

PATIENCE = 300.0  # seconds for the engine to answer; importing it from a cold network disk is slow

# Run by the engine's interpreter; one line of JSON. The shipped model is found without the seconds that importing the
# engine takes.
_QUESTION = """
import hashlib, importlib.util, json, os, sys
def answer(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 22), b""):
            digest.update(block)
    print(json.dumps({"path": path, "sha256": digest.hexdigest()}))
try:
    if sys.argv[1] == "lite":
        places = importlib.util.find_spec("colormnet").submodule_search_locations
        answer(os.path.join(os.path.abspath(list(places)[0]), "checkpoints", "lite.safetensors"))
    else:
        from colormnet.errors import WeightsError
        from colormnet.network.checkpoint import locate_released
        try:
            answer(os.path.abspath(str(locate_released())))
        except WeightsError as error:
            print(json.dumps({"problem": str(error)}))
except OSError as error:
    print(json.dumps({"problem": "The weights cannot be read (%s): run install.py setup again." % error}))
"""


class WeightsFile(NamedTuple):
    """A model's weights on disk: the file, the hex SHA-256 of its bytes, and when it was changed (Unix time)."""

    path: str
    sha256: str
    changed: float


_known = {}  # type: Dict[Tuple[str, str, str], Tuple[Tuple[int, int], WeightsFile]]
_renewed = {}  # type: Dict[int, float]  # worker's process id -> change of the newest weights it was made to read
_lock = threading.Lock()


def find_weights(model: str, python: Optional[str] = None) -> WeightsFile:
    """The weights file of "lite" or "released", as the engine of ``python`` (None: the launcher's) finds it.

    Raises WorkerUnavailable where there is no engine that answers, WorkerError("weights") where the file is missing.
    """
    interpreter = python or find_python()[0]
    key = (interpreter, model, os.environ.get("COLORMNET_WEIGHTS", ""))
    with _lock:
        known = _known.get(key)
        if known is not None and _identity(known[1].path) == known[0]:
            return known[1]
        answer = _ask(interpreter, model)
        if "problem" in answer:
            raise WorkerError(answer["problem"], "weights")
        identity = _identity(answer["path"])
        if identity is None:
            raise WorkerError("The weights %s have just gone: try again." % answer["path"], "weights")
        stat = os.stat(answer["path"])
        # Unpacking keeps the time of the content; where the system tells when the file came, that counts too.
        changed = max(stat.st_mtime, stat.st_ctime)
        found = WeightsFile(answer["path"], answer["sha256"], changed)
        _known[key] = (identity, found)
        return found


def renew(client: Client, weights: WeightsFile) -> bool:
    """Make a worker that may have read older weights read these; whether it had to.

    A worker keeps a model for as long as it runs. One that started before the file was changed drops its models, once.
    """
    health = client.status()
    if health is None or not health.models or time.time() - health.uptime > weights.changed:
        return False
    with _lock:
        if _renewed.get(health.pid, 0.0) >= weights.changed:
            return False
        _renewed[health.pid] = weights.changed
    return client.free_gpu()


def _identity(path: str) -> "Optional[Tuple[int, int]]":
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _ask(python: str, model: str) -> "Dict[str, str]":
    command = [python, "-I", "-X", "utf8", "-c", _QUESTION, model]
    flags = 0x08000000 if os.name == "nt" else 0  # CREATE_NO_WINDOW
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(dict(os.environ), host_folder()),
            creationflags=flags,
        )
    except OSError as error:
        raise WorkerUnavailable("The engine could not be started with %s (%s)." % (python, error)) from error
    try:
        said, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise WorkerUnavailable("The engine of %s did not answer within %d seconds." % (python, PATIENCE)) from None
    try:
        answer = json.loads(said.decode("utf-8").strip().splitlines()[-1])
        return {str(name): str(value) for name, value in answer.items()}
    except (ValueError, IndexError, AttributeError):
        words = errors.decode("utf-8", "replace").strip().splitlines() or ["it says nothing"]
        raise WorkerUnavailable(
            "The engine of %s does not answer (%s): run install.py setup again." % (python, words[-1])
        ) from None

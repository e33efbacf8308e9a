"""Find the worker of this user and device, or start one in the engine's own environment.

Standard library only, Python 3.6 on. Where the engine's interpreter is looked for, in this order:

1. the ``python`` given to :class:`Launcher`;
2. the environment variable COLORMNET_PYTHON;
3. ``colormnet_engine.json`` (``{"python": path}``, see :func:`write_engine_config`) beside this package or in one of
   the three folders above it: the host installers write it into the plugin's folder;
4. ``.venv`` of the checkout this package lies in (made by ``install.py``);
5. the running interpreter, if the engine is installed in it.
"""

import importlib.util
import json
import os
import subprocess
import sys
import time
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from colormnet_host import endpoint as places
from colormnet_host.endpoint import Endpoint, UnsafeDirectory
from colormnet_host.protocol import Channel, ConnectionLost, Header, ProtocolError, Refused, greet

ENGINE_CONFIG = "colormnet_engine.json"
ALREADY_RUNNING = 75  # exit code of a worker that found another one holding the lock
DROPPED = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONEXECUTABLE",
    "PYTHONSTARTUP",
    "NUKE_PATH",
    "QT_PLUGIN_PATH",
    "QT_QPA_PLATFORM_PLUGIN_PATH",
    "VIRTUAL_ENV",
    "__PYVENV_LAUNCHER__",
    "LD_PRELOAD",
    "DYLD_INSERT_LIBRARIES",
)
SEARCHED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH")
_started: "List[subprocess.Popen[bytes]]" = []  # kept so that ended ones are reaped


class WorkerUnavailable(Exception):
    """No worker could be found or started; the message says why and what to do."""


def write_engine_config(folder: str, python: str) -> str:
    """Write down which interpreter has the engine, for the plugin in ``folder``; gives the file's path."""
    path = os.path.join(folder, ENGINE_CONFIG)
    temporary = path + ".part"
    with open(temporary, "w") as file:
        json.dump({"python": python}, file)
    os.replace(temporary, path)
    return path


def find_python() -> Tuple[str, str]:
    """The engine's interpreter and where that was learnt. Raises WorkerUnavailable."""
    chosen = os.environ.get("COLORMNET_PYTHON")
    if chosen:
        return _checked(chosen, "COLORMNET_PYTHON"), "COLORMNET_PYTHON"
    folder = os.path.dirname(os.path.abspath(__file__))
    folders = [folder]
    for _ in range(3):
        folder = os.path.dirname(folder)
        folders.append(folder)
    for each in folders:
        path = os.path.join(each, ENGINE_CONFIG)
        if os.path.isfile(path):
            try:
                with open(path) as file:
                    found = str(json.load(file)["python"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise WorkerUnavailable(
                    "%s cannot be read (%s): run install.py for this host again" % (path, error)
                ) from error
            return _checked(found, path), path
    for each in folders:
        for part in (("bin", "python"), ("Scripts", "python.exe")):
            path = os.path.join(each, ".venv", *part)
            if os.path.isfile(path) and os.path.isfile(os.path.join(each, "install.py")):
                return path, "the checkout's environment"
    if sys.version_info >= (3, 10) and importlib.util.find_spec("colormnet") is not None and sys.executable:
        return sys.executable, "this interpreter"
    raise WorkerUnavailable(
        "The ColorMNet engine was not found: run install.py, or set COLORMNET_PYTHON to the Python of its environment."
    )


def _checked(path: str, origin: str) -> str:
    if not os.path.isfile(path):
        raise WorkerUnavailable(
            "%s names %s as the engine's Python, which is not there: run install.py again." % (origin, path)
        )
    return path


def clean_environment(environment: Dict[str, str], host_folder: str) -> Dict[str, str]:
    """The environment for the engine: without what belongs to the host's own Python, Qt and libraries.

    ``host_folder``: where the host is installed; entries of search paths inside it are dropped ("" drops none).
    """
    clean = {}
    inside = os.path.normcase(os.path.abspath(host_folder)) + os.sep if host_folder else ""
    for name, value in environment.items():
        if name in DROPPED or name.startswith("CONDA_"):
            continue
        if name in SEARCHED and inside:
            parts = [
                part
                for part in value.split(os.pathsep)
                if part and not (os.path.normcase(os.path.abspath(part)) + os.sep).startswith(inside)
            ]
            if not parts and name != "PATH":
                continue
            value = os.pathsep.join(parts)
        clean[name] = value
    clean["PYTHONNOUSERSITE"] = "1"
    clean["PYTHONUTF8"] = "1"
    return clean


def host_folder() -> str:
    """Where the running host is installed: the folder of its executable; "" for an ordinary Python interpreter."""
    name = os.path.basename(sys.executable or "").lower()
    if not sys.executable or name.startswith(("python", "pypy")):
        # A host may ship a plain `python` of its own (Nuke does); then its marks are in the environment.
        return os.path.dirname(sys.executable) if sys.executable and os.environ.get("NUKE_PATH") else ""
    return os.path.dirname(os.path.abspath(sys.executable))


class Launcher:
    """How a worker is found and started.

    ``python``: the engine's interpreter; None looks for it (see the module). ``device``: "auto", "cpu", "cuda:0".
    ``arguments``: further ones for ``colormnet worker run``. ``environment``: added to the worker's. ``attended``: the
    worker ends soon after this process has ended and nobody is connected; else only when it has been idle for long.
    """

    def __init__(
        self,
        device: str = "auto",
        python: Optional[str] = None,
        arguments: Sequence[str] = (),
        environment: Optional[Dict[str, str]] = None,
        attended: bool = True,
    ) -> None:
        self.device = device
        self.attended = attended
        self.python = python
        self.arguments = list(arguments)
        self.environment = dict(environment or {})
        self.process: "Optional[subprocess.Popen[bytes]]" = None
        self.launches = 0

    # --- finding --------------------------------------------------------------------------------------------------

    def find(self) -> Optional[Endpoint]:
        """The endpoint of a running worker, None where there is none; an endpoint of a dead one is removed.

        Raises WorkerUnavailable where another user could have put it there.
        """
        try:
            path = places.endpoint_path(places.runtime_directory(), self.device)
            found = places.read_endpoint(path)
            if found is not None and places.process_start(found.pid) is None:
                self._remove_stale(path, found)
                return None
            return found
        except UnsafeDirectory as error:
            raise WorkerUnavailable("The worker's directory is not safe: %s." % error) from error
        except OSError:
            return None

    def _remove_stale(self, path: str, found: Endpoint) -> None:
        again = places.read_endpoint(path)  # a new worker may have written its own just now
        if again == found:
            for each in (path, found.address if found.kind == "unix" else ""):
                try:
                    if each:
                        os.unlink(each)
                except OSError:
                    continue

    def connect(self, name: str) -> Optional[Tuple[Channel, Header]]:
        """A connection to the running worker after the hello, None where none answers.

        Raises WorkerUnavailable where one answers and refuses.
        """
        found = self.find()
        if found is None:
            return None
        try:
            channel = Channel(places.dial(found))
        except UnsafeDirectory as error:
            raise WorkerUnavailable("The worker's directory is not safe: %s." % error) from error
        except OSError:
            return None
        try:
            return channel, greet(channel, found.token, name)
        except Refused as error:
            channel.close()
            if self.find() != found:
                return None  # a worker that just took the other's place
            raise WorkerUnavailable("The worker refused this host: %s." % error) from error
        except (ConnectionLost, ProtocolError):
            channel.close()
            return None

    # --- starting -------------------------------------------------------------------------------------------------

    def command(self) -> List[str]:
        """What is run. Raises WorkerUnavailable."""
        python = self.python or find_python()[0]
        command = [python, "-m", "colormnet.cli.main", "worker", "run", "--device", self.device]
        if self.attended:
            command += ["--parent", str(os.getpid())]
        return command + self.arguments

    def start(self) -> None:
        """Start a worker in the background; it serves once its endpoint file is there. Raises WorkerUnavailable."""
        command = self.command()
        try:
            runtime = places.runtime_directory(create=True)
        except (UnsafeDirectory, OSError) as error:
            raise WorkerUnavailable("The worker's directory cannot be used: %s." % error) from error
        environment = clean_environment(dict(os.environ), host_folder())
        environment.update(self.environment)
        environment["COLORMNET_RUNTIME"] = runtime
        self.reap()
        flags = 0
        if os.name == "nt":
            flags = 0x08000000 | 0x00000200  # CREATE_NO_WINDOW, CREATE_NEW_PROCESS_GROUP
        try:
            # Appending, so that a worker that runs already and this one do not write over each other.
            flags_of_file = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            with os.fdopen(os.open(self.error_file(), flags_of_file, 0o600), "wb") as errors:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    env=environment,
                    cwd=runtime,
                    close_fds=True,
                    start_new_session=os.name != "nt",
                    creationflags=flags,
                )
        except OSError as error:
            raise WorkerUnavailable("The engine could not be started with %s (%s)." % (command[0], error)) from error
        _started.append(self.process)
        self.launches += 1

    def reap(self) -> None:
        """Take note of ended workers, so that none stays as a zombie."""
        _started[:] = [process for process in _started if process.poll() is None]

    def error_file(self) -> str:
        """What the worker says before its log is open, and its last words."""
        return os.path.join(places.runtime_directory(), "worker-%s.err" % places.label(self.device))

    def last_words(self) -> str:
        """The end of the error file in one line."""
        try:
            with open(self.error_file(), "rb") as file:
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return " ".join(lines[-3:])[-600:]

    def ensure(
        self, name: str, say: Callable[[str], None], give_up: Callable[[], bool], timeout: float
    ) -> Tuple[Channel, Header]:
        """A connection to a worker, started if need be. ``say`` is told what is waited for, about once a second.

        Raises WorkerUnavailable; returns early by raising it when ``give_up()`` is true.
        """
        begun = time.monotonic()
        said = -1.0
        crashes = 0
        not_before = 0.0
        while True:
            found = self.connect(name)
            if found is not None:
                self.process = None  # how it ends later is no failure to start
                return found
            waited = time.monotonic() - begun
            if give_up():
                raise WorkerUnavailable("Waiting for the engine was cancelled.")
            if waited > timeout:
                raise WorkerUnavailable(
                    "The engine did not answer within %.0f seconds; its last words: %s"
                    % (timeout, self.last_words() or "none (see %s)" % self.error_file())
                )
            if waited - said >= 1.0:
                said = waited
                say(
                    "Starting the ColorMNet engine (%.0f s)." % waited
                    if waited >= 1
                    else "Starting the ColorMNet engine."
                )
            code = None if self.process is None else self.process.poll()
            if self.process is None or code is not None:
                if code not in (None, 0, ALREADY_RUNNING) and time.monotonic() >= not_before:
                    crashes += 1
                    if code in (1, 2, 3, 4) or crashes > 5:
                        self.process = None
                        raise WorkerUnavailable(
                            "The engine cannot start: %s" % (self.last_words() or "exit code %s" % code)
                        )
                if time.monotonic() >= not_before:
                    not_before = time.monotonic() + min(4.0, 0.25 * 2**crashes)
                    self.start()
            time.sleep(0.02 if waited < 1.0 else 0.1)

"""The life of the worker's process: locks, device, log, idle exit, signals."""

import contextlib
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any

from colormnet_host import endpoint as places
from colormnet_host.endpoint import Endpoint, UnsafeDirectory

from ..errors import DeviceError, InputError
from .folder import INBOX, WatchedFolders
from .limits import WorkerLimits, WorkerPlaces
from .server import Server
from .service import Service

log = logging.getLogger("colormnet.worker")

LOG_BYTES = 2 << 20
LOG_FILES = 3
LOOK_EVERY = 0.5  # seconds between looks at idleness, the starter and the stop request


@dataclass(frozen=True)
class WorkerJob:
    """How to run a worker.

    Attributes:
        device: "auto", "cpu", "cuda:0", "mps".
        places: its directories.
        limits: its bounds.
        parent: process that started it; watched as `WorkerLimits.orphan_seconds` says. None: nobody is watched.
        watch: further folders in which requests are looked for (see `folder`).
        on_ready: called with the endpoint when clients can connect.
    """

    device: str
    places: WorkerPlaces
    limits: WorkerLimits
    parent: int | None = None
    watch: tuple[Path, ...] = ()
    on_ready: Callable[[Endpoint], None] | None = None


def default_places(device: str) -> WorkerPlaces:
    """The usual directories: COLORMNET_RUNTIME, COLORMNET_CACHE or the user's own. Raises InputError."""
    from platformdirs import user_cache_path

    try:
        runtime = Path(places.runtime_directory(create=True))
    except (UnsafeDirectory, OSError) as error:
        raise InputError(f"The worker's runtime directory cannot be used: {error}.") from error
    chosen = os.environ.get("COLORMNET_CACHE")
    cache = (Path(chosen) if chosen else user_cache_path("colormnet")) / "worker"
    return WorkerPlaces(runtime, cache, cache / f"worker-{places.label(device)}.log")


def run(job: WorkerJob) -> int:
    """Serve until idle, stopped or orphaned; the exit code. Raises InputError, DeviceError."""
    faulthandler.enable()
    runtime = job.places.runtime
    with contextlib.ExitStack() as locks:
        with _usable_places():
            places.make_private(str(runtime))
            places.make_private(str(job.places.cache))
            locks.enter_context(_logging(job.places.log))
            locks.enter_context(_lock(runtime / f"engine-{places.label(job.device)}.lock", job.device))
        device, name, note = find_device(job.device)
        actual = runtime / f"engine-{places.label(device)}.lock"
        if places.label(device) != places.label(job.device):
            # "auto" is the same device as its own name: there may be a worker for that one already.
            try:
                locks.enter_context(_lock(actual, device))
            except AlreadyRunning:
                return _point_to(job, device)
        if note:
            log.warning("%s", note)
        log.info("worker %d on %s, %s", os.getpid(), name, sys.version.split()[0])
        return _serve(job, device, name, note)


class AlreadyRunning(InputError):
    """Another worker holds the lock."""

    exit_code = 75  # `colormnet_host.launcher.ALREADY_RUNNING`: the launcher waits for the other one


@contextmanager
def _usable_places() -> Iterator[None]:
    """Turn what the worker's directories make impossible at its start into an InputError."""
    try:
        yield
    except (UnsafeDirectory, OSError) as error:
        raise InputError(
            f"The worker's directories cannot be used ({error}); make room or mend their rights, or set "
            "COLORMNET_CACHE and COLORMNET_RUNTIME to other places."
        ) from error


def _point_to(job: WorkerJob, device: str) -> int:
    """Leave the word that the worker of ``device`` is the one that was asked for."""
    runtime = str(job.places.runtime)
    with _usable_places():
        found = places.read_endpoint(places.endpoint_path(runtime, device))
        if found is None:
            raise AlreadyRunning(f"Another worker for {device} is just starting; try again in a moment.")
        places.write_private(places.endpoint_path(runtime, job.device), found.to_json())
    log.info("worker %d serves %s already", found.pid, device)
    return 0


def _serve(job: WorkerJob, device: str, name: str, note: str) -> int:
    from ..session import load_model

    runtime = job.places.runtime
    limit_device(device, job.limits.device_fraction)

    def load(model: str, weights: str | None, precision: str) -> Any:
        log.info("loading %s %s in %s on %s", model, weights or "", precision, device)
        return load_model(model, weights, device=device, precision=precision)

    with _usable_places():
        own = replace(job.places, cache=job.places.cache / places.label(device))
        service = Service(own, job.limits, load, name, note)
        server = Server(service, runtime)
    folders = WatchedFolders(service, places.label(device))
    service.watch = folders.add
    files = {places.endpoint_path(str(runtime), each) for each in (job.device, device)}
    with _signals(service):
        try:
            server.start()
            folders.add(job.places.cache / INBOX, own=True)
            for folder in job.watch:
                folders.add(folder)
            found = server.endpoint(device)
            announcement = Announcement(files, found)
            with _usable_places():
                announcement.renew()
            if job.on_ready is not None:
                job.on_ready(found)
            reason = _wait(job, service, server, announcement)
            log.info("stopping: %s", reason)
        finally:
            _withdraw(runtime)
            service.stop()
            folders.stop()
            server.stop()
    log.info("stopped")
    return 0


class Announcement:
    """The endpoint files by which clients find this worker, kept as they have to be."""

    def __init__(self, files: set[str], found: Endpoint) -> None:
        # What `_state` said of each file when it was right.
        self._files: dict[str, tuple[int, ...]] = dict.fromkeys(files, ())
        self._found = found

    def renew(self) -> None:
        """Write the files that are not there, or are not what clients would trust. Raises OSError.

        Only files that somebody touched are read.
        """
        for file, right in self._files.items():
            if right and right == self._state(file):
                continue
            current = None
            with contextlib.suppress(OSError, UnsafeDirectory):
                current = places.read_endpoint(file)
            if current != self._found:
                places.write_private(file, self._found.to_json())
            self._files[file] = self._state(file)

    @staticmethod
    def _state(file: str) -> tuple[int, ...]:
        try:
            found = os.lstat(file)
        except OSError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode, found.st_uid


def _withdraw(runtime: Path) -> None:
    """Remove all endpoint files that name this process, also those that others left to point here."""
    for file in runtime.glob("engine-*.json"):
        with contextlib.suppress(OSError, UnsafeDirectory):
            current = places.read_endpoint(str(file))
            if current is not None and current.pid == os.getpid():
                file.unlink()


def _wait(job: WorkerJob, service: Service, server: Server, announcement: Announcement) -> str:
    """Wait for a reason to end; meanwhile see to it that the worker, which holds the lock, can be found."""
    born = places.process_start(job.parent) if job.parent is not None else None
    limits, device = job.limits, service.device
    alone_since: float | None = None
    while True:
        if service.stop_asked.wait(LOOK_EVERY):
            return "it was asked for"
        try:
            announcement.renew()
            if not server.can_be_reached():
                return "its socket was removed"
        except OSError as error:
            return f"its directory cannot be used any more: {error}"
        idle = time.monotonic() - device.last_work if not device.waiting() else 0.0
        if limits.idle_seconds and idle > limits.idle_seconds:
            return f"idle for {idle:.0f} seconds"
        orphaned = job.parent is not None and (born is None or places.process_start(job.parent) != born)
        if orphaned and not server.count() and not device.waiting():
            alone_since = alone_since or time.monotonic()
            if time.monotonic() - alone_since > limits.orphan_seconds:
                return f"process {job.parent}, which started it, has gone and nobody is connected"
        else:
            alone_since = None


def find_device(wanted: str) -> tuple[str, str, str]:
    """Device, its name for people, and a note where it is not what one would wish. Raises DeviceError, InputError.

    "auto" falls back to the CPU, also when a GPU is there and fails its first computation.
    """
    import torch

    from ..device import choose_device

    device = choose_device(wanted)
    note = ""
    if device.type != "cpu":
        try:
            works = bool((torch.ones(8, device=device) + 1).sum().item() == 16.0)
        except RuntimeError as error:
            works, why = False, str(error).splitlines()[0]
        else:
            why = "it computes wrongly"
        if not works:
            if wanted != "auto":
                raise DeviceError(f"The device {wanted} does not work ({why}); choose another or mend its driver.")
            device = torch.device("cpu")
            note = f"The GPU does not work ({why}). THE WORKER RUNS ON THE CPU, many times slower."
    elif wanted == "auto":
        note = "No GPU that PyTorch can use was found. THE WORKER RUNS ON THE CPU, many times slower."
    if device.type == "cuda":
        index = device.index if device.index is not None else torch.cuda.current_device()
        return f"cuda:{index}", f"cuda:{index} ({torch.cuda.get_device_name(index)})", note
    return device.type, device.type, note


def limit_device(device: str, fraction: float) -> None:
    """Bound what may be taken of a CUDA device's memory."""
    if device.startswith("cuda") and fraction < 1.0:
        import torch

        torch.cuda.set_per_process_memory_fraction(fraction, torch.device(device))


@contextmanager
def _lock(path: Path, device: str) -> Iterator[None]:
    """Hold a lock file, which the system releases whenever and however this process ends. Raises AlreadyRunning."""
    file = path.open("a+")
    try:
        path.chmod(0o600)
        if not _try_lock(file):
            raise AlreadyRunning(f"A worker for {device} is running already; see 'colormnet worker status'.")
        yield
    finally:
        file.close()


def _try_lock(file: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def _signals(service: Service) -> Iterator[None]:
    """SIGTERM and SIGINT ask for a graceful end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: Any) -> None:
        service.stop_asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _logging(path: Path) -> Iterator[None]:
    """Log to a file that is rotated."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    logger = logging.getLogger("colormnet")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logging.raiseExceptions = False  # a full disk must not flood standard error
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        handler.close()

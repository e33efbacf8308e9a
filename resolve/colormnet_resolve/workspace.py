"""The output folder of a pass while it runs: writable, used by one pass at a time, and cleaned of what crashes left."""

import json
import os
import platform
import shutil
import tempfile
import time
from typing import Any, Dict

from .errors import PassError
from .sequences import safe_name

LOCK = ".colormnet-pass.lock"
WORK_PREFIX = ".colormnet-work-"
WRITING = 10.0  # seconds in which a lock may be there and not yet have its content


def _host() -> str:
    return safe_name(platform.node() or "here")


def _record() -> Dict[str, Any]:
    from colormnet_host.endpoint import process_start

    return {"host": _host(), "pid": os.getpid(), "started": process_start(os.getpid())}


def _is_held(path: str) -> bool:
    """Whether the pass that made a lock is still there; unsure counts as yes."""
    from colormnet_host.endpoint import process_start

    try:
        with open(path, encoding="utf-8") as stream:
            record = json.load(stream)
        if record["host"] != _host():
            return True
        return bool(process_start(int(record["pid"])) == record["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return os.path.exists(path) and time.time() - os.path.getmtime(path) < WRITING


class Workspace:
    """A context manager around a pass; ``new_folder`` gives temporary folders inside the output folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._lock = os.path.join(folder, LOCK)

    def __enter__(self) -> "Workspace":
        """Raises PassError where the folder cannot be written or another pass uses it."""
        try:
            os.makedirs(self.folder, exist_ok=True)
            self._take_lock()
        except OSError as error:
            raise PassError(
                "{0} cannot be written ({1}): choose another output folder.".format(self.folder, error.strerror)
            ) from error
        self._remove_leftovers()
        return self

    def __exit__(self, *_details: Any) -> None:
        self._remove_leftovers()
        if os.path.exists(self._lock):
            os.unlink(self._lock)

    def _take_lock(self) -> None:
        if os.path.exists(self._lock) and not _is_held(self._lock):
            os.unlink(self._lock)
        try:
            handle = os.open(self._lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            raise PassError(
                "Another pass works in {0}: wait for it, or choose another folder (if none does, delete {1}).".format(
                    self.folder, self._lock
                )
            ) from None
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(_record()))

    def _remove_leftovers(self) -> None:
        # Those of other machines are theirs to remove: storage may be shared.
        for name in os.listdir(self.folder):
            if name.startswith(WORK_PREFIX + _host() + "-"):
                shutil.rmtree(os.path.join(self.folder, name), ignore_errors=True)

    def new_folder(self) -> str:
        """A new temporary folder; its user removes it, at the latest the pass's end does."""
        return tempfile.mkdtemp(prefix=WORK_PREFIX + _host() + "-", dir=self.folder)

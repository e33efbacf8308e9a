"""Files that are whole or absent, named by what they hold, bounded in their sum.

Every entry's file name ends in a digest of its content, so a file that was cut short or damaged is found out when it is
read, and removed. Entries belong to a session and a kind; the kinds are dropped in the order of how cheaply they come
back when space runs out.
"""

import errno
import hashlib
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

KINDS = ("results", "snapshots", "plates")  # in the order in which they are dropped
_NAME = re.compile(r"([0-9a-zA-Z_.-]+)~([0-9a-f]{32})")
_TEMPORARY = ".part-"
DIGEST_BYTES = 16


@dataclass
class _Entry:
    path: Path
    size: int
    used: float
    made: float


@dataclass
class _SessionFiles:
    used: float = 0.0
    entries: dict[tuple[str, str], _Entry] = field(default_factory=dict)  # (kind, key)


class Store:
    """All files of all sessions under one directory. Safe to use from several threads.

    When the disk is full or the directory cannot be written, ``put`` and ``save`` return False, `note` says why, and
    work goes on without the file.
    """

    def __init__(self, root: Path, limit: int) -> None:
        """``limit``: bytes. Leftovers of a worker that was killed are removed; entries are taken over.

        Raises OSError where the directory cannot be made or read.
        """
        self.root = root
        self.limit = limit
        self.note = ""
        self._failed_kind = ""
        self.damaged = 0  # entries found cut short or altered, and removed
        self.evicted = 0
        self._lock = threading.RLock()
        self._sessions: dict[str, _SessionFiles] = {}
        self._bytes = 0
        self._serial = 0
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in root.iterdir():
            if folder.is_dir():
                self._adopt(folder)
        self._shrink(limit, keep="")

    def _adopt(self, folder: Path) -> None:
        files = _SessionFiles()
        for kind in KINDS:
            for path in sorted((folder / kind).glob("*")) if (folder / kind).is_dir() else ():
                if path.is_dir():
                    continue  # nothing of ours
                match = _NAME.fullmatch(path.name)
                if match is None or (kind, match[1]) in files.entries:
                    path.unlink(missing_ok=True)
                    continue
                stat = path.stat()
                files.entries[kind, match[1]] = _Entry(path, stat.st_size, stat.st_mtime, stat.st_mtime)
                files.used = max(files.used, stat.st_mtime)
                self._bytes += stat.st_size
        self._sessions[folder.name] = files

    # --- reading --------------------------------------------------------------------------------------------------

    @property
    def total_bytes(self) -> int:
        """Size of all entries."""
        return self._bytes

    def session_bytes(self, session: str) -> int:
        """Size of one session's entries."""
        with self._lock:
            files = self._sessions.get(session)
            return sum(entry.size for entry in files.entries.values()) if files else 0

    def has(self, session: str, kind: str, key: str) -> bool:
        """Whether there is an entry (not whether it is whole)."""
        with self._lock:
            files = self._sessions.get(session)
            return files is not None and (kind, key) in files.entries

    def keys(self, session: str, kind: str) -> Iterator[str]:
        """Keys of a session's entries of one kind."""
        with self._lock:
            files = self._sessions.get(session)
            found = [key for each, key in files.entries if each == kind] if files else []
        return iter(found)

    def get(self, session: str, kind: str, key: str) -> bytes | None:
        """An entry's content, None where there is none or it is not whole (then it is removed)."""
        entry = self._touch(session, kind, key)
        if entry is None:
            return None
        try:
            content = entry.path.read_bytes()
        except OSError as error:
            log.warning("%s cannot be read (%s)", entry.path, error)
            self.drop(session, kind, key)
            return None
        if hashlib.blake2b(content, digest_size=DIGEST_BYTES).hexdigest() != entry.path.name.rpartition("~")[2]:
            self._damage(session, kind, key, entry)
            return None
        return content

    def peek(self, session: str, kind: str, key: str, count: int) -> bytes | None:
        """The first ``count`` bytes of an entry, not checked; None where there is none."""
        with self._lock:
            files = self._sessions.get(session)
            entry = files.entries.get((kind, key)) if files else None
        if entry is None:
            return None
        try:
            with entry.path.open("rb") as file:
                return file.read(count)
        except OSError:
            return None

    def path(self, session: str, kind: str, key: str) -> Path | None:
        """The file of an entry after checking that it is whole; None as for `get`."""
        entry = self._touch(session, kind, key)
        if entry is None:
            return None
        try:
            digest = _digest(entry.path)
        except OSError as error:
            log.warning("%s cannot be read (%s)", entry.path, error)
            self.drop(session, kind, key)
            return None
        if digest != entry.path.name.rpartition("~")[2]:
            self._damage(session, kind, key, entry)
            return None
        return entry.path

    def _touch(self, session: str, kind: str, key: str) -> _Entry | None:
        with self._lock:
            files = self._sessions.get(session)
            entry = files.entries.get((kind, key)) if files else None
            if files is not None and entry is not None:
                files.used = entry.used = time.time()
            return entry

    def _damage(self, session: str, kind: str, key: str, entry: _Entry) -> None:
        log.warning("%s is damaged and is not used", entry.path)
        self.damaged += 1
        self.drop(session, kind, key)

    # --- writing --------------------------------------------------------------------------------------------------

    def put(self, session: str, kind: str, key: str, content: bytes) -> bool:
        """Keep ``content`` unless the key is there already; False where it could not be written."""
        return self.save(session, kind, key, lambda path: _write(path, content))

    def save(self, session: str, kind: str, key: str, write: Callable[[Path], object]) -> bool:
        """Let ``write`` fill a file, then keep it under ``key``; False where it could not be written."""
        if self.has(session, kind, key):
            self._touch(session, kind, key)
            return True
        for last_try in (False, True):
            problem = self._save_once(session, kind, key, write)
            if problem is None:
                if kind == self._failed_kind:
                    self.note = self._failed_kind = ""
                self._shrink(self.limit, session)
                return True
            full = _cause(problem).errno in (errno.ENOSPC, errno.EDQUOT)
            if last_try or not full or not self._shrink(self._bytes * 9 // 10, session):
                break
        note = f"{self.root} cannot be written ({problem}); results are right, but a restart will have to replay more"
        if note != self.note:
            log.error("%s", note)
        self.note, self._failed_kind = note, kind
        return False

    def _save_once(self, session: str, kind: str, key: str, write: Callable[[Path], object]) -> Exception | None:
        folder = self.root / session / kind
        with self._lock:
            self._serial += 1
            temporary = folder / f"{_TEMPORARY}{os.getpid()}-{self._serial}"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write(temporary)
            target = folder / f"{key}~{_digest(temporary)}"
            size = temporary.stat().st_size
            with self._lock:
                os.replace(temporary, target)
                files = self._sessions.setdefault(session, _SessionFiles())
                files.used = time.time()
                old = files.entries.get((kind, key))
                files.entries[kind, key] = _Entry(target, size, files.used, files.used)
                self._bytes += size - (old.size if old else 0)
        except Exception as error:  # a serializer reports a full disk in its own way
            temporary.unlink(missing_ok=True)
            return error
        return None

    # --- dropping -------------------------------------------------------------------------------------------------

    def drop(self, session: str, kind: str, key: str) -> None:
        """Remove an entry."""
        with self._lock:
            files = self._sessions.get(session)
            entry = files.entries.pop((kind, key), None) if files else None
            if entry is not None:
                self._bytes -= entry.size
                entry.path.unlink(missing_ok=True)

    def thin(self, session: str, kind: str, keep: int) -> None:
        """Drop entries of a kind until ``keep`` are left; what is left is spread evenly over the work done.

        The newest and the oldest stay; each time the one goes whose neighbours were made closest together.
        """
        with self._lock:
            files = self._sessions.get(session)
            if files is None:
                return
            ages = sorted((entry.made, key) for (each, key), entry in files.entries.items() if each == kind)
            while len(ages) > keep:
                gaps = [(ages[i + 1][0] - ages[i - 1][0], i) for i in range(1, len(ages) - 1)] or [(0, 0)]
                _, where = min(gaps)
                self.drop(session, kind, ages.pop(where)[1])

    def forget(self, session: str) -> None:
        """Remove all of a session, its directory included."""
        with self._lock:
            files = self._sessions.pop(session, None)
            if files is not None:
                self._bytes -= sum(entry.size for entry in files.entries.values())
            shutil.rmtree(self.root / session, ignore_errors=True)

    def _shrink(self, limit: int, keep: str) -> bool:
        """Drop the cheapest entries of the least recently used sessions until ``limit`` holds; whether any went."""
        if self._bytes <= limit:
            return False
        dropped = 0
        with self._lock:
            order = sorted(self._sessions, key=lambda name: (name == keep, self._sessions[name].used))
            for name in order:
                for kind in KINDS:
                    entries = self._sessions[name].entries
                    oldest_first = sorted((key for key in entries if key[0] == kind), key=lambda key: entries[key].used)
                    for each, key in oldest_first:
                        if self._bytes <= limit:
                            self.evicted += dropped
                            return dropped > 0
                        self.drop(name, each, key)
                        dropped += 1
        self.evicted += dropped
        return dropped > 0


def _cause(error: BaseException) -> OSError:
    """The system's error behind an error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return cause
        cause = cause.__cause__
    return OSError(0, str(error))


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

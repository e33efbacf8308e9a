"""The manifest of a pass: a JSON file beside the coloured frames, so that a pass can be resumed or repeated.

One entry per timeline item (by its unique id) with the fingerprint of everything that decides its pixels. A clip whose
fingerprint is unchanged and whose frames are all there is not coloured again.
"""

import hashlib
import json
import os
import tempfile
from typing import Any, Dict, List, NamedTuple

from .errors import PassError

VERSION = 1
FILE_NAME = "colormnet-pass.json"
PENDING, DONE, FAILED, CANCELLED = "pending", "done", "failed", "cancelled"


class Entry(NamedTuple):
    """What is known of one clip of the pass."""

    uid: str
    name: str
    state: str
    fingerprint: str
    pattern: str  # coloured media: "…/name_%04d.exr", or one movie file
    first: int  # number of the first coloured frame; movies: 0
    frames: int  # how many
    exemplars: List[List[Any]]  # [path, colour space, frame or None] each
    message: str  # why it failed, for a failed one


def fingerprint(parts: Dict[str, Any]) -> str:
    """A hex digest of what decides the pixels of a clip: 16 digits of SHA-256 over canonical JSON."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def file_digest(path: str) -> str:
    """SHA-256 of a file's bytes, hex; raises PassError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    except OSError as error:
        raise PassError(
            "{0} cannot be read ({1}): check the path and its permissions.".format(path, error.strerror)
        ) from error
    return digest.hexdigest()


def write_atomically(path: str, text: str) -> None:
    """Write a text file whole or not at all: temporary file in the same folder, then os.replace."""
    handle, temporary = tempfile.mkstemp(prefix=".colormnet-", suffix=".tmp", dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


class Manifest:
    """The manifest of one output folder; ``record`` saves at once, so a crash loses nothing."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, FILE_NAME)
        self.entries: Dict[str, Entry] = {}
        self.settings: Dict[str, Any] = {}  # of the newest pass, so that a resumed one goes on as it began
        if os.path.exists(self.path):
            self._load()

    def _load(self) -> None:
        advice = "move it aside to start afresh (the frames stay)"
        try:
            with open(self.path, encoding="utf-8") as stream:
                data = json.load(stream)
            version = data["version"]
            entries = {uid: Entry(**fields) for uid, fields in data["clips"].items()}
            settings = dict(data["settings"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PassError("The manifest {0} cannot be read ({1}): {2}.".format(self.path, error, advice)) from error
        if version != VERSION:
            raise PassError("The manifest {0} is of version {1}: {2}.".format(self.path, version, advice))
        self.entries = entries
        self.settings = settings

    def record(self, entry: Entry) -> None:
        """Keep ``entry`` and save the file atomically; raises PassError when the folder cannot be written."""
        self.entries[entry.uid] = entry
        self._save()

    def begin(self, settings: Dict[str, Any], entries: List[Entry]) -> None:
        """Keep the settings of a pass that begins, and what it is to do; raises PassError as ``record`` does."""
        self.settings = settings
        self.entries.update({entry.uid: entry for entry in entries})
        self._save()

    def _save(self) -> None:
        clips = {uid: dict(kept._asdict()) for uid, kept in self.entries.items()}
        content = {"version": VERSION, "settings": self.settings, "clips": clips}
        try:
            write_atomically(self.path, json.dumps(content, indent=2, sort_keys=True))
        except OSError as error:
            raise PassError(
                "The manifest {0} cannot be written ({1}): choose another output folder.".format(
                    self.path, error.strerror
                )
            ) from error

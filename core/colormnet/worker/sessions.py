"""Sessions: a shot's plates, exemplars and definitions by name, in memory and on disk."""

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from colormnet_host.endpoint import process_start
from colormnet_host.protocol import MAX_PAYLOAD

from ..errors import InputError
from .answers import NeedFrames, UnknownGeneration
from .caches import RecentPlanes, RecentShots
from .chain import Engine
from .pictures import read_picture
from .planes import Plane, pack, plane_digest, text_digest, unpack
from .requests import ExemplarRequest, ShotSettings, parse_frames, parse_settings
from .shot import Definition, Geometry, Shot, StoredExemplar
from .store import Store

if TYPE_CHECKING:
    from ..session import Model

log = logging.getLogger(__name__)

SESSION_FILE = "session.json"
EXEMPLARS = "exemplars"
_UNFINISHED = re.compile(r"\.(\d+)-\d+\.part$")
DEFINITIONS_KEPT = 8
SHOTS_KEPT = 16  # of a session: definitions on plates of one size
SHOTS_PREPARED = 8  # of all sessions, with their exemplars in memory


@dataclass(frozen=True)
class PlateFile:
    """Where a plate frame was read from, to read it again if need be."""

    path: Path
    identity: tuple[int, int]  # size and time of change


class Plates:
    """Luminance of the plate frames seen, at the working size, under one rule of preparation."""

    def __init__(self, session: str, rule: str, store: Store, recent: RecentPlanes) -> None:
        self._session, self._rule, self._store, self._recent = session, rule, store, recent
        self._digests: dict[int, str] = {}
        for key in store.keys(session, "plates"):
            found = key.split(".")
            if found[0] == rule and len(found) == 3:
                self._digests[int(found[1])] = found[2]

    def digest(self, frame: int) -> str | None:
        """Digest of a frame's luminance, None where it was never seen."""
        return self._digests.get(frame)

    def put(self, frame: int, plane: Plane) -> str:
        """Keep a frame's luminance; it replaces what was known of the frame."""
        digest = plane_digest(plane)
        known = self._digests.get(frame)
        if known != digest or not self._store.has(self._session, "plates", self._key(frame, digest)):
            self._store.put(self._session, "plates", self._key(frame, digest), pack({}, plane))
            if known is not None and known != digest:
                self._store.drop(self._session, "plates", self._key(frame, known))
                self._recent.drop(self._session, self._key(frame, known))
        self._digests[frame] = digest
        self._recent.put(self._session, self._key(frame, digest), plane)  # also saves the day when the disk is full
        return digest

    def get(self, frame: int) -> Plane | None:
        """A frame's luminance, None where it is not at hand (any more)."""
        digest = self._digests.get(frame)
        if digest is None:
            return None
        plane = self._recent.get(self._session, self._key(frame, digest))
        if plane is None:
            content = self._store.get(self._session, "plates", self._key(frame, digest))
            plane = unpack(content)[1][0] if content is not None else None
        return plane

    def _key(self, frame: int, digest: str) -> str:
        return f"{self._rule}.{frame}.{digest}"


class Session:
    """One named session. Used by the device's thread; `overview` may be called from others."""

    def __init__(self, name: str, store: Store, planes: RecentPlanes, prepared: RecentShots) -> None:
        """``planes``, ``prepared``: kept in memory of all sessions."""
        self.name = name
        self.key = session_key(name)
        self.folder = store.root / self.key
        self.used = time.time()
        self.frames_done = 0
        self.current: Definition | None = None
        self._store, self._planes, self._prepared = store, planes, prepared
        self._definitions: OrderedDict[str, Definition] = OrderedDict()
        self._shots: dict[tuple[str, Geometry], Shot] = {}
        self._plates: dict[str, Plates] = {}
        self._files: dict[int, PlateFile] = {}
        self._geometry: Geometry | None = None
        self._lock = threading.Lock()
        self._load()

    # --- definitions ----------------------------------------------------------------------------------------------

    def define(
        self,
        settings: ShotSettings,
        frames: tuple[int, ...],
        exemplars: Sequence[ExemplarRequest] | None,
        payload: bytes | bytearray | memoryview,
    ) -> Definition:
        """Declare what the client wants from now on; ``exemplars`` None keeps the present ones. Raises InputError."""
        if exemplars is not None:
            stored = tuple(self._keep_exemplar(item, payload) for item in exemplars)
        elif self.current is not None:
            stored = self.current.exemplars
            if not self._has(stored):
                raise InputError(
                    f"The exemplars of the session {self.name} are not in {self.folder} any more; give them again."
                )
        else:
            raise InputError(f"The session {self.name} is new and has no exemplar; give at least one coloured picture.")
        definition = Definition.make(settings, frames, stored)
        with self._lock:
            self._definitions[definition.name] = definition
            self._definitions.move_to_end(definition.name)
            while len(self._definitions) > DEFINITIONS_KEPT:
                gone, _ = self._definitions.popitem(last=False)
                for key in [key for key in self._shots if key[0] == gone]:
                    del self._shots[key]
        self.current = definition
        self._save()
        self._remove_unused_exemplars()
        return definition

    def definition(self, name: str) -> Definition:
        """A definition by its name. Raises UnknownGeneration."""
        with self._lock:
            found = self._definitions.get(name)
        if found is None:
            raise UnknownGeneration(name)
        return found

    def _keep_exemplar(self, item: ExemplarRequest, payload: bytes | bytearray | memoryview) -> StoredExemplar:
        folder = self.folder / EXEMPLARS
        content: bytes | memoryview
        if item.pixels is not None:
            content = memoryview(payload)[item.offset : item.offset + item.pixels.nbytes]
            suffix, origin = ".raw", "in memory"
        elif item.path is not None:
            identity = file_identity(item.path)
            if identity is None or identity[0] > MAX_PAYLOAD:
                raise InputError(f"The exemplar {item.path} is not there or is no picture file; check the path.")
            try:
                content = item.path.read_bytes()
            except OSError as error:
                raise InputError(
                    f"The exemplar {item.path} cannot be read ({error.strerror}); check the path."
                ) from error
            suffix, origin = item.path.suffix.lower(), str(item.path)
        else:
            raise InputError("An exemplar needs a path or pixels.")
        target = folder / f"{hashlib.blake2b(content, digest_size=16).hexdigest()}{suffix}"
        if not intact(target):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                write_whole(target, content)
            except OSError as error:
                raise InputError(
                    f"The exemplar {origin} cannot be kept in {folder} ({error.strerror}); make room there."
                ) from error
        if item.pixels is None:
            read_picture(target)  # says now, not at the first frame, that it cannot be read
        return StoredExemplar(target.name, item.pixels, item.space, item.frame, origin)

    def _has(self, exemplars: Sequence[StoredExemplar]) -> bool:
        return all(intact(self.folder / EXEMPLARS / each.file) for each in exemplars)

    def _remove_unused_exemplars(self) -> None:
        """Remove the exemplars' files that no definition names any more."""
        named = {each.file for definition in self._definitions.values() for each in definition.exemplars}
        with contextlib.suppress(OSError):
            for path in (self.folder / EXEMPLARS).iterdir():
                if path.name not in named:
                    path.unlink(missing_ok=True)

    def _save(self) -> None:
        known = [definition.to_json() for definition in self._definitions.values()]
        text = json.dumps({"name": self.name, "definitions": known}, indent=1)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(self.folder / SESSION_FILE, text.encode())
        except OSError as error:
            log.error("%s cannot be written (%s); the session cannot be resumed by name", self.folder, error)

    def _load(self) -> None:
        try:
            found = json.loads((self.folder / SESSION_FILE).read_text())
            for item in found["definitions"]:
                frames = parse_frames(item["frames"])
                exemplars = tuple(StoredExemplar.from_json(each) for each in item["exemplars"])
                if not self._has(exemplars):
                    continue
                self.current = Definition.make(parse_settings(item["settings"]), frames, exemplars)
                self._definitions[self.current.name] = self.current
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, InputError) as error:
            log.warning("%s is not used: %s", self.folder / SESSION_FILE, error)

    # --- shots ----------------------------------------------------------------------------------------------------

    def shot(self, definition: Definition, geometry: Geometry, short_side: int) -> Shot:
        """The shot for plates of that size. Raises InputError."""
        with self._lock:
            found = self._shots.get((definition.name, geometry))
            if found is None:
                found = Shot(definition, geometry, short_side, self.folder / EXEMPLARS)
                self._shots[definition.name, geometry] = found
                if len(self._shots) > SHOTS_KEPT:
                    del self._shots[next(iter(self._shots))]
            return found

    def release(self, model: "Model | None" = None) -> None:
        """Let go of a model, or of all; they come back when a frame is asked for."""
        with self._lock:
            shots = list(self._shots.values())
        for shot in shots:
            if shot.recipe is not None and model in (None, shot.recipe.model):
                shot.release()

    def plates(self, shot: Shot) -> Plates:
        """What is known of the plate under the shot's rule."""
        found = self._plates.get(shot.plate_rule)
        if found is None:
            found = self._plates[shot.plate_rule] = Plates(self.key, shot.plate_rule, self._store, self._planes)
        return found

    def remember(self, shot: Shot, frame: int, plane: Plane, file: PlateFile | None) -> str:
        """Take note of a plate frame that came. Gives the digest of its luminance."""
        self._geometry = shot.geometry
        if file is not None:
            self._files[frame] = file
        else:
            self._files.pop(frame, None)
        return self.plates(shot).put(frame, plane)

    def reread(self, shot: Shot, frame: int) -> bool:
        """Read a frame's luminance again from the file it once came from, if that is unchanged."""
        file = self._files.get(frame)
        if file is None or file_identity(file.path) != file.identity:
            return False
        try:
            picture = read_picture(file.path)
            self.plates(shot).put(frame, shot.colouring.prepare(picture.pixels).luminance)
        except InputError as error:
            log.warning("plate %s cannot be read again: %s", file.path, error)
            return False
        return True

    def settle(self, shot: Shot, model: "Model") -> None:
        """Prepare the exemplars.

        Raises NeedFrames for the frames they are declared for, UnknownGeneration where their files are gone (the client
        then declares them again), and InputError.
        """
        if shot.recipe is None and not self._has(shot.definition.exemplars):
            raise UnknownGeneration(shot.definition.name)
        plates = self.plates(shot)
        own: dict[int, Plane] = {}
        missing = []
        for frame in shot.own_frames():
            plane = plates.get(frame)
            if plane is None and self.reread(shot, frame):
                plane = plates.get(frame)
            if plane is None:
                missing.append(frame)
            else:
                own[frame] = plane
        if missing:
            raise NeedFrames(missing, self._other_size(shot, missing))
        digests = {frame: plates.digest(frame) for frame in own}
        if shot.settled_on != digests:  # whether an exemplar shows its frame has to be asked again
            shot.release()
        shot.settle(self.key, model, own)
        shot.settled_on = digests
        self._prepared.use(shot)

    def names(self, shot: Shot, place: int) -> Sequence[str]:
        """Names of places 0 to ``place + 1``. Raises NeedFrames where frames on the way were never seen.

        A frame whose planes are gone is only needed when no live memory, snapshot or result lies after it.
        """
        plates, frames = self.plates(shot), shot.definition.frames
        digests: list[str] = []
        missing: list[int] = []
        for frame in frames[: place + 1]:
            digest = plates.digest(frame)
            if digest is None and self.reread(shot, frame):
                digest = plates.digest(frame)
            if digest is None:
                missing.append(frame)
            else:
                digests.append(digest)
        if missing:
            raise NeedFrames(missing, self._other_size(shot, missing))
        return shot.names(digests)

    def _other_size(self, shot: Shot, missing: Sequence[int]) -> str:
        """A hint where frames are missing only because they came in another size."""
        for (_, geometry), other in self._shots.items():
            if geometry != shot.geometry and any(self.plates(other).digest(frame) for frame in missing):
                return (
                    f" They came as {geometry.width}x{geometry.height}, this frame is {shot.geometry.width}x"
                    f"{shot.geometry.height}: all frames of a shot must have one size (bake without autocrop)."
                )
        return ""

    def luminance(self, shot: Shot) -> Callable[[int], tuple[str, Plane]]:
        """A function from place to digest and plane of that frame's luminance; it raises NeedFrames."""
        plates, frames = self.plates(shot), shot.definition.frames

        def at(place: int) -> tuple[str, Plane]:
            frame = frames[place]
            plane = plates.get(frame)
            if plane is None and self.reread(shot, frame):
                plane = plates.get(frame)
            digest = plates.digest(frame)
            if plane is None or digest is None:
                raise NeedFrames([frame])
            return digest, plane

        return at

    # --- what is known --------------------------------------------------------------------------------------------

    def progress(self, definition: Definition, engine: Engine) -> dict[str, Any]:
        """Frames done, their confidence, the best next exemplar frame and snapshots, for a status answer."""
        done: list[int] = []
        confidence: dict[str, float] = {}
        snapshots: list[int] = []
        notes: list[str] = []
        shot = None if self._geometry is None else self._shots.get((definition.name, self._geometry))
        if shot is not None and shot.name:
            plates, digests = self.plates(shot), []
            for frame in definition.frames:
                digest = plates.digest(frame)
                if digest is None:
                    break
                digests.append(digest)
            names = shot.names(digests)
            notes = shot.notes
            for place in range(len(digests)):
                score = engine.scores(self.key, names[place + 1])
                if score is not None:
                    done.append(definition.frames[place])
                    confidence[str(definition.frames[place])] = score[0]
                if self._store.has(self.key, "snapshots", names[place]):
                    snapshots.append(definition.frames[place])
        return {
            "name": self.name,
            "generation": definition.name,
            "frames": list(definition.frames),
            "done": done,
            "confidence": confidence,
            "recommended_exemplar": recommended_exemplar(definition, confidence),
            "snapshots": snapshots,
            "exemplars": len(definition.exemplars),
            "keys_reused": engine.keys_reused.get(self.key, 0),
            "keys_encoded": engine.keys_encoded.get(self.key, 0),
            "notes": notes,
            "settings": definition.settings.to_json(),
        }

    def overview(self) -> dict[str, Any]:
        """A line for the list of sessions."""
        current = self.current
        return {
            "name": self.name,
            "frames": len(current.frames) if current else 0,
            "frames_done": self.frames_done,
            "exemplars": len(current.exemplars) if current else 0,
            "model": current.settings.model if current else "",
            "bytes": self._store.session_bytes(self.key),
            "used": self.used,
            "open": True,
        }


def recommended_exemplar(definition: Definition, confidence: dict[str, float]) -> int | None:
    """The frame the network was least sure of, of those that have no exemplar of their own; None where none is done."""
    own = {str(exemplar.frame) for exemplar in definition.exemplars if exemplar.frame is not None}
    rest = {frame: value for frame, value in confidence.items() if frame not in own}
    return int(min(rest, key=rest.__getitem__)) if rest else None


def plate_file(path: Path) -> PlateFile:
    """A plate file as it is now. Raises InputError."""
    identity = file_identity(path)
    if identity is None:
        raise InputError(f"{path} is not there or is not a file; check the path.")
    return PlateFile(path, identity)


def file_identity(path: Path) -> tuple[int, int] | None:
    """Size in bytes and time of change of a file, None where there is none, or something that is no file (a pipe)."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def intact(path: Path) -> bool:
    """Whether an exemplar's file is there and holds what its name says."""
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() == path.stem
    except OSError:
        return False


def session_key(name: str) -> str:
    """A session's directory: readable, safe on every file system, and its own for every name."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40]
    return f"{readable}-{text_digest(name)[:12]}"


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file under a temporary name in the same folder, then give it its name. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path, shared: bool = False) -> None:
    """Remove what `write_whole` was writing in a folder when its process was killed; raises OSError.

    In a ``shared`` folder other live processes may be writing, and theirs stays.
    """
    for path in folder.glob(".*.part"):
        match = _UNFINISHED.search(path.name)
        if match is not None and not (shared and process_start(int(match[1])) is not None):
            path.unlink(missing_ok=True)


class Sessions:
    """All sessions of the worker: open ones in memory, the others on disk."""

    def __init__(self, store: Store, plane_bytes: int) -> None:
        """``plane_bytes``: see `RecentPlanes`."""
        self._store = store
        self._planes = RecentPlanes(plane_bytes)
        self._prepared = RecentShots(SHOTS_PREPARED)
        self._open: dict[str, Session] = {}
        self._new: WeakValueDictionary[str, Session] = WeakValueDictionary()  # gone when no request holds them
        self._lock = threading.Lock()
        for folder in (*store.root.glob("*"), *store.root.glob(f"*/{EXEMPLARS}")):
            remove_unfinished(folder)

    def get(self, name: str) -> Session:
        """The session of that name, from disk or new. Only `keep` makes a new one known to others."""
        with self._lock:
            found = self._open.get(name) or self._new.get(name)
            if found is None:
                found = Session(name, self._store, self._planes, self._prepared)
                kept = self._new if found.current is None else self._open
                kept[name] = found
            found.used = time.time()
            return found

    def keep(self, session: Session) -> None:
        """A session was defined; from now on it is the one of its name."""
        with self._lock:
            self._open[session.name] = session
            self._new.pop(session.name, None)

    def opened(self) -> list[Session]:
        """Sessions in memory."""
        with self._lock:
            return list(self._open.values())

    def put_away(self, name: str) -> None:
        """Forget the session's objects; what is on disk stays."""
        with self._lock:
            self._open.pop(name, None)
            self._new.pop(name, None)

    def forget(self, name: str) -> None:
        """Delete everything of a session."""
        self.put_away(name)
        key = session_key(name)
        self._planes.drop(key)
        self._store.forget(key)
        shutil.rmtree(self._store.root / key, ignore_errors=True)

    def overview(self) -> list[dict[str, Any]]:
        """All sessions, open or on disk, the most recently used first."""
        opened = {session.key: session.overview() for session in self.opened()}
        found = list(opened.values())
        for folder in self._store.root.iterdir() if self._store.root.is_dir() else ():
            if folder.name in opened or not (folder / SESSION_FILE).is_file():
                continue
            try:
                stored = json.loads((folder / SESSION_FILE).read_text())
                last = stored["definitions"][-1] if stored["definitions"] else None
                found.append(
                    {
                        "name": str(stored["name"]),
                        "frames": len(last["frames"]) if last else 0,
                        "frames_done": 0,
                        "exemplars": len(last["exemplars"]) if last else 0,
                        "model": last["settings"]["model"] if last else "",
                        "bytes": self._store.session_bytes(folder.name),
                        "used": (folder / SESSION_FILE).stat().st_mtime,
                        "open": False,
                    }
                )
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("%s is not listed: %s", folder, error)
        return sorted(found, key=lambda each: -float(each["used"]))

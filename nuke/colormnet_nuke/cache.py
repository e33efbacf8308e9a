"""The node's folder on disk: the baked plate, exemplars, results; what is in it is known from journals and one sidecar.

::

    <cache directory>/<node id>/
        bake/<key>/<view>/plate.%04d.exr  + bake.jsonl      one line a frame, written when the frame is whole
        exemplars/<view>/<input>.%04d.exr
        previews/<view>/<what>.%04d.png
        results/<key>/<view>/colour.%04d.exr + frames.jsonl one line a frame, written when the frame is whole
        results/<key>/record.json                           what the results were made from, replaced atomically

A frame counts only if its journal line says so and its file is there. A torn last line is no line. Colour is carried
from frame to frame: once a frame is made anew from another past, or with other weights, what was made from the former
past no longer counts, also when the work stops half-way.
"""

import hashlib
import json
import os
import shutil
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

KEEP_RESULTS = 4  # generations: going back to the former settings shows the former result at once


class FrameRecord(NamedTuple):
    """A finished frame.

    ``chain``: digest of the exemplars and the plate frames up to and with this one. ``generation``: the worker's, a
    dash, and the weights'.
    """

    chain: str
    generation: str
    confidence: float
    low_confidence: float


class BakedFrame(NamedTuple):
    """A baked plate frame: its pixels' digest and data window."""

    pixels: str
    box: str


def tcl_path(path: str) -> str:
    """A path as the text of a file knob: forward slashes, nothing that would be evaluated."""
    return path.replace("\\", "/").replace("[", "\\[").replace("]", "\\]").replace("$", "\\$")


def write_json(path: str, value: Any) -> None:
    """Write a file that is whole or not there."""
    temporary = "%s.%d.tmp" % (path, os.getpid())
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True)
    os.replace(temporary, path)


def read_json(path: str) -> Optional[Dict[str, Any]]:
    """A JSON object, None where the file is absent or damaged."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def append(path: str, value: Dict[str, Any]) -> None:
    """Add one line to a journal; one write, so that several processes may."""
    line = (json.dumps(value, sort_keys=True) + "\n").encode("utf-8")
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
    try:
        os.write(handle, line)
    finally:
        os.close(handle)


def lines(path: str) -> List[Dict[str, Any]]:
    """The whole lines of a journal."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        return []
    found = []
    for line in text.split(b"\n")[:-1]:
        try:
            value = json.loads(line.decode("utf-8"))
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def chains(pixels: Iterable[str]) -> List[str]:
    """Running digests: the n-th changes when any of the first n does, as the colour of a frame does."""
    result, current = [], ""
    for each in pixels:
        current = hashlib.sha256((current + each).encode("ascii")).hexdigest()[:32]
        result.append(current)
    return result


# A render asks for every frame by itself: a journal is read again only when it has grown.
_records: Dict[str, Tuple[Tuple[int, int], Dict[int, FrameRecord]]] = {}


class Results:
    """The results of one key: files of every view, journals and the sidecar."""

    def __init__(self, folder: str, key: str) -> None:
        self.key = key
        self.folder = "%s/results/%s" % (folder, key)

    def path(self, view: str, frame: int) -> str:
        """The file of a frame."""
        return "%s/%s/colour.%s.exr" % (self.folder, view, padded(frame))

    def make(self, views: Iterable[str]) -> None:
        """Make the folders."""
        for view in views:
            os.makedirs("%s/%s" % (self.folder, view), exist_ok=True)

    def frames(self, view: str) -> Dict[int, FrameRecord]:
        """Finished frames of a view that belong together and whose files are there."""
        records = self.records(view)
        return {frame: record for frame, record in records.items() if os.path.isfile(self.path(view, frame))}

    def records(self, view: str) -> Dict[int, FrameRecord]:
        """Finished frames of a view as the journal has them; the newest line of a frame counts. Not to be changed."""
        path = "%s/%s/frames.jsonl" % (self.folder, view)
        try:
            stat = os.stat(path)
        except OSError:
            return {}
        state = (stat.st_size, stat.st_mtime_ns)
        known = _records.get(path)
        if known is None or known[0] != state:
            if len(_records) > 64:
                _records.clear()
            known = _records[path] = (state, self._read(path))
        return known[1]

    @staticmethod
    def _read(path: str) -> Dict[int, FrameRecord]:
        found: Dict[int, FrameRecord] = {}
        weights = ""
        for line in lines(path):
            try:
                frame = int(line["frame"])
                record = FrameRecord(
                    str(line["chain"]), str(line["generation"]), float(line["mean"]), float(line["low"])
                )
                after = line.get("after")
                before = None if after is None else (int(after[0]), str(after[1]))
            except (KeyError, TypeError, ValueError, IndexError):
                continue
            if record.generation.rpartition("-")[2] != weights:
                weights = record.generation.rpartition("-")[2]
                found.clear()
            _drop_other_pasts(found, frame, record.chain, before)
            if not line.get("pending"):
                found[frame] = record
        return found

    def add(
        self, view: str, frame: int, record: FrameRecord, after: Optional[Tuple[int, str]], pending: bool = False
    ) -> None:
        """Note a finished frame (its file is whole by now), or with ``pending`` that it is about to be made anew.

        ``after``: the frame before it in the shot and that one's chain, None for the first.
        """
        line: Dict[str, Any] = {
            "frame": frame,
            "chain": record.chain,
            "generation": record.generation,
            "mean": record.confidence,
            "low": record.low_confidence,
            "after": after,
        }
        append("%s/%s/frames.jsonl" % (self.folder, view), dict(line, pending=True) if pending else line)

    def record(self) -> Dict[str, Any]:
        """The sidecar; empty where there is none."""
        return read_json("%s/record.json" % self.folder) or {}

    def save(self, record: Dict[str, Any]) -> None:
        """Replace the sidecar."""
        write_json("%s/record.json" % self.folder, record)


def _drop_other_pasts(found: Dict[int, FrameRecord], frame: int, chain: str, after: Optional[Tuple[int, str]]) -> None:
    """Take out what was made from another past than a frame with this chain."""
    gone: List[int] = []
    if frame in found and found[frame].chain != chain:
        gone += [other for other in found if other >= frame]
    if after is not None and after[0] in found and found[after[0]].chain != after[1]:
        gone += [other for other in found if other < frame]
    for other in gone:
        found.pop(other, None)


class Bake:
    """The baked plate of one state of the tree above."""

    def __init__(self, folder: str, key: str) -> None:
        self.folder = "%s/bake/%s" % (folder, key)

    def pattern(self) -> str:
        """The file name for the host's Write, with signs for view and frame."""
        return "%s/%%V/plate.%%04d.exr" % tcl_path(self.folder)

    def path(self, view: str, frame: int) -> str:
        """The file of a frame."""
        return "%s/%s/plate.%s.exr" % (self.folder, view, padded(frame))

    def make(self, view: str) -> None:
        """Make the folder (the host's Write does not)."""
        os.makedirs("%s/%s" % (self.folder, view), exist_ok=True)

    def frames(self, view: str) -> Dict[int, BakedFrame]:
        """Frames that are baked whole."""
        found = {}
        for line in lines("%s/%s/bake.jsonl" % (self.folder, view)):
            try:
                found[int(line["frame"])] = BakedFrame(str(line["pixels"]), str(line["box"]))
            except (KeyError, TypeError, ValueError):
                continue
        return {frame: baked for frame, baked in found.items() if os.path.isfile(self.path(view, frame))}

    def add(self, view: str, frame: int, baked: BakedFrame) -> None:
        """Note a frame that is whole."""
        append("%s/%s/bake.jsonl" % (self.folder, view), {"frame": frame, "pixels": baked.pixels, "box": baked.box})


def padded(frame: int) -> str:
    """A frame number as ``%04d`` writes it."""
    return "%04d" % frame


def keep_only(folder: str, kind: str, keys: Iterable[str], extra: int = 0) -> None:
    """Delete all but these folders of a kind and the ``extra`` newest others."""
    base, wanted = "%s/%s" % (folder, kind), set(keys)
    try:
        others = [name for name in os.listdir(base) if name not in wanted]
    except OSError:
        return
    others.sort(key=lambda name: os.stat("%s/%s" % (base, name)).st_mtime, reverse=True)
    for name in others[extra:]:
        shutil.rmtree("%s/%s" % (base, name), ignore_errors=True)


def clear(folder: str) -> None:
    """Delete everything a node keeps; only folders that are ours are touched."""
    for kind in ("bake", "exemplars", "previews", "results"):
        path = "%s/%s" % (folder, kind)
        if os.path.isdir(path):
            shutil.rmtree(path)
    try:
        os.rmdir(folder)
    except OSError:
        return  # something else lies there; it is not ours to delete

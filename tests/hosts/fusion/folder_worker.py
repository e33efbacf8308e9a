"""A quick stand-in for the worker's watched folder: tints frames, needs earlier ones first, and checks its client."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - its usual name
from fusion_host import write_exr


class FolderWorker:
    """Watches ``folder`` in a thread. ``refuse`` answers with that error; ``mute`` never answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[dict[str, Any]] = []
        self.refuse: dict[str, Any] | None = None
        self.mute = False
        self.forget = False
        self.most_at_once = 0
        self._seen: set[int] = set()
        self._frames: list[int] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> FolderWorker:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.alive()
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self.end()

    def end(self) -> None:
        """Watch no more; from here on nothing in the folder changes by itself."""
        self._end.set()
        self._thread.join()

    def alive(self, age: float = -60.0) -> None:
        """Give a sign of life; it holds for a while, so that a held-up test is not taken for a dead worker."""
        text = {"pid": os.getpid(), "time": time.time() - age, "protocol": 1, "device": "cpu", "state": "idle"}
        self._write(self.folder / "worker.alive.json", text)

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        part = path.with_suffix(".tmp")
        part.write_text(json.dumps(content))
        os.replace(part, path)

    def _watch(self) -> None:
        while not self._end.wait(0.005):
            self.alive()
            waiting = sorted(self.folder.glob("*.request.json"))
            self.most_at_once = max(self.most_at_once, len(waiting))
            for path in waiting:
                if self.mute:
                    continue
                asked = json.loads(path.read_text())
                path.unlink()
                self.requests.append(asked)
                answer = {"protocol": 1, **self._answer(asked)}
                self._write(path.with_name(path.name.replace(".request.json", ".answer.json")), answer)

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["protocol"] == 1
        if self.refuse is not None and asked["request"] == "colour":
            return {"ok": False, **self.refuse}
        if asked["request"] == "open":
            self._frames = list(range(asked["frames"][0][0], asked["frames"][0][1] + 1))
            return {"ok": True, "generation": f"g{len(self.requests)}"}
        if self.forget:
            self.forget = False
            return {"ok": False, "code": "input", "message": "No such session."}
        pixels = read_rgba(asked["plate"])
        self._seen.add(asked["frame"])
        if asked["request"] == "supply":
            return {"ok": True}
        missing = [n for n in self._frames if n < asked["frame"] and n not in self._seen]
        if missing:
            return {"ok": False, "code": "need_frames", "frames": missing, "message": "Earlier frames are needed."}
        write_exr(asked["output"], tint(pixels))
        return {"ok": True, "output": asked["output"], "confidence": 0.5}


def tint(pixels: np.ndarray) -> np.ndarray:
    """The colour of this worker."""
    return pixels * np.array([1.0, 0.75, 0.5, 1.0], np.float32)


def read_rgba(path: str | Path) -> np.ndarray:
    """(H, W, 4) float32."""
    found = oiio.ImageInput.open(str(path))
    assert found is not None, oiio.geterror()
    assert found.spec().nchannels == 4
    pixels = np.asarray(found.read_image(0, 0, 0, 4, oiio.FLOAT), np.float32)
    found.close()
    return pixels

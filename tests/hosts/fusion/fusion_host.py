"""Drives the Lua stand-in of Fusion: starts LuaJIT, sets controls, asks for frames, serves files and input images."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - its usual name

HERE = Path(__file__).resolve().parent
FUSE = HERE.parents[2] / "resolve" / "fuses" / "ColorMNet.fuse"


@dataclass(frozen=True)
class Rendered:
    """What came of a request: "image" (with ``pixels``), "nodata", "empty", or "failed" with the node's message."""

    kind: str
    pixels: np.ndarray | None = None
    message: str = ""
    label: str = ""
    status: str = ""


class FusionHost:
    """One node of the Fuse. ``frame(number)`` gives the input image, (H, W, 4) float32; None where there is none."""

    def __init__(self, folder: Path, frame: Callable[[int], np.ndarray | None], environment: dict[str, str]) -> None:
        self._folder = folder
        self._frame = frame
        self._count = 0
        self.proxy_of = 0  # width of the full picture when the input is a proxy
        self.calls: list[str] = []
        self.on_wait: Callable[[], None] | None = None
        self._process = subprocess.Popen(
            ["luajit", str(HERE / "host.lua"), str(FUSE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.controls = self._answer()[1].split(",")

    def __enter__(self) -> FusionHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=120)
        self._process.stdout.close()

    def _send(self, *parts: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\t".join(str(part) for part in parts) + "\n")
        self._process.stdin.flush()

    def _answer(self) -> list[str]:
        """Serve the stand-in's calls until its answer comes."""
        assert self._process.stdout is not None
        while True:
            line = self._process.stdout.readline()
            assert line, "the stand-in of Fusion has crashed"
            word, *parts = line.rstrip("\n").split("\t")
            if word == "DONE":
                return parts
            assert word == "CALL", line
            self.calls.append(parts[0])
            try:
                self._send(*getattr(self, f"_serve_{parts[0]}")(*parts[1:]))
            except OSError as error:
                self._send("failed", str(error).replace("\n", " "))

    def _raw(self) -> Path:
        self._count += 1
        return self._folder / f"{self._count}.raw"

    def _serve_raw_path(self) -> tuple[object, ...]:
        return "ok", self._raw()

    def _serve_wait(self, seconds: str) -> tuple[object, ...]:
        if self.on_wait is not None:
            self.on_wait()
        time.sleep(float(seconds))
        return ("ok",)

    def _serve_createdir(self, path: str) -> tuple[object, ...]:
        Path(path).mkdir(parents=True, exist_ok=True)
        return ("ok",)

    def _serve_fileexists(self, path: str) -> tuple[object, ...]:
        return ("ok" if Path(path).exists() else "no",)

    def _serve_input(self, number: str) -> tuple[object, ...]:
        pixels = self._frame(round(float(number)))
        if pixels is None:
            return ("none",)
        raw = self._raw()
        raw.write_bytes(np.ascontiguousarray(pixels, np.float32).tobytes())
        return "ok", pixels.shape[1], pixels.shape[0], raw, self.proxy_of or ""

    def _serve_read_exr(self, path: str) -> tuple[object, ...]:
        found = oiio.ImageInput.open(path)
        if found is None:
            return "failed", oiio.geterror().replace("\n", " ")
        spec = found.spec()
        pixels = np.zeros((spec.height, spec.width, 4), np.float32)
        names = list(spec.channelnames)
        values = found.read_image(0, 0, 0, spec.nchannels, oiio.FLOAT)
        found.close()
        if values is None:
            return "failed", "truncated"
        for position, name in enumerate("RGBA"):
            if name in names:
                pixels[..., position] = values[..., names.index(name)]
        raw = self._raw()
        raw.write_bytes(pixels.tobytes())
        return "ok", spec.width, spec.height, ",".join(names), raw

    def _serve_write_exr(self, path: str, width: str, height: str, raw: str) -> tuple[object, ...]:
        pixels = np.fromfile(raw, np.float32).reshape(int(height), int(width), 4)
        os.unlink(raw)
        write_exr(path, pixels)
        return ("ok",)

    # What tests do ---------------------------------------------------------------------------------------------------

    def set(self, **controls: object) -> None:
        """Set controls by id."""
        for name, value in controls.items():
            self._send("set", name, str(value).replace("\n", "\\n"))
            assert self._answer() == ["ok"]

    def get(self, name: str) -> str:
        """A control's value."""
        self._send("get", name)
        return self._answer()[1]

    def press(self, name: str) -> None:
        """Press a button."""
        self._send("press", name)
        assert self._answer() == ["ok"]

    def quirk(self, name: str, value: object) -> None:
        """Turn a quirk of the host."""
        self._send("quirk", name, value)
        assert self._answer() == ["ok"]

    def comp(self, first: int, last: int) -> None:
        """Set the composition's range."""
        self._send("comp", first, last)
        assert self._answer() == ["ok"]

    def render(self, number: float, flag: str = "none") -> Rendered:
        """Ask for a frame; ``flag`` is "precalc", "quick" or "stamp" for the requests of that kind."""
        self._send("render", number, flag)
        kind, *parts = self._answer()
        if kind == "failed":
            return Rendered("failed", None, parts[1], parts[2], parts[0])
        if kind != "image":
            return Rendered(kind)
        pixels = np.fromfile(parts[2], np.float32).reshape(int(parts[1]), int(parts[0]), 4)
        os.unlink(parts[2])
        assert not np.any(pixels == -12345.0), "the picture holds pixels nobody has written"
        return Rendered("image", pixels)


def write_exr(path: str | Path, pixels: np.ndarray) -> None:
    """Write (H, W, 3 or 4) float32 as a half EXR, replaced atomically as the worker does."""
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], "half")
    temporary = f"{path}.{os.getpid()}.exr"
    out = oiio.ImageOutput.create(temporary)
    if out is None or not out.open(temporary, spec):
        raise OSError(oiio.geterror())
    out.write_image(np.ascontiguousarray(pixels, dtype=np.float32))
    out.close()
    os.replace(temporary, path)

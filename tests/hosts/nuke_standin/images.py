"""Pictures as the graph passes them: planes over a data window, inside a format; read and written as real files."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in file coordinates: y downwards, ends exclusive


@dataclass(frozen=True)
class Format:
    """The display window: size in pixels and pixel aspect."""

    width: int
    height: int
    aspect: float = 1.0


@dataclass(frozen=True)
class Image:
    """``channels``: name -> (h, w) float32 over ``box``; outside it every channel is black."""

    format: Format
    box: Box
    channels: dict[str, np.ndarray] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def plane(self, name: str, box: Box) -> np.ndarray:
        """A channel over another box, black where this image has nothing."""
        result = np.zeros((max(0, box[3] - box[1]), max(0, box[2] - box[0])), np.float32)
        source = self.channels.get(name)
        x0, y0, x1, y1 = intersect(self.box, box)
        if source is not None and x1 > x0 and y1 > y0:
            result[y0 - box[1] : y1 - box[1], x0 - box[0] : x1 - box[0]] = source[
                y0 - self.box[1] : y1 - self.box[1], x0 - self.box[0] : x1 - self.box[0]
            ]
        return result

    def over_box(self, box: Box) -> "Image":
        """The same image with another data window."""
        return replace(self, box=box, channels={name: self.plane(name, box) for name in self.channels})


def intersect(a: Box, b: Box) -> Box:
    """The common part of two boxes (possibly empty)."""
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def union(a: Box, b: Box) -> Box:
    """The smallest box around both."""
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


LONG = {"R": "rgba.red", "G": "rgba.green", "B": "rgba.blue", "A": "rgba.alpha"}
SHORT = {long: short for short, long in LONG.items()}


def read(path: str) -> Image:
    """A file as an image; a missing or broken file raises RuntimeError as the host's Read does."""
    source = oiio.ImageInput.open(path)
    if source is None:
        oiio.geterror()
        raise RuntimeError(f"{path}: No such file or directory" if not Path(path).exists() else f"{path}: cannot read")
    try:
        spec = source.spec()
        data = source.read_image(oiio.FLOAT)
        if data is None:
            raise RuntimeError(f"{path}: {source.geterror()}")
    finally:
        source.close()
    data = np.asarray(data, np.float32).reshape(spec.height, spec.width, spec.nchannels)
    channels = {LONG.get(name, name): data[..., i].copy() for i, name in enumerate(spec.channelnames)}
    if "Y" in channels:
        channels = {**{LONG[c]: channels["Y"] for c in "RGB"}, **{k: v for k, v in channels.items() if k != "Y"}}
    box = (
        spec.x - spec.full_x,
        spec.y - spec.full_y,
        spec.x - spec.full_x + spec.width,
        spec.y - spec.full_y + spec.height,
    )
    aspect = float(spec.get_float_attribute("PixelAspectRatio", 1.0))
    return Image(Format(spec.full_width, spec.full_height, aspect), box, channels, {"input/filename": path})


def write_exr(path: str, image: Image, half: bool, compression: str) -> None:
    """Write the image with its data window; the folder must exist."""
    names = [SHORT.get(name, name) for name in image.channels]
    height, width = image.box[3] - image.box[1], image.box[2] - image.box[0]
    spec = oiio.ImageSpec(width, height, len(names), oiio.HALF if half else oiio.FLOAT)
    spec.channelnames = names
    spec.x, spec.y = image.box[0], image.box[1]
    spec.full_x = spec.full_y = 0
    spec.full_width, spec.full_height = image.format.width, image.format.height
    spec.attribute("PixelAspectRatio", image.format.aspect)
    spec.attribute("compression", compression)
    out = oiio.ImageOutput.create(path)
    if out is None or not out.open(path, spec):
        raise RuntimeError(f"{path}: cannot open for writing: {out.geterror() if out else oiio.geterror()}")
    data = np.stack(list(image.channels.values()), axis=-1) if names else np.zeros((height, width, 0), np.float32)
    if not out.write_image(np.ascontiguousarray(data, dtype=np.float32)):
        raise RuntimeError(f"{path}: {out.geterror()}")
    out.close()


def write_png(path: str, image: Image) -> None:
    """Write RGB in eight bits; the values are display-referred already. A PNG holds the format, no overscan."""
    box = (0, 0, image.format.width, image.format.height)
    planes = [image.plane(f"rgba.{c}", box) for c in ("red", "green", "blue")]
    pixels = np.rint(np.clip(np.stack(planes, axis=-1), 0, 1) * 255).astype(np.uint8)
    out = oiio.ImageOutput.create(path)
    if out is None or not out.open(path, oiio.ImageSpec(box[2], box[3], 3, oiio.UINT8)):
        raise RuntimeError(f"{path}: cannot open for writing")
    out.write_image(np.ascontiguousarray(pixels))
    out.close()


def to_linear(plane: np.ndarray) -> np.ndarray:
    """The host's built-in sRGB curve, towards linear."""
    return np.where(plane <= 0.04045, plane / 12.92, ((np.maximum(plane, 0) + 0.055) / 1.055) ** 2.4).astype(np.float32)


def from_linear(plane: np.ndarray) -> np.ndarray:
    """The host's built-in sRGB curve, from linear."""
    bright = 1.055 * np.maximum(plane, 0) ** (1 / 2.4) - 0.055
    return np.where(plane <= 0.0031308, plane * 12.92, bright).astype(np.float32)

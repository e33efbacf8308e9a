"""The little of the EXR format that is needed without a library: windows, and a digest of the pixels.

The digest leaves out the header, because a host writes dates and versions there.
Source: the OpenEXR file layout document (magic, version, attributes, chunk offset table, chunks).
"""

import hashlib
import struct
from typing import BinaryIO, Dict, NamedTuple, Tuple

MAGIC = 20000630
LINES_PER_CHUNK = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}
TILED, LONG_NAMES, DEEP, MULTI_PART = 0x200, 0x400, 0x800, 0x1000

Window = Tuple[int, int, int, int]


class BadFileError(Exception):
    """Not a whole scan-line EXR."""


class Header(NamedTuple):
    """Windows as in the file: x0, y0, x1, y1, ends inclusive. ``pixels_at``: where the chunks begin."""

    data: Window
    display: Window
    pixel_aspect: float
    channels: bytes
    pixels_at: int


def _text(file: BinaryIO) -> bytes:
    result = b""
    while True:
        byte = file.read(1)
        if not byte:
            raise BadFileError("ends in its header")
        if byte == b"\0":
            return result
        result += byte
        if len(result) > 255:
            raise BadFileError("has a name that is too long")


def read_header(path: str) -> Header:
    """Read the header; raises BadFileError (also for tiled, deep and multi-part files) and OSError."""
    with open(path, "rb") as file:
        start = file.read(8)
        if len(start) < 8 or struct.unpack("<I", start[:4])[0] != MAGIC:
            raise BadFileError("is no EXR")
        if struct.unpack("<I", start[4:])[0] & (TILED | DEEP | MULTI_PART):
            raise BadFileError("is tiled, deep or multi-part")
        values: Dict[bytes, bytes] = {}
        while True:
            name = _text(file)
            if not name:
                break
            _text(file)
            size = struct.unpack("<i", file.read(4))[0]
            if not 0 <= size <= 1 << 24:
                raise BadFileError("has a damaged header")
            values[name] = file.read(size)
            if len(values[name]) != size:
                raise BadFileError("ends in its header")
        try:
            data = struct.unpack("<4i", values[b"dataWindow"])
            display = struct.unpack("<4i", values[b"displayWindow"])
            aspect = struct.unpack("<f", values[b"pixelAspectRatio"])[0]
            lines = LINES_PER_CHUNK[values[b"compression"][0]]
        except (KeyError, IndexError, struct.error):
            raise BadFileError("lacks a part of its header") from None
        chunks = (data[3] - data[1] + lines) // lines
        return Header(data, display, aspect, values[b"channels"], file.tell() + 8 * chunks)


def pixel_digest(path: str) -> str:
    """32 hexadecimal digits of the windows, channels and (compressed) pixels."""
    header = read_header(path)
    found = hashlib.sha256(repr((header.data, header.display, header.pixel_aspect)).encode() + header.channels)
    with open(path, "rb") as file:
        file.seek(header.pixels_at)
        for block in iter(lambda: file.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()[:32]

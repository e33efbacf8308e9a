"""Whether a picture file is all there, told from its ends and its table of contents, without decoding it.

A file cut short by a full disk or a broken copy opens well: its header is whole. Looking where its data should end
costs a few small reads, so that a whole sequence can be checked before hours of work start.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_TAIL = 1 << 16  # bytes in which an end mark is looked for: some programs append notes of their own
_LARGEST_EXR_HEADER = 1 << 24
# Lines in a chunk by the number of the compression; others are left to the library.
_EXR_LINES = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}


def ends_early(path: Path) -> bool:
    """Whether the end of a file is missing; by its content, not its extension. False where that cannot be told."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(20)
        if head.startswith(b"\x89PNG"):
            return b"IEND" not in _tail(file, size)
        if head.startswith(b"\xff\xd8\xff"):
            return b"\xff\xd9" not in _tail(file, size)
        if head[:4] in (b"SDPX", b"XPDS"):
            return _stated_dpx_size(head) > size
        if head.startswith(b"\x76\x2f\x31\x01"):
            try:
                return _exr_end(file) > size
            except (struct.error, ValueError, KeyError, IndexError):
                return False
    return False


def _tail(file: BinaryIO, size: int) -> bytes:
    file.seek(max(0, size - _TAIL))
    return file.read()


def _stated_dpx_size(head: bytes) -> int:
    """The file size in a DPX header; 0 when it is not set or not there."""
    stated = struct.unpack(">I" if head.startswith(b"SDPX") else "<I", head[16:20])[0] if len(head) == 20 else 0
    return 0 if stated == 0xFFFFFFFF else int(stated)


def _exr_end(file: BinaryIO) -> int:
    """Where the last chunk of an EXR ends. Raises ValueError and its like where the header does not tell."""
    file.seek(0)
    data = file.read(_TAIL)
    while True:
        try:
            parts, multipart, at = _exr_parts(data)
            break
        except (IndexError, struct.error, ValueError):
            more = file.read(len(data)) if len(data) < _LARGEST_EXR_HEADER else b""
            if not more:
                raise
            data += more
    file.seek(at)
    count = sum(_exr_chunks(part) for part in parts)
    table = struct.unpack(f"<{count}Q", file.read(8 * count))
    last = int(max(table))
    if last == 0:  # the writer died before it filled in the table: the library looks for the chunks itself
        raise ValueError("no table of chunks")
    file.seek(last)
    chunk = file.read(24)  # number of the part where there are several, place, length
    start = 4 if multipart else 0
    if len(chunk) < start + 8:
        return last + start + 8
    number = struct.unpack("<i", chunk[:4])[0] if multipart else 0
    start += 16 if _is_tiled(parts[number]) else 4
    return last + start + 4 + int(struct.unpack("<i", chunk[start : start + 4])[0])


def _exr_parts(data: bytes) -> tuple[list[dict[str, bytes]], bool, int]:
    """Headers of all parts (attribute name -> value), whether the file has parts, and where the headers end."""
    flags = struct.unpack_from("<I", data, 4)[0]
    if flags & 0x800:
        raise ValueError("deep")
    multipart, at = bool(flags & 0x1000), 8
    parts: list[dict[str, bytes]] = []
    while True:
        header: dict[str, bytes] = {}
        while data[at]:
            end = data.index(0, at)
            name = data[at:end].decode("latin-1")
            at = data.index(0, end + 1) + 1
            length = struct.unpack_from("<I", data, at)[0]
            header[name] = data[at + 4 : at + 4 + length]
            at += 4 + length
        at += 1
        if header:
            parts.append({**header, "tiled": b"1"} if flags & 0x200 else header)
        if not multipart or not header:
            return parts, multipart, at


def _is_tiled(part: dict[str, bytes]) -> bool:
    return "tiled" in part or part.get("type", b"").startswith(b"tiledimage")


def _exr_chunks(part: dict[str, bytes]) -> int:
    if "chunkCount" in part:
        return int(struct.unpack("<i", part["chunkCount"])[0])
    left, top, right, bottom = (int(value) for value in struct.unpack("<4i", part["dataWindow"]))
    width, height = right - left + 1, bottom - top + 1
    if _is_tiled(part):
        across, down, mode = (int(value) for value in struct.unpack("<IIB", part["tiles"]))
        if mode & 15:
            raise ValueError("several resolutions")
        return -(-width // across) * -(-height // down)
    return -(-height // _EXR_LINES[part["compression"][0]])

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
_TIFF_INTEGERS = {3: "H", 4: "I", 16: "Q"}  # types of the tags that are looked at
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
        if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            try:
                return _tiff_end(file, size) > size
            except EOFError:
                return True
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return int.from_bytes(head[4:8], "little") + 8 > size
        if head.startswith(b"BM"):
            return int.from_bytes(head[2:6], "little") > size
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


def _tiff_end(file: BinaryIO, size: int) -> int:
    """Where the last strip or tile of any page of a TIFF ends. Raises EOFError where a page's own table is cut off."""
    head = _exactly(file, size, 0, 8)
    order = "<" if head.startswith(b"II") else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    word, count_code, entry_bytes = ("Q", "Q", 20) if big else ("I", "H", 12)
    at = _tiff_numbers(_exactly(file, size, 8, 8) if big else head[4:], order, word)[0]
    seen: set[int] = set()
    end = 0
    while at and at not in seen:
        seen.add(at)
        length = struct.calcsize(count_code)
        entries = _tiff_numbers(_exactly(file, size, at, length), order, count_code)[0]
        table = _exactly(file, size, at + length, entries * entry_bytes + struct.calcsize(word))
        tags = {}
        for start in range(0, entries * entry_bytes, entry_bytes):
            tag, kind = struct.unpack_from(f"{order}HH", table, start)
            if tag in _TIFF_TAGS and kind in _TIFF_INTEGERS:
                count = struct.unpack_from(f"{order}{word}", table, start + 4)[0]
                value = table[start + 4 + struct.calcsize(word) : start + entry_bytes]
                needed = count * struct.calcsize(_TIFF_INTEGERS[kind])
                if needed > len(value):
                    value = _exactly(file, size, _tiff_numbers(value, order, word)[0], needed)
                tags[tag] = _tiff_numbers(value[:needed], order, _TIFF_INTEGERS[kind])
        end = max(end, _tiff_page_end(tags))
        at = _tiff_numbers(table[entries * entry_bytes :], order, word)[0]
    return end


# Tags of a page: its size, how it is coded, and where its strips or tiles lie.
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES = 256, 257, 258, 259, 277
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325
_TIFF_TAGS = {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES}


def _tiff_page_end(tags: dict[int, tuple[int, ...]]) -> int:
    offsets = tags.get(_STRIPS) or tags.get(_TILES) or ()
    lengths = tags.get(_STRIP_BYTES) or tags.get(_TILE_BYTES) or ()
    if _STRIPS in tags and len(offsets) == len(lengths) == 1 and tags.get(_COMPRESSION, (1,)) == (1,):
        # Some programs state too much for an uncompressed picture in one strip; libtiff works it out as well.
        bits = tags.get(_BITS, (1,))[0] * tags.get(_SAMPLES, (1,))[0]
        needed = tags.get(_HEIGHT, (0,))[0] * -(-tags.get(_WIDTH, (0,))[0] * bits // 8)
        lengths = (min(lengths[0], needed),)
    return max((at + length for at, length in zip(offsets, lengths, strict=False) if length), default=0)


def _tiff_numbers(data: bytes, order: str, code: str) -> tuple[int, ...]:
    return struct.unpack(f"{order}{len(data) // struct.calcsize(code)}{code}", data)


def _exactly(file: BinaryIO, size: int, at: int, length: int) -> bytes:
    """Bytes of a file of so many bytes. Raises EOFError where it has not as many."""
    if at + length > size:
        raise EOFError
    file.seek(at)
    return file.read(length)

"""Float planes and what belongs to them as bytes: a JSON head, then the raw arrays. No code is ever in such a file."""

import hashlib
import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

_HEAD = struct.Struct(">I")
HEAD_BYTES = 4096  # enough to read any head


def pack(head: dict[str, Any], *arrays: Plane) -> bytes:
    """Bytes of float32 ``arrays`` (any shape) under a JSON ``head``."""
    raw = json.dumps({**head, "shapes": [list(array.shape) for array in arrays]}).encode()
    body = [np.ascontiguousarray(array, dtype="<f4").tobytes() for array in arrays]
    return b"".join([_HEAD.pack(len(raw)), raw, *body])


def unpack_head(content: bytes) -> dict[str, Any]:
    """The head of packed planes."""
    (size,) = _HEAD.unpack_from(content)
    head: dict[str, Any] = json.loads(content[_HEAD.size : _HEAD.size + size])
    return head


def unpack(content: bytes) -> tuple[dict[str, Any], list[Plane]]:
    """Head and arrays, as they were packed, bit for bit."""
    head = unpack_head(content)
    offset = _HEAD.size + _HEAD.unpack_from(content)[0]
    arrays = []
    for shape in head["shapes"]:
        count = int(np.prod(shape))
        array = np.frombuffer(content, dtype="<f4", count=count, offset=offset).reshape(shape)
        arrays.append(array.astype(np.float32))
        offset += count * 4
    return head, arrays


def plane_digest(*arrays: Plane) -> str:
    """32 hexadecimal digits that name the arrays' content and shapes."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array, dtype=np.float32).data)
    return digest.hexdigest()


def text_digest(*parts: str) -> str:
    """32 hexadecimal digits that name a list of texts."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()

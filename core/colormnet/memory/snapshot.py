"""Saving the state of a session: a safetensors file with a JSON header, written whole or not at all."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from colormnet.errors import InputError

FORMAT = "colormnet-snapshot"
VERSION = 1


@dataclass(frozen=True)
class Snapshot:
    """The tensors and the plain data that make up a session."""

    header: dict[str, Any]
    tensors: dict[str, Tensor]


def write(path: str | os.PathLike[str], header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a snapshot atomically (temporary file in the same directory, then rename).

    Raises InputError when the place cannot be written.
    """
    target = Path(path)
    metadata = {"format": FORMAT, "version": str(VERSION), "session": json.dumps(header)}
    # Cloned, since a network's reference may name one tensor twice, or a view of another, which the format refuses.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    data = safetensors.torch.save(copies, metadata)
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        reason = error.strerror or error
        raise InputError(f"cannot write the snapshot {target}: {reason}; choose another place") from error


def read(path: str | os.PathLike[str]) -> Snapshot:
    """Read a snapshot on the CPU. Raises InputError when it is missing, truncated or not a snapshot."""
    source = Path(path)
    try:
        with safetensors.safe_open(str(source), framework="pt") as stream:
            metadata = stream.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise InputError(f"{source} is not a colormnet snapshot; give a file that a session saved")
            if metadata.get("version") != str(VERSION):
                raise InputError(
                    f"the snapshot {source} has version {metadata.get('version')}, this program reads {VERSION}; "
                    "colorize from the start again"
                )
            header = json.loads(metadata["session"])
            return Snapshot(header, {name: stream.get_tensor(name) for name in stream.keys()})  # noqa: SIM118
    except FileNotFoundError as error:
        raise InputError(f"there is no snapshot at {source}; colorize from the start") from error
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(
            f"the snapshot {source} is damaged or truncated ({error}); delete it and colorize from the start"
        ) from error

"""Saving the state of a session: a safetensors file with a JSON header, written whole or not at all."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from colormnet.errors import InputError
from colormnet.files import whole_file

FORMAT = "colormnet-snapshot"
VERSION = 1


@dataclass(frozen=True)
class Snapshot:
    """The tensors and the plain data that make up a session."""

    header: dict[str, Any]
    tensors: dict[str, Tensor]


def write(path: str | os.PathLike[str], header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a snapshot, whole or not at all. Raises InputError: disk full, no permission, folder gone."""
    target = Path(path)
    metadata = {"format": FORMAT, "version": str(VERSION), "session": json.dumps(header)}
    # Cloned, since a network's reference may name one tensor twice, or a view of another, which the format refuses.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    data = safetensors.torch.save(copies, metadata)
    with whole_file(target, fsync=True) as temporary:
        temporary.write_bytes(data)


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

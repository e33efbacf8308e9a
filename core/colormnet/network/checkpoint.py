"""Weights on disk: where they are looked for, what the released file is, and how files are verified and read."""

import hashlib
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from colormnet.errors import InputError, WeightsError

WEIGHTS_VARIABLE = "COLORMNET_WEIGHTS"


@dataclass(frozen=True)
class ReleasedFile:
    """The authors' checkpoint: identity, origin and licence."""

    name: str = "DINOv2FeatureV6_LocalAtten_s2_154000.pth"
    size: int = 494_884_817
    sha256: str = "eaf6301d1a088c0d7133008079a83b5fac1fc0f791061b2cf1b657602013457a"
    url: str = "https://github.com/yyang181/colormnet/releases/download/v0.1/DINOv2FeatureV6_LocalAtten_s2_154000.pth"
    licence: str = "CC BY-NC-SA 4.0 (attribution, non-commercial use only, share alike)"


RELEASED_FILE = ReleasedFile()
LITE_FILE = Path(__file__).resolve().parent.parent / "checkpoints" / "lite.safetensors"


def weights_directories() -> list[Path]:
    """Folders searched for weights, in order: those of $COLORMNET_WEIGHTS, then the user's data folder.

    The variable may name a shared, read-only place, or several separated as in PATH. Without a home directory the
    user's folder is left out.
    """
    named = [Path(part) for part in os.environ.get(WEIGHTS_VARIABLE, "").split(os.pathsep) if part]
    try:
        user = Path(platformdirs.user_data_dir("colormnet", appauthor=False)) / "weights"
    except (KeyError, OSError, RuntimeError):
        return named
    return [*named, user] if user.is_absolute() else named


def find_released() -> Path | None:
    """The released checkpoint, if one of the weights folders holds it (a folder entry may be the file itself)."""
    for place in weights_directories():
        candidates = [place / RELEASED_FILE.name]
        if place.name == RELEASED_FILE.name or place.suffix in (".pth", ".safetensors"):
            candidates.insert(0, place)
        for candidate in candidates:
            if candidate.is_file():
                return candidate
    return None


def locate_released() -> Path:
    """Like `find_released`, but raises WeightsError saying where it was looked for and how to get it."""
    found = find_released()
    if found is None:
        places = ", ".join(str(place) for place in weights_directories()) or f"nowhere (set {WEIGHTS_VARIABLE})"
        raise WeightsError(
            f"the released checkpoint {RELEASED_FILE.name} is not installed (looked in {places}); "
            "run 'colormnet weights fetch', or give its path as weights"
        )
    return found


def sha256_of(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """The file's hash; ``progress`` is told the bytes of each block."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
            if progress is not None:
                progress(len(block))
    return digest.hexdigest()


def check_released(path: Path) -> None:
    """Compare a file with the published size and hash; warn, naming both hashes, when it is another file.

    The hash was published by a redistributor, so a difference is worth a warning, not a refusal.
    """
    size = path.stat().st_size
    found = sha256_of(path)
    if found != RELEASED_FILE.sha256:
        warnings.warn(
            f"{path} is not the released checkpoint as published: sha256 {found} with {size:,} bytes, "
            f"expected sha256 {RELEASED_FILE.sha256} with {RELEASED_FILE.size:,} bytes",
            stacklevel=2,
        )


@dataclass(frozen=True)
class Weights:
    """Tensors by name, and the plain data of the file's header (empty for a bare state dict)."""

    tensors: Mapping[str, Tensor]
    header: Mapping[str, str]


def read_weights(path: Path) -> Weights:
    """Read a ``.safetensors`` file or a PyTorch state dict (never executing code from it).

    Raises WeightsError when the file is missing, truncated, or holds something else.
    """
    if not path.is_file():
        raise WeightsError(f"there is no weights file at {path}; check the path, or run 'colormnet weights'")
    try:
        if path.suffix == ".safetensors":
            with safetensors.safe_open(str(path), framework="pt") as stream:
                header = stream.metadata() or {}
                return Weights({name: stream.get_tensor(name) for name in stream.keys()}, header)  # noqa: SIM118
        # A zip archive is mapped, not read: the tensors are copied once, into their final place.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch thinks aloud about files that are no checkpoint
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (*_UNREADABLE, OSError) as error:
        raise WeightsError(_why_unreadable(path, error)) from error
    return Weights(state_dict_of(content, str(path)), {})


_UNREADABLE = (  # what the libraries raise for a file that is no checkpoint, or not a whole one
    safetensors.SafetensorError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    TypeError,
)


def _why_unreadable(path: Path, error: Exception) -> str:
    """One sentence of ours: the libraries' own texts advise programmers, and one of them to let the file run code."""
    if isinstance(error, OSError) and error.strerror and not isinstance(error, _UNREADABLE):
        return f"the weights file {path} cannot be read ({error.strerror}); check its rights and its disk"
    if isinstance(error, pickle.UnpicklingError) and "GLOBAL " in str(error):
        return (
            f"the weights file {path} holds program code beside tensors, or none, and is not opened, because opening "
            "it would run that; give a checkpoint of tensors alone"
        )
    return (
        f"the weights file {path} ({path.stat().st_size:,} bytes) cannot be read, it is truncated or not a checkpoint; "
        "give another file, or fetch the released one again with 'colormnet weights fetch'"
    )


def state_dict_of(content: Any, where: str) -> Mapping[str, Tensor]:
    """The content as a mapping of names to tensors. Raises WeightsError when it is not one."""
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise WeightsError(f"{where} holds {type(content).__name__}, not a state dict of tensors; give the checkpoint")
    return content


def load_into(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Strict load: every name and shape must agree. Raises WeightsError naming what does not."""
    expected = network.state_dict()
    missing = sorted(set(expected) - set(tensors))
    unknown = sorted(set(tensors) - set(expected))
    if missing or unknown:
        parts = []
        if missing:
            parts.append(f"{len(missing)} of {len(expected)} entries are missing (first {missing[0]})")
        if unknown:
            parts.append(f"{len(unknown)} entries are unknown (first {unknown[0]})")
        raise WeightsError(f"{where} belongs to another network: {'; '.join(parts)}; give the checkpoint of this model")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise WeightsError(
                f"{where} belongs to another network: {name} has shape {tuple(tensor.shape)}, expected "
                f"{tuple(expected[name].shape)}; give the checkpoint of this model"
            )
    bad = next((name for name, t in tensors.items() if t.is_floating_point() and not bool(t.isfinite().all())), None)
    if bad is not None:
        raise WeightsError(f"{where} holds NaN or infinite values in {bad}; fetch or train it again")
    network.load_state_dict(dict(tensors), strict=True)


def header_config(weights: Weights, where: str) -> dict[str, Any] | None:
    """The network settings in a checkpoint's header, or None where there are none. Raises WeightsError if damaged."""
    if "config" not in weights.header:
        return None
    try:
        config = json.loads(weights.header["config"])
    except ValueError as error:
        raise WeightsError(f"the header of {where} is damaged ({error}); fetch or train it again") from error
    if not isinstance(config, dict):
        raise WeightsError(f"the header of {where} is damaged (settings are not a table); fetch or train it again")
    return config


def save_weights(path: Path, network: nn.Module, config: Mapping[str, Any], notes: Mapping[str, str]) -> None:
    """Write weights as safetensors with the network's settings in the header, whole or not at all.

    Raises InputError when the place cannot be written.
    """
    metadata = {"config": json.dumps(config, sort_keys=True), **notes}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_bytes(safetensors.torch.save(tensors, metadata))
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose another place") from error


def fingerprint_of(network: nn.Module, description: str) -> str:
    """Hex sha256 over a description of the architecture and every weight, in order of name."""
    digest = hashlib.sha256(description.encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()

"""A network ready to run: loaded, verified, on its device, with the settings it is meant for."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from colormnet.device import choose_device, choose_dtype, free_memory, share_processor
from colormnet.errors import InputError, WeightsError
from colormnet.memory.settings import MemorySettings
from colormnet.network import checkpoint
from colormnet.network.config import RELEASED, NetworkConfig
from colormnet.network.interface import ColorNetwork
from colormnet.network.model import ColorMNet

MODELS = ("lite", "released")

_WORKING_SIZES = {"lite": 256, "released": 448}
# Peak bytes of one step beside weights and memory, per padded pixel in float32: measured, see tests/benchmarks.
_STEP_BYTES_PER_PIXEL = {"lite": 1000, "released": 1000}
_STEP_BYTES = {"lite": 0, "released": 192 * 2**20}  # and at any size: what the kernels keep for themselves
_CLEARLY_LESS = 0.8  # of a short side that ran out of memory: the largest one that is suggested instead
_SPARE = 0.8  # share of the free memory that a suggested working size may fill


class Model:
    """A network with its weights, and what a session needs to know about it.

    Attributes:
        network: the network, in evaluation mode, on `device` in `dtype`.
        name: what `load_model` was asked for.
        default_memory: the memory rules the network is meant for.
        default_working_size: short side in pixels at which the network is meant to run.
    """

    def __init__(
        self,
        name: str,
        network: ColorNetwork,
        default_memory: MemorySettings | None = None,
        default_working_size: int | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        fingerprint: str | None = None,
    ) -> None:
        self.name = name
        self.device = device if device is not None else torch.device("cpu")
        self.dtype = dtype
        self.network = network.to(self.device, dtype).eval().requires_grad_(False)
        self._fingerprint = fingerprint
        self.default_memory = default_memory if default_memory is not None else MemorySettings()
        self.default_working_size = default_working_size or _WORKING_SIZES["released"]

    @cached_property
    def fingerprint(self) -> str:
        """Hex hash of architecture, precision and the weights as they were loaded."""
        return self._fingerprint or _fingerprint(self.network, self.dtype)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights."""
        return sum(t.numel() * t.element_size() for t in self.network.state_dict().values())

    def estimate_bytes(self, height: int, width: int, settings: MemorySettings | None = None) -> int:
        """About how many bytes a session at this size takes above the weights, with a full memory."""
        settings = settings if settings is not None else self.default_memory
        network = self.network
        padded = [side + -side % network.grid for side in (height, width)]
        pixels = padded[0] * padded[1]
        family = "lite" if self.name == "lite" else "released"
        tokens = settings.working_frames * pixels // network.token_stride**2 + settings.long_term_tokens
        channels = 2 * network.key_channels + network.value_channels + 3
        # Twice the memory: a memorised frame is joined into a new copy before the old one goes.
        step = _STEP_BYTES_PER_PIXEL[family] * pixels // 4
        return _STEP_BYTES[family] + (step + 2 * tokens * channels) * self.dtype.itemsize

    def suggest_working_size(self, height: int, width: int, settings: MemorySettings | None = None) -> int | None:
        """Short side in pixels, well below that of (height, width), of a frame that fits the device; None if none does.

        Asked for where memory ran out, whatever the system had promised: a little less would run out as well.
        """
        room = _SPARE * free_memory(self.device)
        if self.device.type == "cuda":
            room -= self.weight_bytes
        short = min(height, width)
        grid = self.network.grid
        for size in range(int(_CLEARLY_LESS * short) // grid * grid, 0, -grid):
            if self.estimate_bytes(round(height * size / short), round(width * size / short), settings) <= room:
                return size
        return None


def load_model(
    name: str = "lite",
    weights: str | os.PathLike[str] | Mapping[str, Tensor] | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> Model:
    """A model by name. On the CPU, PyTorch is told to use half of the cores (see `device.share_processor`).

    Args:
        name: ``lite`` (the shipped default, free to use) or ``released`` (the authors' network, whose weights are
            CC BY-NC-SA 4.0).
        weights: a file (``.pth`` state dict or ``.safetensors``) or a state dict; None for the installed one.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``.
        precision: ``auto``, ``float32``, ``bfloat16``, ``float16``, ``float64``.

    Raises:
        InputError: unknown name, device or precision.
        WeightsError: weights missing, damaged, or of another network.
        DeviceError: the device is not there.
    """
    if name not in MODELS:
        raise InputError(f"unknown model {name!r}: choose {' or '.join(MODELS)}")
    where = choose_device(device)
    dtype = choose_dtype(precision, where)
    if where.type == "cpu":
        share_processor()
    stored, origin = _read(name, weights)
    config = checkpoint.header_config(stored, origin)
    network = _build(name, config, origin)
    checkpoint.load_into(network, stored.tensors, origin)
    memory = MemorySettings()
    if name == "lite":
        memory = replace(memory, local_reference="previous")
    if "memory" in stored.header:
        memory = MemorySettings.from_dict(json.loads(stored.header["memory"]))
    size = int(stored.header.get("working_size", _WORKING_SIZES[name]))
    fingerprint = _fingerprint(network, dtype)  # before anything is computed from the weights: equal on every machine
    network.eval().settle()
    return Model(name, network, memory, size, where, dtype, fingerprint)


def _fingerprint(network: ColorNetwork, dtype: torch.dtype) -> str:
    config = getattr(network, "config", None)
    settings = asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}
    description = json.dumps([type(network).__name__, settings, str(dtype)], sort_keys=True)
    return checkpoint.fingerprint_of(network, description)


def _read(name: str, weights: str | os.PathLike[str] | Mapping[str, Tensor] | None) -> tuple[checkpoint.Weights, str]:
    """The weights and, for messages, where they came from."""
    if isinstance(weights, Mapping):
        return checkpoint.Weights(checkpoint.state_dict_of(weights, "the given state dict"), {}), "the given state dict"
    if weights is not None:
        path = Path(weights)
    elif name == "released":
        path = checkpoint.locate_released()
    else:
        path = checkpoint.LITE_FILE
        if not path.is_file():
            raise WeightsError(f"the lite checkpoint {path} is missing from this installation; install colormnet again")
    stored = checkpoint.read_weights(path)
    if name == "released" and path.suffix != ".safetensors":
        checkpoint.check_released(path)
    return stored, str(path)


def _build(name: str, config: dict[str, Any] | None, origin: str) -> ColorNetwork:
    """The network with weights yet to be loaded. The large one is not initialised for nothing."""
    try:
        if name == "lite":
            from colormnet.network.lite import Lite, LiteConfig

            return Lite(LiteConfig(**(config or {})))
        settings = RELEASED if config is None else NetworkConfig.from_dict(config)
    except (TypeError, InputError) as error:
        raise WeightsError(f"the header of {origin} is not for the model {name!r} ({error})") from error
    with torch.device("meta"):
        network = ColorMNet(settings)
    return network.to_empty(device="cpu")

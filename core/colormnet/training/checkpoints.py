"""Run checkpoints: everything a run needs to go on exactly, and the weights it would ship."""

import json
import os
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save as serialize
from torch import Tensor

from colormnet.errors import WeightsError
from colormnet.network.interface import ColorNetwork

_FILE = "resume.pt"


@dataclass
class RunState:
    """What changes from step to step."""

    step: int
    turn: int  # rounds of training that are over
    network: ColorNetwork
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]


def save(folder: Path, state: RunState, settings_hash: str) -> None:
    """Write ``folder/resume.pt`` atomically."""
    target = folder / _FILE
    partial = target.with_suffix(".tmp")
    content = {
        "step": state.step,
        "turn": state.turn,
        "settings": settings_hash,
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "average": state.average,
    }
    torch.save(content, partial)
    os.replace(partial, target)


def restore(folder: Path, state: RunState, settings_hash: str) -> bool:
    """Load ``folder/resume.pt`` into ``state``; False where there is none.

    Raises:
        WeightsError: the checkpoint is damaged or belongs to a run with other settings.
    """
    path = folder / _FILE
    if not path.exists():
        return False
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, OSError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{path} is damaged and cannot be resumed: delete it to start the run again.") from error
    if content["settings"] != settings_hash:
        raise WeightsError(f"{path} belongs to a run with other settings: choose another --out or repeat the settings.")
    state.network.load_state_dict(content["network"])
    state.optimizer.load_state_dict(content["optimizer"])
    state.average = content["average"]
    state.step = content["step"]
    state.turn = content["turn"]
    return True


def export(path: Path, weights: dict[str, Tensor], config: dict[str, object], notes: dict[str, str]) -> None:
    """Write weights as safetensors with their network configuration in the header, atomically."""
    partial = path.with_suffix(".tmp")
    metadata = {"config": json.dumps(config, sort_keys=True), **notes}
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    partial.write_bytes(serialize(content, metadata))
    os.replace(partial, path)

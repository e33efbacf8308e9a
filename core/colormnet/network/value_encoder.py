"""What the memory stores of a coloured frame (network.md section 3)."""

import torch
from timm.models.resnet import BasicBlock, downsample_conv
from torch import Tensor, nn
from torch.nn import functional as F

from colormnet.network.blocks import GROUPS, FusionBlock, conv3, gated_update
from colormnet.network.config import NetworkConfig


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    shortcut = downsample_conv(inputs, outputs, kernel_size=1, stride=stride) if stride != 1 else None
    first = BasicBlock(inputs, outputs, stride=stride, downsample=shortcut)
    return nn.Sequential(first, BasicBlock(outputs, outputs))


class HiddenReinforce(nn.Module):
    """The deep update of the hidden state from a value."""

    def __init__(self, value: int, hidden: int) -> None:
        super().__init__()
        self.transform = conv3(value + hidden, 3 * hidden)

    def forward(self, value: Tensor, hidden: Tensor) -> Tensor:
        """value (N, Cv, h, w), hidden (N, Ch, h, w) -> hidden."""
        return gated_update(self.transform(torch.cat([value, hidden], 1)), hidden)


class ValueEncoder(nn.Module):
    """ResNet-18 on each chroma plane, fused with the frame's features."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        base = config.base
        self.conv1 = nn.Conv2d(3 + GROUPS, base, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        self.layer1 = _stage(base, base, 1)
        self.layer2 = _stage(base, 2 * base, 2)
        self.layer3 = _stage(2 * base, 4 * base, 2)
        self.fuser = FusionBlock(16 * base, 4 * base, config.value)
        self.hidden_reinforce = HiddenReinforce(config.value, base)

    def forward(
        self, luminance: Tensor, chroma: Tensor, f16: Tensor, hidden: Tensor, deep: bool
    ) -> tuple[Tensor, Tensor]:
        """Value and hidden state of a frame.

        luminance (B, 1, H, W), chroma (B, 2, H, W), f16 (B, C, h, w), hidden (B * 2, Ch, h, w)
        -> value (B * 2, Cv, h, w), hidden (unchanged unless ``deep``).
        """
        batch = luminance.shape[0]
        others = chroma.sum(1, keepdim=True) - chroma
        planes = torch.stack([chroma, others], 2)  # (B, G, 2, H, W)
        image = luminance[:, None].expand(-1, GROUPS, 3, -1, -1)
        g = torch.cat([image, planes], 2).flatten(0, 1)
        g = F.relu(F.max_pool2d(self.bn1(self.conv1(g)), 3, 2, 1))
        g = self.layer3(self.layer2(self.layer1(g)))
        if g.shape[2:] != f16.shape[2:]:
            g = F.interpolate(g, f16.shape[2:], mode="bilinear", align_corners=False)
        value = self.fuser(f16, g)
        if deep:
            hidden = self.hidden_reinforce(value, hidden.view(batch * GROUPS, *hidden.shape[1:]))
        return value, hidden

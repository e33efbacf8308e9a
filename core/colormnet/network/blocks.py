"""Building blocks shared by the value encoder and the decoder (network.md section 3).

Shapes: B batch, G chroma groups (2), C channels. Grouped maps travel as (B * G, C, h, w), group within batch; maps of
the image alone as (B, C, h, w). The image's part of a convolution over both is computed once and added to every group.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUPS = 2


def conv3(inputs: int, outputs: int) -> nn.Conv2d:
    """3x3 convolution, padding 1, with bias."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def add_to_groups(grouped: Tensor, image: Tensor) -> Tensor:
    """(B * G, C, h, w) + (B, C, h, w), the latter repeated for each group."""
    total: Tensor = grouped.view(image.shape[0], -1, *image.shape[1:]) + image[:, None]
    return total.view_as(grouped)


def conv_over_image_and_groups(conv: nn.Conv2d, image: Tensor, grouped: Tensor) -> Tensor:
    """``conv(cat[image, grouped])`` for every group, with the image's share computed once."""
    split = image.shape[1]
    shared = F.conv2d(image, conv.weight[:, :split], conv.bias, padding=conv.padding)
    own = F.conv2d(grouped, conv.weight[:, split:], padding=conv.padding)
    return add_to_groups(own, shared)


class ResidualBlock(nn.Module):
    """``conv2(relu(conv1(relu(g)))) + g``, with a convolution on the skip where the channels change."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.downsample = conv3(inputs, outputs) if inputs != outputs else None
        self.conv1 = conv3(inputs, outputs)
        self.conv2 = conv3(outputs, outputs)

    def forward(self, g: Tensor) -> Tensor:
        """(N, inputs, h, w) -> (N, outputs, h, w)."""
        inner: Tensor = self.conv2(F.relu(self.conv1(F.relu(g))))
        return inner + (g if self.downsample is None else self.downsample(g))

    def with_image(self, image: Tensor, g: Tensor) -> Tensor:
        """The block on ``cat[image, g]``: image (B, C1, h, w), g (B * G, C2, h, w), C1 + C2 = inputs."""
        if self.downsample is None:
            raise ValueError("a block over image and groups changes the channel count")
        inner: Tensor = self.conv2(F.relu(conv_over_image_and_groups(self.conv1, F.relu(image), F.relu(g))))
        return inner + conv_over_image_and_groups(self.downsample, image, g)


class _ChannelGate(nn.Module):
    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels))

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))
        return x * gate.sigmoid()[:, :, None, None]


class _SpatialConvolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)


class _SpatialGate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.spatial = _SpatialConvolution()

    def forward(self, x: Tensor) -> Tensor:
        summary = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        gate: Tensor = self.spatial.conv(summary)
        return x * gate.sigmoid()


class CBAM(nn.Module):
    """Convolutional block attention: a gate per channel, then a gate per pixel; each multiplies its input."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.ChannelGate = _ChannelGate(channels, reduction)
        self.SpatialGate = _SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> the same shape."""
        gated: Tensor = self.SpatialGate(self.ChannelGate(x))
        return gated


class FusionBlock(nn.Module):
    """Fuses the image's features with each group's: ``block2(g + CBAM(g))``, ``g = block1(cat[image, g])``."""

    def __init__(self, image: int, group: int, outputs: int) -> None:
        super().__init__()
        self.block1 = ResidualBlock(image + group, outputs)
        self.attention = CBAM(outputs)
        self.block2 = ResidualBlock(outputs, outputs)

    def forward(self, image: Tensor, g: Tensor) -> Tensor:
        """image (B, image, h, w), g (B * G, group, h, w) -> (B * G, outputs, h, w)."""
        g = self.block1.with_image(image, g)
        fused: Tensor = self.block2(g + self.attention(g))
        return fused


def gated_update(gates: Tensor, hidden: Tensor) -> Tensor:
    """The hidden state after an update: gates (N, 3 C, h, w) split into forget, update, new; hidden (N, C, h, w)."""
    forget, update, new = gates.chunk(3, 1)
    update = update.sigmoid()
    return forget.sigmoid() * hidden * (1 - update) + update * new.tanh()

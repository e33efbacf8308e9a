"""From a read-out to the chroma planes (network.md section 4)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from colormnet.network.blocks import FusionBlock, ResidualBlock, add_to_groups, conv3, gated_update
from colormnet.network.config import NetworkConfig


class HiddenUpdate(nn.Module):
    """The normal update of the hidden state, from the decoder's maps at three scales."""

    def __init__(self, g16: int, g8: int, g4: int, middle: int, hidden: int) -> None:
        super().__init__()
        self.g16_conv = nn.Conv2d(g16, middle, 1)
        self.g8_conv = nn.Conv2d(g8, middle, 1)
        self.g4_conv = nn.Conv2d(g4 + 1, middle, 1)
        self.transform = conv3(middle + hidden, 3 * hidden)

    def forward(self, g16: Tensor, g8: Tensor, g4: Tensor, logit: Tensor, hidden: Tensor) -> Tensor:
        """Maps (N, C, ...) at strides 16, 8, 4, logit (N, 1, ...) at stride 4, hidden (N, Ch, h, w) -> hidden."""
        small = torch.cat([F.avg_pool2d(g4, 4), F.avg_pool2d(logit, 4)], 1)
        summed = self.g16_conv(g16) + self.g8_conv(F.avg_pool2d(g8, 2)) + self.g4_conv(small)
        return gated_update(self.transform(torch.cat([summed, hidden], 1)), hidden)


class UpsampleBlock(nn.Module):
    """Twice the resolution, with the frame's features of that level added."""

    def __init__(self, skip: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.skip_conv = conv3(skip, inputs)
        self.out_conv = ResidualBlock(inputs, outputs)

    def forward(self, skip: Tensor, g: Tensor) -> Tensor:
        """skip (B, C, 2h, 2w), g (B * G, inputs, h, w) -> (B * G, outputs, 2h, 2w)."""
        up = F.interpolate(g, scale_factor=2.0, mode="bilinear", align_corners=False)
        out: Tensor = self.out_conv(add_to_groups(up, self.skip_conv(skip)))
        return out


class Decoder(nn.Module):
    """Fuses read-out and hidden state with the frame's features and grows the planes from stride 16 to 4."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        base = config.base
        self.fuser = FusionBlock(16 * base, config.value + base, config.value)
        self.hidden_update = HiddenUpdate(config.value, 4 * base, 4 * base, 4 * base, base)
        self.up_16_8 = UpsampleBlock(8 * base, config.value, 4 * base)
        self.up_8_4 = UpsampleBlock(4 * base, 4 * base, 4 * base)
        self.pred = conv3(4 * base, 1)

    def forward(
        self, maps: tuple[Tensor, Tensor, Tensor], readout: Tensor, hidden: Tensor, update_hidden: bool
    ) -> tuple[Tensor, Tensor]:
        """Planes and hidden state.

        maps at strides 16, 8, 4 (B, C, ...), readout (B * 2, Cv, h, w), hidden (B * 2, Ch, h, w)
        -> planes (B * 2, 1, H, W) in [-1, 1], hidden.
        """
        f16, f8, f4 = maps
        g16 = self.fuser(f16, torch.cat([readout, hidden], 1))
        g8 = self.up_16_8(f8, g16)
        g4 = self.up_8_4(f4, g8)
        logit = self.pred(F.relu(g4))
        if update_hidden:
            hidden = self.hidden_update(g16, g8, g4, logit, hidden)
        plane = F.interpolate(logit, scale_factor=4.0, mode="bilinear", align_corners=False).tanh()
        return plane, hidden

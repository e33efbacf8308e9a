"""Lite: a small member of the family that ships with the program and runs on a laptop's processor.

The parts are the paper's (section 3): features from a large-scale pretrained network, a memory that is read by
anisotropic L2 similarity, local attention on an adjacent frame, a decoder. What differs from the released network:

- the features come from EfficientNet-Lite0 (strides 2 to 32) through a small top-down neck;
- a memorised value is the frame's own chroma, folded so that one stride-16 token carries a 4x4 patch of it, beside a
  few learned channels: attention then moves real colour and the decoder only has to choose and repair;
- local attention runs from coarse to fine (strides 8, 4, 2) on the *previous* frame, each level searching around
  the best match of the level before, and carries chroma at full working resolution;
- the output is a learned mix of three candidates (local read, memory read, a guess from the content alone) plus a
  residual, with a learned confidence. There is no hidden state.
"""

from dataclasses import dataclass

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colormnet.network.interface import ColorNetwork, Decoded, Keys, Readout, Values

_BACKBONE_CHANNELS = (16, 24, 40, 112, 320)  # EfficientNet-Lite0 at strides 2, 4, 8, 16, 32
_CHROMA_PATCH = 4  # a stride-16 token carries a 4x4 patch of stride-4 chroma


@dataclass(frozen=True)
class LiteConfig:
    """Widths of the lite network. The defaults are those of the shipped checkpoint.

    Attributes:
        key_channels: channels of the memory key at stride 16.
        learned_value: learned channels of a memorised value, beside its 32 chroma channels.
        width16, width8, width4, width2: channels of the neck and the decoder at each stride.
        match8, match4, match2: learned matching channels of local attention, beside its luminance patch.
        window8, window4, window2: side of the local search window at each stride, odd.
    """

    key_channels: int = 64
    learned_value: int = 32
    width16: int = 96
    width8: int = 64
    width4: int = 48
    width2: int = 24
    match8: int = 32
    match4: int = 16
    match2: int = 8
    window8: int = 9
    window4: int = 5
    window2: int = 3


class Residual(nn.Module):
    """Two 3x3 convolutions with a skip connection: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Refine ``x``."""
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


class Neck(nn.Module):
    """Top-down merge of the backbone's maps into one map per stride (16, 8, 4)."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        _, c4, c8, c16, c32 = _BACKBONE_CHANNELS
        self.from32 = nn.Conv2d(c32, config.width16, 1)
        self.from16 = nn.Conv2d(c16, config.width16, 1)
        self.merge16 = nn.Conv2d(config.width16, config.width16, 3, padding=1)
        self.from8 = nn.Conv2d(c8, config.width8, 1)
        self.down16 = nn.Conv2d(config.width16, config.width8, 1)
        self.merge8 = nn.Conv2d(config.width8, config.width8, 3, padding=1)
        self.from4 = nn.Conv2d(c4, config.width4, 1)
        self.down8 = nn.Conv2d(config.width8, config.width4, 1)
        self.merge4 = nn.Conv2d(config.width4, config.width4, 3, padding=1)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Backbone maps at strides 2..32 -> neck maps at strides 16, 8, 4."""
        _, f4, f8, f16, f32 = maps
        p16 = F.relu(self.merge16(F.relu(self.from16(f16) + _double(self.from32(f32)))))
        p8 = F.relu(self.merge8(F.relu(self.from8(f8) + _double(self.down16(p16)))))
        p4 = F.relu(self.merge4(F.relu(self.from4(f4) + _double(self.down8(p8)))))
        return p16, p8, p4


class LocalLevel(nn.Module):
    """One level of local attention: a window around each token's expected position in the reference frame.

    The logit of a neighbour is the negative squared distance of the matching features, times a learned scale, plus
    a learned bias per place in the window (a prior for small motion). Equation 12 of the paper with an L2 similarity.
    """

    def __init__(self, window: int, scale: float) -> None:
        super().__init__()
        self.window = window
        self.log_scale = nn.Parameter(torch.tensor(float(scale)).log())
        offsets = torch.arange(window) - window // 2
        distance = (offsets[:, None] ** 2 + offsets[None] ** 2).flatten().float()
        self.bias = nn.Parameter(-0.05 * distance)

    def forward(
        self, query: Tensor, key: Tensor, centre: Tensor | None, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Match every token within its window.

        Args:
            query, key: (B, h*w, C) matching features of this frame and of the reference frame.
            centre: (B, h*w, 2) integer displacement (dy, dx) to search around, or None for zero.
            size: (h, w).

        Returns:
            weights (B, h*w, window^2), token indices into the flattened batch (B, h*w, window^2), and the
            displacement (B, h*w, 2) of the best match.
        """
        height, width = size
        batch, tokens, channels = query.shape
        radius = self.window // 2
        device = query.device
        y = torch.arange(height, device=device).repeat_interleave(width)
        x = torch.arange(width, device=device).repeat(height)
        offset = torch.arange(-radius, radius + 1, device=device)
        dy, dx = offset.repeat_interleave(self.window), offset.repeat(self.window)
        base_y, base_x = y[None, :, None], x[None, :, None]
        if centre is not None:
            base_y, base_x = base_y + centre[..., :1], base_x + centre[..., 1:]
        ny = (base_y + dy).expand(batch, -1, -1)
        nx = (base_x + dx).expand(batch, -1, -1)
        outside = (ny < 0) | (ny >= height) | (nx < 0) | (nx >= width)
        start = torch.arange(batch, device=device)[:, None, None] * tokens
        index = start + ny.clamp(0, height - 1) * width + nx.clamp(0, width - 1)
        rows = key.reshape(batch * tokens, channels)
        parts = [(F.embedding(index[..., i], rows) - query).square().sum(-1) for i in range(self.window**2)]
        distance = torch.stack(parts, -1)
        logits = self.bias - self.log_scale.exp() * distance
        weights = logits.masked_fill(outside, -1e4).float().softmax(-1).to(query.dtype)
        best = weights.argmax(-1)
        moved = torch.stack((dy[best], dx[best]), -1)
        return weights, index, moved if centre is None else moved + centre


def _gather(weights: Tensor, index: Tensor, value: Tensor) -> Tensor:
    """Weighted sum of ``value`` (B, n, C) rows at ``index`` (B, n, K) with ``weights`` (B, n, K) -> (B, n, C)."""
    rows = value.reshape(-1, value.shape[-1])
    out = weights[..., :1] * F.embedding(index[..., 0], rows)
    for i in range(1, index.shape[-1]):
        out = out + weights[..., i : i + 1] * F.embedding(index[..., i], rows)
    return out


def _size(x: Tensor) -> tuple[int, int]:
    return x.shape[-2], x.shape[-1]


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _rows(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, h*w, C), contiguous."""
    return x.flatten(2).transpose(1, 2).contiguous()


def _plane(rows: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, h*w, C) -> (B, C, h, w)."""
    return rows.transpose(1, 2).reshape(rows.shape[0], rows.shape[2], *size)


def _children(displacement: Tensor, size: tuple[int, int]) -> Tensor:
    """Displacements (B, h*w, 2) of a level, for the tokens of the level with twice the resolution."""
    plane = _plane(displacement, size)
    return _rows(2 * plane.repeat_interleave(2, -1).repeat_interleave(2, -2))


class Lite(ColorNetwork):
    """The lite network. See the module's docstring for what it computes and why."""

    grid = 32
    token_stride = 16
    reference_needs_value = False

    def __init__(self, config: LiteConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or LiteConfig()
        self.key_channels = config.key_channels
        self.value_channels = 2 * _CHROMA_PATCH**2 + config.learned_value
        self.backbone = timm.create_model("efficientnet_lite0", features_only=True, out_indices=(0, 1, 2, 3, 4))
        self.neck = Neck(config)
        self.key = nn.Conv2d(config.width16, config.key_channels, 3, padding=1)
        self.shrinkage = nn.Conv2d(config.width16, 1, 3, padding=1)
        self.selection = nn.Conv2d(config.width16, config.key_channels, 3, padding=1)
        self.match8 = nn.Conv2d(config.width8, config.match8, 1)
        self.match4 = nn.Conv2d(config.width4, config.match4, 1)
        self.match2 = nn.Conv2d(_BACKBONE_CHANNELS[0], config.match2, 1)
        self.patch8 = nn.Parameter(torch.tensor(1.0))
        self.patch4 = nn.Parameter(torch.tensor(1.0))
        self.patch2 = nn.Parameter(torch.tensor(2.0))
        self.local8 = LocalLevel(config.window8, 2.0)
        self.local4 = LocalLevel(config.window4, 2.0)
        self.local2 = LocalLevel(config.window2, 4.0)
        self.value_in = nn.Conv2d(config.width16 + 2 * _CHROMA_PATCH**2, 64, 3, padding=1)
        self.value_out = nn.Conv2d(64, config.learned_value, 3, padding=1)
        c2 = _BACKBONE_CHANNELS[0]
        self.in16 = nn.Conv2d(config.width16 + self.value_channels + 2, config.width16, 3, padding=1)
        self.res16 = Residual(config.width16)
        self.up16 = nn.Conv2d(config.width16, config.width8, 1)
        self.in8 = nn.Conv2d(2 * config.width8 + 2 + 8 + 2, config.width8, 3, padding=1)
        self.res8 = Residual(config.width8)
        self.up8 = nn.Conv2d(config.width8, config.width4, 1)
        self.in4 = nn.Conv2d(2 * config.width4 + 2 + 2 + 2, config.width4, 3, padding=1)
        self.res4 = Residual(config.width4)
        self.guess = nn.Conv2d(config.width4, 2, 3, padding=1)
        self.certainty = nn.Conv2d(config.width4, 1, 3, padding=1)
        self.up4 = nn.Conv2d(config.width4, config.width2, 1)
        self.in2 = nn.Conv2d(config.width2 + c2 + 4 + 8 + 2 + 2 + 1, config.width2, 3, padding=1)
        self.res2 = Residual(config.width2)
        self.out = nn.Conv2d(config.width2, 4 * (2 + 3), 3, padding=1)  # per full-size pixel: residual, mix logits
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.guess.weight)
        with torch.no_grad():
            assert self.out.bias is not None
            # Start from "trust the local read, then the memory": the mix logits are local, memory, guess.
            self.out.bias.copy_(torch.tensor([0.0, 0.0, 2.0, 1.0, -1.0]).repeat_interleave(4))

    def first_stages(self, count: int) -> list[nn.Module]:
        """The backbone's stem and first ``count`` stages (0: nothing), for training to leave alone."""
        if count == 0:
            return []
        return [self.backbone.conv_stem, self.backbone.bn1, *self.backbone.blocks[:count]]

    def encode_key(self, luminance: Tensor) -> Keys:
        """Features, memory key and matching features of a frame. ``luminance``: (B, 1, H, W) network units."""
        # EfficientNet-Lite expects inputs in [-1, 1]: network units as they are.
        maps = self.backbone(luminance.expand(-1, 3, -1, -1))
        p16, p8, p4 = self.neck(maps)
        f2 = maps[0]
        light2 = F.pixel_unshuffle(luminance, 2)
        half = light2.mean(1, keepdim=True)
        light4 = F.pixel_unshuffle(half, 2)
        light8 = F.pixel_unshuffle(half, 4)
        match8 = torch.cat((0.25 * self.match8(p8), 0.5 * self.patch8 * light8), 1)
        match4 = torch.cat((0.25 * self.match4(p4), self.patch4 * light4), 1)
        match2 = torch.cat((0.25 * self.match2(f2), self.patch2 * light2), 1)
        return Keys(
            key=self.key(p16),
            shrinkage=self.shrinkage(p16).square() + 1,
            selection=self.selection(p16).sigmoid(),
            maps=(p16, p8, p4, f2, match8, match4, match2),
        )

    def initial_hidden(self, keys: Keys) -> Tensor | None:
        """Lite keeps no hidden state."""
        return None

    def encode_value(self, keys: Keys, luminance: Tensor, chroma: Tensor, hidden: Tensor | None, deep: bool) -> Values:
        """Folded stride-4 chroma (32 channels) and learned channels at stride 16. ``chroma``: (B, 2, H, W)."""
        folded = F.pixel_unshuffle(F.avg_pool2d(chroma, 4), _CHROMA_PATCH)
        learned = self.value_out(F.relu(self.value_in(torch.cat((keys.maps[0], folded), 1))))
        return Values(torch.cat((folded, learned), 1), None)

    def reference(self, keys: Keys, luminance: Tensor, chroma: Tensor, values: Values | None) -> tuple[Tensor, ...]:
        """Matching features at strides 8, 4, 2 and the full-size chroma folded to stride 2."""
        return (*keys.maps[4:], F.pixel_unshuffle(chroma, 2))

    def read_locally(self, keys: Keys, luminance: Tensor, reference: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Coarse-to-fine local attention on the reference frame.

        Returns:
            Chroma read at stride 8 (B, 8, H/8, W/8, folded 2x2), its certainty (B, 1, H/8, W/8), chroma at stride 2
            (B, 8, H/2, W/2, folded 2x2) and its certainty at strides 4 and 2 (B, 1, ...).
        """
        queries = keys.maps[4:]
        past8, past4, past2, chroma2 = reference
        size8, size4, size2 = (_size(q) for q in queries)
        chroma4 = F.avg_pool2d(F.pixel_shuffle(chroma2, 2), 4)
        weights, index, moved = self.local8(_rows(queries[0]), _rows(past8), None, size8)
        read8 = _plane(_gather(weights, index, _rows(F.pixel_unshuffle(chroma4, 2))), size8)
        sure8 = _plane(weights.amax(-1, keepdim=True), size8)
        weights, _, moved = self.local4(_rows(queries[1]), _rows(past4), _children(moved, size8), size4)
        sure4 = _plane(weights.amax(-1, keepdim=True), size4)
        weights, index, _ = self.local2(_rows(queries[2]), _rows(past2), _children(moved, size4), size2)
        read2 = _plane(_gather(weights, index, _rows(chroma2)), size2)
        sure2 = _plane(weights.amax(-1, keepdim=True), size2)
        return read8, sure8, read2, sure4, sure2

    def decode(
        self,
        keys: Keys,
        luminance: Tensor,
        readout: Readout,
        local: tuple[Tensor, ...] | None,
        hidden: Tensor | None,
        update_hidden: bool,
    ) -> Decoded:
        """Mix the local read, the memory read and a guess; add a residual. ``luminance``: (B, 1, H, W)."""
        chroma, certainty, _ = self.compose(keys, luminance, readout, local)
        return Decoded(chroma.clamp(-1, 1), None, certainty.sigmoid())

    def compose(
        self, keys: Keys, luminance: Tensor, readout: Readout, local: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """The decoder's work, with what training supervises beside the result.

        Returns:
            Chroma (B, 2, H, W), unclamped; certainty logits (B, 1, H/4, W/4); the candidates
            (memory at stride 4, guess at stride 4, local at full size or an empty tuple's worth less).
        """
        p16, p8, p4, f2 = keys.maps[:4]
        if local is None:
            batch = p16.shape[0]
            read8, sure8 = p8.new_zeros(batch, 8, *p8.shape[-2:]), p8.new_zeros(batch, 1, *p8.shape[-2:])
            sure4 = p4.new_zeros(batch, 1, *p4.shape[-2:])
            read2, sure2 = f2.new_zeros(batch, 8, *f2.shape[-2:]), f2.new_zeros(batch, 1, *f2.shape[-2:])
        else:
            read8, sure8, read2, sure4, sure2 = local
        present = 0.0 if local is None else 1.0
        memory4 = F.pixel_shuffle(readout.value[:, : 2 * _CHROMA_PATCH**2], _CHROMA_PATCH)
        match = torch.cat((readout.similarity.exp(), readout.similarity / 8), 1)
        d16 = self.res16(F.relu(self.in16(torch.cat((p16, readout.value, match), 1))))
        memory8 = F.avg_pool2d(memory4, 2)
        d8 = torch.cat((_double(self.up16(d16)), p8, memory8, read8, sure8, torch.full_like(sure8, present)), 1)
        d8 = self.res8(F.relu(self.in8(d8)))
        read4 = F.avg_pool2d(F.pixel_shuffle(read2, 2), 4)
        d4 = torch.cat((_double(self.up8(d8)), p4, memory4, read4, sure4, torch.full_like(sure4, present)), 1)
        d4 = self.res4(F.relu(self.in4(d4)))
        guess4 = self.guess(d4)
        memory2, guess2 = _double(memory4), _double(guess4)
        d2 = (_double(self.up4(d4)), f2, F.pixel_unshuffle(luminance, 2), read2, memory2, guess2, sure2)
        d2 = self.res2(F.relu(self.in2(torch.cat(d2, 1))))
        out = F.pixel_shuffle(self.out(d2), 2)
        logits = out[:, 2:]
        if local is None:
            logits = torch.cat((logits[:, :1] - 1e4, logits[:, 1:]), 1)
        mix = logits.softmax(1)
        local_full = F.pixel_shuffle(read2, 2)
        chroma = (
            mix[:, :1] * local_full + mix[:, 1:2] * _double(memory2) + mix[:, 2:] * _double(guess2) + 0.25 * out[:, :2]
        )
        return chroma, self.certainty(d4), (memory4, guess4, local_full)

"""Lite: a small member of the family that ships with the program and runs on a laptop's processor.

The parts are the paper's (section 3): features from a large-scale pretrained network, a memory that is read by
anisotropic L2 similarity, local attention on an adjacent frame, a decoder. What differs from the released network:

- the features come from EfficientNet-Lite0 (strides 2 to 32) through a small top-down neck;
- a memorised value is the frame's own chroma, folded so that one stride-16 token carries a 4x4 patch of it, beside a
  few learned channels: attention then moves real colour and the decoder only has to choose and repair;
- local attention looks at the *previous* frame in a window around each token's motion (DIS optical flow of the
  luminance), so that a small window is enough;
- the same motion carries chroma at full working resolution: from the previous frame, from the newest *memorised* frame
  and from an *anchor*, the newest exemplar in the shot (else the first frame), which no chain of frames has worn. The
  motion to either of the far ones is what the chain of frames adds up to, searched again around it at every frame;
  where the two disagree, it is in *doubt*;
- the exemplars answer once more on their own, on a grid twice as fine and by the backbone's own features: what has come
  in since in the wrong colour is in the memory too, looks most like itself, and would outvote them; and a hand or a
  sleeve that no motion can follow is smaller than a token of the memory. Their luminance is looked up with their
  chroma, so that it can be judged as what motion carries is. The same features tell whether motion led to the same
  sort of thing (how far they are from those where it led, against the nearest that the exemplars have);
- how sure a frame was of its colour is carried along with the colour: what was once guessed wrong stays open to
  correction, though it has been followed well ever since;
- the output is a mix of what is carried and what was looked up, corrected where a learned gate opens towards a mix of
  the memory read, what was looked up, a guess from the content alone and a residual. The gate can close fully, so that
  nothing creeps in over a long shot. A learned certainty goes with it. There is no hidden state.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colormnet.network.folding import fold_norms
from colormnet.network.interface import ColorNetwork, Decoded, Keys, Readout, Values
from colormnet.network.motion import backward_flow, warp, whole_precision

_BACKBONE_CHANNELS = (16, 24, 40, 112, 320)  # EfficientNet-Lite0's maps
_STRIDES = (2, 4, 8, 16, 32)
_DOUBT = 8.0  # pixels between the anchor's chained and searched motion from which on doubt is full
# Chroma and missed luminance are small numbers that matter: enlarged, the convolutions learn from them sooner.
_CHROMA_GAIN = 5.0
_MISSED_GAIN = 10.0
_GATE_GAIN = 4.0
_CHROMA_PATCH = 4  # a stride-16 token carries a 4x4 patch of stride-4 chroma, a fine one of stride-2 chroma
# What exemplars are looked up by: weights of the backbone's maps at strides 4, 8 and 16, each of length 1, and of the
# luminance patch; and how fast a distance between them makes unlike. Found by trial, without any training.
_FINE_WEIGHTS = (0.5, 1.0, 1.0, 0.5)
_FINE_SHARPNESS = 5.0
_STRANGE = 40.0  # the unlikeness of everything where there is no exemplar
_SOURCES = 4  # of colour for a pixel: the previous frame, the anchor, the memorised frame, the exemplars looked up


@dataclass(frozen=True)
class LiteConfig:
    """Widths of the lite network. The defaults are those of the shipped checkpoint.

    Attributes:
        key_channels: channels of the memory key at stride 16.
        learned_value: learned channels of a memorised value, beside its 32 chroma channels.
        width16, width8, width4, width2: channels of the neck and the decoder at each stride.
        match: learned matching channels of local attention, beside its luminance patch.
        window: side of the local search window at stride 8, odd.
        gate_reluctance, anchor_reluctance, memorised_reluctance, exemplar_reluctance: subtracted from the logits of the
            gate, of the anchor, of the memorised frame and of what the exemplars answer once training is over. A
            training step sees what a choice does to one frame, a shot adds it up over all of them. Found by trial on
            validation clips.
    """

    key_channels: int = 64
    learned_value: int = 32
    width16: int = 96
    width8: int = 64
    width4: int = 48
    width2: int = 16
    match: int = 16
    window: int = 5
    gate_reluctance: float = 2.5
    anchor_reluctance: float = 1.6
    memorised_reluctance: float = 1.6
    exemplar_reluctance: float = 1.5


def _bend(x: Tensor) -> Tensor:
    """The activation of what is trained here: with plain ReLU half of the channels died within some hundred steps."""
    return F.leaky_relu(x, 0.1)


class Residual(nn.Module):
    """Two 3x3 convolutions beside a straight way through: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Refine ``x``."""
        change: Tensor = self.conv2(_bend(self.conv1(_bend(x))))
        return x + change


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
        coarse = _double(self.from32(f32))[..., : f16.shape[-2], : f16.shape[-1]]
        p16 = _bend(self.merge16(_bend(self.from16(f16) + coarse)))
        p8 = _bend(self.merge8(_bend(self.from8(f8) + _double(self.down16(p16)))))
        p4 = _bend(self.merge4(_bend(self.from4(f4) + _double(self.down8(p8)))))
        return p16, p8, p4


class WindowAttention(nn.Module):
    """Local attention in a window around each token's expected place in the reference frame.

    The logit of a neighbour is the negative squared distance of the matching features, times a learned scale, plus
    a learned bias per place in the window. Equation 12 of the paper with an L2 similarity.
    """

    def __init__(self, window: int, scale: float) -> None:
        super().__init__()
        self.window = window
        self.log_scale = nn.Parameter(torch.tensor(float(scale)).log())
        offsets = torch.arange(window) - window // 2
        distance = (offsets[:, None] ** 2 + offsets[None] ** 2).flatten().float()
        self.bias = nn.Parameter(-0.05 * distance)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
        """Match every token and read.

        Args:
            query, key: (B, C, h, w) matching features of this frame and of the reference frame.
            value: (B, Cv, h, w) of the reference frame.
            centre: (B, 2, h, w) integer displacement (dx, dy) in tokens to search around.

        Returns:
            Weighted mean of the values (B, Cv, h, w), and the largest weight (B, 1, h, w).
        """
        batch, _, height, width = query.shape
        radius, device = self.window // 2, query.device
        y = torch.arange(height, device=device)[None, :, None] + centre[:, 1]
        x = torch.arange(width, device=device)[None, None, :] + centre[:, 0]
        start = torch.arange(batch, device=device)[:, None] * (height * width)
        queries, keys, values = _rows(query), _rows(key).flatten(0, 1), _rows(value).flatten(0, 1)
        places: list[Tensor] = []
        logits: list[Tensor] = []
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                ny, nx = (y + dy).flatten(1), (x + dx).flatten(1)
                outside = (ny < 0) | (ny >= height) | (nx < 0) | (nx >= width)
                index = start + ny.clamp(0, height - 1) * width + nx.clamp(0, width - 1)
                distance = (F.embedding(index, keys) - queries).square().sum(-1)
                logit = self.bias[len(places)] - self.log_scale.exp() * distance
                places.append(index)
                logits.append(logit.masked_fill(outside, -1e4))
        weights = torch.stack(logits, -1).float().softmax(-1).to(query.dtype)
        read = weights[..., :1] * F.embedding(places[0], values)
        for i in range(1, len(places)):
            read = read + weights[..., i : i + 1] * F.embedding(places[i], values)
        return _plane(read, (height, width)), _plane(weights.amax(-1, keepdim=True), (height, width))


def _size(x: Tensor) -> tuple[int, int]:
    return x.shape[-2], x.shape[-1]


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _mix(chroma: Tensor, logits: Tensor) -> Tensor:
    """The mean of n candidates for chroma (B, 2n, H, W), weighted by the softmax of their logits (B, n, H, W)."""
    weights = logits.softmax(1)
    mixed = weights[:, :1] * chroma[:, :2]
    for i in range(1, weights.shape[1]):
        mixed = mixed + weights[:, i : i + 1] * chroma[:, 2 * i : 2 * i + 2]
    return mixed


def _folded(plane: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 16 C, H/8, W/8): its stride-2 means, a 4x4 patch a token."""
    return F.pixel_unshuffle(F.avg_pool2d(plane, 2), _CHROMA_PATCH)


def _enlarged(missed: Tensor) -> Tensor:
    """Missed luminance and doubts (B, 7, h, w), the luminance enlarged."""
    return torch.cat((_MISSED_GAIN * missed[:, :_SOURCES], missed[:, _SOURCES:]), 1)


class _Carried(NamedTuple):
    """What motion brings from a frame further back than the previous one."""

    chroma: Tensor  # (B, 2, H, W)
    missed: Tensor  # (B, 1, H, W) luminance carried along, less the frame's own
    doubt: Tensor  # (B, 1, H, W) 0 to 1


def _strangeness(fine: Tensor, there: Tensor, flow: Tensor) -> Tensor:
    """How unlike the features are where motion led: (B, 1, H/8, W/8), on the scale of the look-up's similarity."""
    seen = warp(there, F.avg_pool2d(flow, 8) / 8)
    return (fine - seen).square().sum(1, keepdim=True) / math.sqrt(fine.shape[1])


def _carry(luminance: Tensor, far: tuple[Tensor, ...], chained: Tensor, flow: Tensor) -> _Carried:
    """Look at the luminance and chroma ``far`` along ``flow``, found around what the frames between add up to."""
    seen = warp(torch.cat((far[1], far[0]), 1), flow)
    doubt = (flow - chained).norm(dim=1, keepdim=True).clamp(max=_DOUBT) / _DOUBT
    return _Carried(seen[:, :2], seen[:, 2:] - luminance, doubt.to(luminance.dtype))


def _rows(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, h*w, C), contiguous."""
    return x.flatten(2).transpose(1, 2).contiguous()


def _plane(rows: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, h*w, C) -> (B, C, h, w)."""
    return rows.transpose(1, 2).reshape(rows.shape[0], rows.shape[2], *size)


class Lite(ColorNetwork):
    """The lite network. See the module's docstring for what it computes and why."""

    grid = 16  # no more than the tokens need: motion and colour go wrong where a plane is padded
    token_stride = 16
    padding = "replicate"  # zeros, which are mid-grey, bleed into the border: twice the chroma error there on the demo
    reference_needs_value = False

    def __init__(self, config: LiteConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or LiteConfig()
        self.key_channels = config.key_channels
        self.value_channels = 2 * _CHROMA_PATCH**2 + config.learned_value
        self.backbone = timm.create_model("efficientnet_lite0", features_only=True, out_indices=(0, 1, 2, 3, 4))
        self.neck = Neck(config)
        _, c4, c8, c16, _ = _BACKBONE_CHANNELS
        self.fine_channels = c4 + c8 + c16 + _CHROMA_PATCH**2
        self.fine_gain = nn.Parameter(torch.zeros(self.fine_channels, 1, 1))  # logarithms
        self.key = nn.Conv2d(config.width16 + self.fine_channels, config.key_channels, 3, padding=1)
        self.shrinkage = nn.Conv2d(config.width16, 1, 3, padding=1)
        self.selection = nn.Conv2d(config.width16, config.key_channels, 3, padding=1)
        self.match = nn.Conv2d(config.width8, config.match, 1)
        self.patch = nn.Parameter(torch.tensor(0.5))
        self.local = WindowAttention(config.window, 2.0)
        self.value_in = nn.Conv2d(config.width16 + 2 * _CHROMA_PATCH**2, 64, 3, padding=1)
        self.value_out = nn.Conv2d(64, config.learned_value, 3, padding=1)
        c2 = _BACKBONE_CHANNELS[0]
        self.in16 = nn.Conv2d(config.width16 + self.value_channels + 2, config.width16, 3, padding=1)
        self.res16 = Residual(config.width16)
        self.up16 = nn.Conv2d(config.width16, config.width8, 1)
        # Each finer level is the coarser one, the features there and what else is known there, each through its own
        # convolution and added: what a convolution of all of them side by side would give, without joining them.
        self.features8 = nn.Conv2d(config.width8, config.width8, 1)
        self.known8 = nn.Conv2d(2 + 2 * _SOURCES + 7 + 8 + 2 + 5, config.width8, 1)
        self.res8 = Residual(config.width8)
        self.up8 = nn.Conv2d(config.width8, config.width4, 1)
        self.features4 = nn.Conv2d(config.width4, config.width4, 1)
        self.known4 = nn.Conv2d(2 + 2 * _SOURCES + 7 + 1, config.width4, 1)
        self.res4 = Residual(config.width4)
        self.guess = nn.Conv2d(config.width4, 2, 3, padding=1)
        self.up4 = nn.Conv2d(config.width4, config.width2, 1)
        self.features2 = nn.Conv2d(c2, config.width2, 1)
        self.candidates2 = nn.Conv2d(6, config.width2, 1)
        self.known2 = nn.Conv2d(1 + 2 * _SOURCES + 7, config.width2, 2, stride=2)
        self.res2 = Residual(config.width2)
        # For each full-size pixel: residual a and b; logits of the anchor, of the memorised frame and of the exemplars
        # against the previous frame; of the gate; of the memory and of the exemplars against the guess; of certainty.
        self.out = nn.Conv2d(config.width2, 4 * 9, 3, padding=1)
        self.trust = nn.Parameter(torch.tensor(80.0))
        # Against the anchor and the memorised frame: doubt about the motion there. For the exemplars: that the previous
        # frame was not sure.
        self.caution = nn.Parameter(torch.tensor([1.0, 1.0, -1.0]).view(3, 1, 1))
        self.opening = nn.Parameter(torch.tensor(15.0))
        self.recall = nn.Parameter(torch.tensor(1.0))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.guess.weight)
        with torch.no_grad():
            assert self.out.bias is not None
            self.out.bias.copy_(
                torch.tensor([0.0, 0.0, 0.5, 0.0, -1.0, -2.5 / _GATE_GAIN, 1.0, 1.0, 1.0]).repeat_interleave(4)
            )

    def settle(self) -> None:
        """Fold the backbone's norms; keep channels last, which the processor's kernels like better."""
        fold_norms(self.backbone)
        self.to(memory_format=torch.channels_last)

    def first_stages(self, count: int) -> list[nn.Module]:
        """The backbone's stem and first ``count`` stages (0: nothing), for training to leave alone."""
        if count == 0:
            return []
        return [self.backbone.conv_stem, self.backbone.bn1, *self.backbone.blocks[:count]]

    def encode_key(self, luminance: Tensor) -> Keys:
        """Features, memory key and matching features of a frame. ``luminance``: (B, 1, H, W) network units."""
        # EfficientNet-Lite expects inputs in [-1, 1]: network units as they are. Its coarsest map needs a grid of 32.
        height, width = _size(luminance)
        whole = F.pad(luminance, (0, -width % 32, 0, -height % 32), mode="replicate")
        maps = [
            plane[..., : math.ceil(height / stride), : math.ceil(width / stride)]
            for plane, stride in zip(self.backbone(whole.expand(-1, 3, -1, -1)), _STRIDES, strict=True)
        ]
        p16, p8, p4 = self.neck(maps)
        patch = _folded(luminance)
        match = torch.cat((0.25 * self.match(p8), self.patch * patch), 1)
        fine = self._fine(maps, patch)
        return Keys(
            key=self.key(torch.cat((p16, F.avg_pool2d(fine, 2)), 1)),
            shrinkage=self.shrinkage(p16).square() + 1,
            selection=self.selection(p16).sigmoid(),
            maps=(p16, p8, p4, maps[0], match),
            fine=fine,
        )

    def _fine(self, maps: list[Tensor], patch: Tensor) -> Tensor:
        """Features at stride 8 whose squared distance is the unlikeness: (B, Cf, H/8, W/8)."""
        height, width = _size(patch)
        each = (F.avg_pool2d(maps[1], 2), maps[2], _double(maps[3])[..., :height, :width])
        parts = [weight * F.normalize(m, dim=1) for weight, m in zip(_FINE_WEIGHTS[:3], each, strict=True)]
        scale = math.sqrt(_FINE_SHARPNESS * math.sqrt(self.fine_channels))
        return torch.cat((*parts, _FINE_WEIGHTS[-1] * patch), 1) * (scale * self.fine_gain.exp())

    def initial_hidden(self, keys: Keys) -> Tensor | None:
        """Lite keeps no hidden state."""
        return None

    def encode_value(self, keys: Keys, luminance: Tensor, chroma: Tensor, hidden: Tensor | None, deep: bool) -> Values:
        """Folded stride-4 chroma (32 channels) and learned channels at stride 16. ``chroma``: (B, 2, H, W).

        On the fine grid, stride 8: folded chroma and luminance of stride 2 (48 channels).
        """
        folded = F.pixel_unshuffle(F.avg_pool2d(chroma, 4), _CHROMA_PATCH)
        learned = self.value_out(_bend(self.value_in(torch.cat((keys.maps[0], folded), 1))))
        return Values(torch.cat((folded, learned), 1), None, _folded(torch.cat((chroma, luminance), 1)))

    def reference(
        self,
        keys: Keys,
        luminance: Tensor,
        chroma: Tensor,
        values: Values | None,
        earlier: tuple[Tensor, ...] | None = None,
        kept: tuple[Tensor, ...] | None = None,
    ) -> tuple[Tensor, ...]:
        """What the next frame looks back at.

        Returns:
            Matching features at stride 8, luminance, chroma and certainty of the frame; luminance, chroma and fine
            features of the anchor and the motion to it (B, 2, H, W); the same four of the newest memorised frame, which
            this one is where ``values`` are given.
        """
        assert keys.fine is not None
        certainty = torch.ones_like(luminance) if kept is None else kept[0]
        own = luminance, chroma, keys.fine, torch.zeros_like(chroma, dtype=whole_precision(chroma))
        anchor: tuple[Tensor, ...] = own
        memorised: tuple[Tensor, ...] = own
        if earlier is not None and kept is not None:
            anchor = *earlier[4:7], kept[1]
            if values is None:
                memorised = *earlier[8:11], kept[2]
        # In one layout whatever the kernels made: a snapshot knows no other, and going on from it gives the same bits.
        return tuple(p.contiguous() for p in (keys.maps[4], luminance, chroma, certainty, *anchor, *memorised))

    def read_locally(self, keys: Keys, luminance: Tensor, reference: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Local attention around the motion, and the chroma that motion carries.

        Returns:
            Chroma read at stride 8 (B, 8, H/8, W/8, folded 2x2) and the largest weight (B, 1, H/8, W/8); the chroma
            carried from the previous frame, from the anchor and from the memorised frame (B, 6, H, W); by how much the
            luminance carried along misses the frame's own, from each of them (B, 3, H, W); the doubt about the motion
            to the anchor and to the memorised frame, and the uncertainty of the previous frame's chroma (B, 3, H, W);
            how strange the features are at the anchor, by the motion searched and by that of the chain, and at the
            memorised frame (B, 3, H/8, W/8); the motion to the anchor and to the memorised frame (B, 2, H, W each).
        """
        assert keys.fine is not None
        past, light, chroma, certainty = reference[:4]
        flow = backward_flow(luminance, light)
        seen = warp(torch.cat((chroma, light, certainty), 1), flow)
        frames = reference[4:6], reference[8:10]
        chained = (flow.repeat(1, 2, 1, 1) + warp(torch.cat((reference[7], reference[11]), 1), flow)).chunk(2, 1)
        flows = [backward_flow(luminance, frame[0], start) for frame, start in zip(frames, chained, strict=True)]
        farther = [_carry(luminance, *each) for each in zip(frames, chained, flows, strict=True)]
        centre = (F.avg_pool2d(flow, 8) / 8).round().long()
        read8, sure8 = self.local(keys.maps[4], past, F.pixel_unshuffle(F.avg_pool2d(chroma, 4), 2), centre)
        carried = torch.cat((seen[:, :2], *(far.chroma for far in farther)), 1)
        missed = torch.cat((seen[:, 2:3] - luminance, *(far.missed for far in farther)), 1)
        doubts = torch.cat((*(far.doubt for far in farther), 1 - seen[:, 3:]), 1)
        ways = (reference[6], flows[0]), (reference[6], chained[0]), (reference[10], flows[1])
        strange = torch.cat([_strangeness(keys.fine, *way) for way in ways], 1)
        return read8, sure8, carried, missed, doubts, strange, *flows

    def decode(
        self,
        keys: Keys,
        luminance: Tensor,
        readout: Readout,
        local: tuple[Tensor, ...] | None,
        hidden: Tensor | None,
        update_hidden: bool,
    ) -> Decoded:
        """Correct what is carried by the memory read, a guess and a residual. ``luminance``: (B, 1, H, W)."""
        chroma, logits, _ = self.compose(keys, luminance, readout, local)
        kept = self.kept(logits, local)
        return Decoded(chroma.clamp(-1, 1), None, kept[0], kept)

    def kept(self, logits: Tensor, local: tuple[Tensor, ...] | None) -> tuple[Tensor, ...]:
        """What `reference` needs to know of a step: certainty (B, 1, H, W), 0 to 1, and any motion farther back."""
        return (logits.sigmoid(),) if local is None else (logits.sigmoid(), *local[6:])

    def compose(
        self, keys: Keys, luminance: Tensor, readout: Readout, local: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
        """The decoder's work, with what training supervises beside the result.

        Returns:
            Chroma (B, 2, H, W), unclamped; certainty logits (B, 1, H, W); the candidates: the memory's, the exemplars'
            and the guess (B, 2, H/4, W/4 each), local attention's read (B, 8, H/8, W/8, folded 2x2; zero without
            reference).
        """
        p16, p8, p4, f2 = keys.maps[:4]
        looked_up, unlike = self._looked_up(readout, luminance, _size(p8))
        if local is None:
            batch, _, height, width = luminance.shape
            read8, sure8 = p8.new_zeros(batch, 8, *_size(p8)), p8.new_zeros(batch, 1, *_size(p8))
            carried, missed = p8.new_zeros(batch, 6, height, width), p8.new_zeros(batch, 3, height, width)
            doubts, strange = torch.zeros_like(missed), torch.zeros_like(sure8)
            stranger = sure8.expand(-1, 3, -1, -1)
        else:
            read8, sure8, carried, missed, doubts, strange = local[:6]
            stranger = torch.cat((strange[:, :2] - unlike, strange[:, 2:]), 1)
        present = torch.full_like(sure8, 0.0 if local is None else 1.0)
        memory4 = F.pixel_shuffle(readout.value[:, : 2 * _CHROMA_PATCH**2], _CHROMA_PATCH)
        read16 = (readout.value, readout.similarity.exp(), readout.similarity / 8)
        d16 = self.res16(self.in16(torch.cat((p16, *(plane.to(p16.dtype) for plane in read16)), 1)))
        carried = torch.cat((carried, looked_up[:, :2]), 1)
        missed = torch.cat((missed, looked_up[:, 2:] - luminance, doubts), 1)
        missed2 = F.avg_pool2d(missed.abs(), 2)
        missed4, carried4 = F.avg_pool2d(missed2, 2), F.avg_pool2d(carried, 4)
        exemplars4 = carried4[:, -2:]
        known4 = torch.cat((_CHROMA_GAIN * torch.cat((memory4, carried4), 1), _enlarged(missed4)), 1)
        likeness = torch.cat(((-unlike).exp(), unlike / 8, stranger / 8), 1)
        known8 = self.known8(torch.cat((F.avg_pool2d(known4, 2), _CHROMA_GAIN * read8, sure8, present, likeness), 1))
        d8 = self.res8(_double(self.up16(d16)) + self.features8(p8) + known8)
        sure4 = F.interpolate(sure8, scale_factor=2.0)
        known4 = self.known4(torch.cat((known4, sure4), 1))
        d4 = self.res4(_double(self.up8(d8)) + self.features4(p4) + known4)
        guess4 = self.guess(d4)
        candidates4 = torch.cat((memory4, exemplars4, guess4), 1)
        coarse = _double(self.up4(d4) + self.candidates2(_CHROMA_GAIN * candidates4))
        known2 = self.known2(torch.cat((luminance, _CHROMA_GAIN * carried, _enlarged(missed)), 1))
        d2 = self.res2(coarse + self.features2(f2) + known2)
        out = F.pixel_shuffle(self.out(d2), 2)
        memory, guess = F.interpolate(
            torch.cat((memory4, guess4), 1), scale_factor=4.0, mode="bilinear", align_corners=False
        ).chunk(2, 1)
        candidates = torch.cat((memory, looked_up[:, :2], guess), 1)
        remembered = _mix(candidates, torch.cat((out[:, 6:8], torch.zeros_like(out[:, :1])), 1)) + 0.25 * out[:, :2]
        if local is None:
            return remembered, out[:, 8:], (memory4, exemplars4, guess4, read8)
        # Where another frame's luminance fits worse than the previous one's, or the motion to it is in doubt, its
        # colour is another thing's. Where none fits, or the previous frame was not sure, something new is to be seen.
        chain, others, unsure = missed2[:, :1], missed2[:, 1:_SOURCES], missed2[:, -1:]
        worse = self.trust * (others - chain) + self.caution * missed2[:, _SOURCES:]
        new = self.opening * missed2[:, :_SOURCES].amin(1, keepdim=True) + self.recall * unsure
        leaning = _double(F.avg_pool2d(torch.cat((worse, new), 1), 3, 1, 1))
        farther, gate = out[:, 2:5] - leaning[:, :3], _GATE_GAIN * out[:, 5:6] + leaning[:, 3:]
        if not self.training:
            config = self.config
            reluctance = config.anchor_reluctance, config.memorised_reluctance, config.exemplar_reluctance
            farther = farther - farther.new_tensor(reluctance)[:, None, None]
            gate = gate - config.gate_reluctance
        kept = _mix(carried, torch.cat((torch.zeros_like(gate), farther), 1))
        chroma = kept + F.hardsigmoid(gate) * (remembered - kept)
        return chroma, out[:, 8:], (memory4, exemplars4, guess4, read8)

    def _looked_up(self, readout: Readout, luminance: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Chroma and luminance that the exemplars answer (B, 3, H, W), and how unlike they are (B, 1, H/8, W/8)."""
        answer = readout.exemplars
        if answer is None:  # nothing to look up: no colour, no likeness
            nothing = luminance.new_full((luminance.shape[0], 1, *size), _STRANGE)
            return torch.cat((torch.zeros_like(luminance).expand(-1, 2, -1, -1), luminance), 1), nothing
        planes, unlike = answer.value.to(luminance.dtype), -answer.similarity.to(luminance.dtype)
        return _double(F.pixel_shuffle(planes, _CHROMA_PATCH)), unlike

"""PVGFE: large-pretrained visual model guided feature estimation (paper section 3.1; network.md section 1)."""

from typing import cast

import torch
from timm.models.resnet import Bottleneck, downsample_conv
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from colormnet.network.blocks import conv3
from colormnet.network.config import NetworkConfig, TransformerConfig

PATCH = 14


class PatchFeatures(VisionTransformer):  # type: ignore[misc]  # timm is untyped
    """DINOv2's vision transformer, returning patch tokens of several blocks, with the released position rule."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(
            img_size=config.grid * PATCH,
            patch_size=PATCH,
            embed_dim=config.channels,
            depth=config.depth,
            num_heads=config.heads,
            init_values=1e-5,
            num_classes=0,
            dynamic_img_size=True,
        )
        self.layers = config.layers
        self.grid = config.grid
        self.mask_token = nn.Parameter(torch.zeros(1, config.channels))  # in the checkpoint; only pre-training uses it

    def positions(self, rows: int, columns: int) -> Tensor:
        """(1, 1 + rows * columns, C): the position table for another grid of patches.

        The stored grid is resized by *scale factors* with an offset of 0.1, which themselves set the sampling
        positions.
        """
        stored: Tensor = self.pos_embed
        if rows == columns == self.grid:
            return stored
        table = torch.unflatten(stored[:, 1:], 1, (self.grid, self.grid)).permute(0, 3, 1, 2)
        factors = ((rows + 0.1) / self.grid, (columns + 0.1) / self.grid)
        table = F.interpolate(table, scale_factor=factors, mode="bicubic", antialias=False)
        return torch.cat([stored[:, :1], table.flatten(2).transpose(1, 2)], 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C * layers, H / 14, W / 14): normalised patch tokens, the kept blocks stacked."""
        patches: Tensor = self.patch_embed(image)  # (B, rows, columns, C)
        rows, columns = patches.shape[1:3]
        x = torch.cat([self.cls_token.expand(image.shape[0], -1, -1), patches.flatten(1, 2)], 1)
        x = x + self.positions(rows, columns)
        kept = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.layers:
                kept.append(self.norm(x)[:, 1:])
            if index == max(self.layers):
                break
        return torch.unflatten(torch.cat(kept, 2), 1, (rows, columns)).permute(0, 3, 1, 2)


class GlobalBranch(nn.Module):
    """DINOv2 features on the stride-16 grid. No gradient flows through it."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.channels = config.channels * len(config.layers)
        self.backbone = PatchFeatures(config)
        self.conv3 = nn.Conv2d(self.channels, self.channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(self.channels)
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, channels, H / 16, W / 16)."""
        x: Tensor = F.relu(self.bn3(self.conv3(self.backbone(image))))
        size = [int(side * PATCH / 16) for side in x.shape[2:]]
        return F.interpolate(x, size, mode="bilinear", align_corners=False)


def _stage(inputs: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    outputs = planes * Bottleneck.expansion
    shortcut = downsample_conv(inputs, outputs, kernel_size=1, stride=stride)
    first = Bottleneck(inputs, planes, stride=stride, downsample=shortcut)
    return nn.Sequential(first, *(Bottleneck(outputs, planes) for _ in range(blocks - 1)))


class UpsampledConvolution(nn.Conv2d):
    """``conv3(upsample(x))`` for a bilinear upsampling by an integer factor, contracted before the upsampling.

    Both maps are linear, so the input channels are contracted on the small grid, once per tap of the kernel, and the
    nine responses are upsampled, shifted and added. Shift and zero padding live in the interpolation matrices.
    """

    def __init__(self, inputs: int, outputs: int, factor: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, factor * h, factor * w)."""
        if self.factor == 1:
            return super().forward(x)
        height, width = x.shape[2:]
        taps = F.conv2d(x, self.weight.permute(2, 3, 0, 1).reshape(-1, self.in_channels, 1, 1))
        taps = torch.unflatten(taps, 1, (3, 3, self.out_channels))
        taps = taps.permute(0, 3, 1, 4, 2, 5).flatten(4)  # (B, C, dy, h, dx * w)
        wide = taps @ self._shifted(width, x).T  # (B, C, dy, h, W)
        tall: Tensor = self._shifted(height, x) @ wide.flatten(2, 3)
        return tall if self.bias is None else tall + self.bias[:, None, None]

    def _shifted(self, side: int, like: Tensor) -> Tensor:
        """(factor * side, 3 * side): interpolation seen from the pixel before, at and after, zero outside."""
        eye = torch.eye(side, dtype=like.dtype, device=like.device)
        matrix = F.interpolate(eye[None], scale_factor=float(self.factor), mode="linear", align_corners=False)[0].T
        padded = F.pad(matrix, (0, 0, 1, 1))
        return torch.cat([padded[tap : tap + matrix.shape[0]] for tap in range(3)], 1)


class CrossChannelAttention(nn.Module):
    """Attention between channels, queries from the global features, keys and values from the local (paper eq. 2)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        inner = 2 * channels
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.to_q = nn.Conv2d(channels, inner, 1)
        self.to_q_dw = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.to_k = nn.Conv2d(channels, inner, 1)
        self.to_k_dw = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.to_v = nn.Conv2d(channels, inner, 1)
        self.to_v_dw = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.to_out = nn.ModuleList([nn.Conv2d(inner, channels, 1)])

    def forward(self, e: Tensor, l: Tensor) -> Tensor:  # noqa: E741  # the paper's name
        """e, l (B, C, h, w) -> (B, C, h, w)."""
        out = cast(nn.Conv2d, self.to_out[0])
        out_weight = out.weight[:, :, 0, 0]
        size = out_weight.shape[1] // self.heads
        result = cast(Tensor, out.bias)[:, None].repeat(e.shape[0], 1, e.shape[2] * e.shape[3])
        # One head at a time: the full 2C-channel maps are the largest of the whole network.
        for head in range(self.heads):
            part = slice(head * size, (head + 1) * size)
            q = self._head(self.to_q, self.to_q_dw, e, part).flatten(2)
            k = self._head(self.to_k, self.to_k_dw, l, part).flatten(2)
            exact = q.float() if q.dtype in (torch.float16, torch.bfloat16) else q
            attention = F.normalize(exact, dim=2) @ F.normalize(k.to(exact.dtype), dim=2).transpose(1, 2)
            weight = (attention * self.temperature[head].to(exact.dtype)).softmax(2)
            v = self._head(self.to_v, self.to_v_dw, l, part)
            mixed = (out_weight[:, part].to(exact.dtype) @ weight).to(v.dtype) @ v.flatten(2)
            result = result.add_(mixed)
        return torch.unflatten(result, 2, e.shape[2:])

    @staticmethod
    def _head(point: nn.Conv2d, depth: nn.Conv2d, x: Tensor, part: slice) -> Tensor:
        if point.bias is None or depth.bias is None:
            raise ValueError("the projections of cross-channel attention have biases")
        y = F.conv2d(x, point.weight[part], point.bias[part])
        return F.conv2d(y, depth.weight[part], depth.bias[part], padding=1, groups=y.shape[1])


def _pixel_norm(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Layer norm over the channels of each pixel of (B, C, h, w)."""
    normed: Tensor = norm(x.permute(0, 2, 3, 1))
    return normed.permute(0, 3, 1, 2)


class Fuse(nn.Module):
    """Local features guided by global ones through cross-channel attention."""

    def __init__(self, inputs: int, channels: int, heads: int, factor: int) -> None:
        super().__init__()
        self.encode_enc = UpsampledConvolution(inputs, channels, factor)
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.crossattn = CrossChannelAttention(channels, heads)
        self.norm3 = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, global_map: Tensor, local: Tensor) -> Tensor:
        """global_map (B, inputs, H/16, W/16), local (B, C, h, w) -> (B, C, h, w)."""
        e = self.encode_enc(global_map)
        attended = self.crossattn(_pixel_norm(self.norm1, e), _pixel_norm(self.norm2, local))
        return F.relu(_pixel_norm(self.norm3, attended + e))


class Concatenate(nn.Module):
    """The ablation's plain concatenation: one convolution over both maps, no attention (paper Table 2)."""

    def __init__(self, inputs: int, channels: int, factor: int) -> None:
        super().__init__()
        self.from_global = UpsampledConvolution(inputs, channels, factor)
        self.from_local = conv3(channels, channels)

    def forward(self, global_map: Tensor, local: Tensor) -> Tensor:
        """global_map (B, inputs, H/16, W/16), local (B, C, h, w) -> (B, C, h, w)."""
        return F.relu(self.from_global(global_map) + self.from_local(local))


class GlobalOnly(nn.Module):
    """The ablation's DINOv2 features alone, on the grid of the level (paper Table 2)."""

    def __init__(self, inputs: int, channels: int, factor: int) -> None:
        super().__init__()
        self.from_global = UpsampledConvolution(inputs, channels, factor)

    def forward(self, global_map: Tensor) -> Tensor:
        """(B, inputs, H/16, W/16) -> (B, C, h, w)."""
        return F.relu(self.from_global(global_map))


class FeatureEncoder(nn.Module):
    """Features of a frame at strides 16, 8 and 4: PVGFE, or one of the paper's alternatives to it."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        base = config.base
        levels = ((16 * base, 1), (8 * base, 2), (4 * base, 4))
        self.features = config.features
        self.channels = tuple(channels for channels, _ in levels)
        if self.features != "dinov2":
            self.conv1 = nn.Conv2d(3, base, 7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(base)
            first, second, third = config.residual_blocks
            self.res2 = _stage(base, base, first, 1)
            self.layer2 = _stage(4 * base, 2 * base, second, 2)
            self.layer3 = _stage(8 * base, 4 * base, third, 2)
        if self.features != "resnet":
            self.network2 = GlobalBranch(config.transformer)
            inputs = self.network2.channels
            fuses: list[nn.Module] = []
            for channels, factor in levels:
                if self.features == "pvgfe":
                    fuses.append(Fuse(inputs, channels, config.fusion_heads, factor))
                elif self.features == "concat":
                    fuses.append(Concatenate(inputs, channels, factor))
                else:
                    fuses.append(GlobalOnly(inputs, channels, factor))
            self.fuse1, self.fuse2, self.fuse3 = fuses

    def forward(self, luminance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 1, H, W) -> maps at strides 16, 8, 4."""
        image = luminance.expand(-1, 3, -1, -1)
        if self.features == "dinov2":
            shared = self.network2(image)
            return self.fuse1(shared), self.fuse2(shared), self.fuse3(shared)
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(image))), 3, 2, 1)
        f4 = self.res2(x)
        f8 = self.layer2(f4)
        f16 = self.layer3(f8)
        if self.features == "resnet":
            return f16, f8, f4
        shared = self.network2(image)
        return self.fuse1(shared, f16), self.fuse2(shared, f8), self.fuse3(shared, f4)

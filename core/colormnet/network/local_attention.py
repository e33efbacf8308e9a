"""LA: attention within a window of one reference frame (paper section 3.3; network.md section 6)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_OUTSIDE = -1e8


class _DepthwiseConvolution(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False)


def window_indices(height: int, width: int, window: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For every pixel of a grid the pixels of its window.

    Indices (h * w, window^2) clamped to the frame, and which of them lie inside. Row-major in the window, dy first.
    """
    reach = window // 2
    offset = torch.arange(-reach, reach + 1, device=device)
    y = torch.arange(height, device=device)[:, None] + offset  # (h, window)
    x = torch.arange(width, device=device)[:, None] + offset
    inside = ((y >= 0) & (y < height))[:, None, :, None] & ((x >= 0) & (x < width))[None, :, None, :]
    index = y.clamp(0, height - 1)[:, None, :, None] * width + x.clamp(0, width - 1)[None, :, None, :]
    return index.reshape(height * width, -1), inside.reshape(height * width, -1)


def window_logits(query: Tensor, key: Tensor, window: int) -> Tensor:
    """Dot products of each query with the keys of its window.

    query, key (C, h, w) -> (h * w, window^2), zero outside the frame.
    """
    _, height, width = query.shape
    reach = window // 2
    padded = F.pad(key, (reach, reach, reach, reach))
    rows = []
    for dy in range(window):
        strip = padded[:, dy : dy + height].unfold(2, window, 1)  # a view: (C, h, w, window)
        rows.append(torch.einsum("chw,chwx->hwx", query, strip))
    return torch.stack(rows, 2).reshape(height * width, window * window)


class LocalAttention(nn.Module):
    """Attention of each token to the 15x15 tokens around it in the reference frame.

    Nothing larger than tokens x window^2 is ever made: the weighted sum gathers the values without a copy.
    """

    def __init__(self, key_channels: int, value_channels: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.relative_emb_k = nn.Conv2d(key_channels, window * window, 1)
        self.dw_conv = _DepthwiseConvolution(value_channels)
        self.projection = nn.Linear(value_channels, value_channels)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """query, key (B, Ck, h, w), value (B, Cv, h, w) of the reference -> (B, Cv, h, w)."""
        height, width = query.shape[2:]
        index, inside = window_indices(height, width, self.window, query.device)
        bias = self.relative_emb_k(query)
        half = query.dtype in (torch.float16, torch.bfloat16)
        with torch.autocast(query.device.type, enabled=False):
            exact = torch.float32 if half else query.dtype
            read = []
            for q, k, v, b in zip(query, key, value, bias, strict=True):
                logits = window_logits(q.to(exact), k.to(exact), self.window) / math.sqrt(query.shape[1])
                logits = logits + b.to(exact).flatten(1).T
                weight = torch.where(inside, logits, _OUTSIDE).softmax(1)
                tokens = v.flatten(1).T.contiguous()
                read.append(F.embedding_bag(index, tokens, per_sample_weights=weight.to(v.dtype), mode="sum").T)
            gathered = torch.unflatten(torch.stack(read), 2, (height, width))
        mixed = self.dw_conv.conv(gathered).flatten(2).transpose(1, 2)
        projected: Tensor = self.projection(mixed)
        return torch.unflatten(projected.transpose(1, 2), 2, (height, width))

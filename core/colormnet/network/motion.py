"""Dense motion between two frames' luminance: DIS optical flow (OpenCV), and what local attention makes of it."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

Flow = npt.NDArray[np.float32]


def _search() -> cv2.DISOpticalFlow:
    """DIS down to single pixels, without the variational refinement, which costs more than it brings there.

    Measured as chained propagation over the first 60 frames of the validation clips: 1.0 dB above preset medium in
    about its time (`python tests/benchmarks/motion.py VAL`).
    """
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    dis.setPatchStride(4)
    dis.setGradientDescentIterations(8)
    dis.setVariationalRefinementIterations(0)
    dis.setUseMeanNormalization(False)
    return dis


def backward_flow(luminance: Tensor, earlier: Tensor, start: Tensor | None = None) -> Tensor:
    """Where each pixel of a frame was in an earlier frame.

    Args:
        luminance, earlier: (B, 1, H, W) network units.
        start: (B, 2, H, W) where to begin the search, None for no motion.

    Returns:
        (B, 2, H, W) displacement (dx, dy) in pixels, on the device of ``luminance``, float32 at least. No gradient.
        Computed on the CPU; the same planes give the same flow whatever the machine's core count.
    """
    now, then = grey_levels(luminance), grey_levels(earlier)
    starts: Sequence[Flow | None] = [None] * len(now)
    if start is not None:
        # A copy of its own: DIS writes into the plane it starts from.
        starts = list(np.array(start.detach().float().permute(0, 2, 3, 1).cpu().numpy(), order="C"))
    # DIS splits the picture by the number of threads, and its result with it.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        dis = _search()
        flows = [dis.calc(a, b, c) for a, b, c in zip(now, then, starts, strict=True)]
    finally:
        cv2.setNumThreads(threads)
    stacked = torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2)
    return stacked.to(luminance.device, whole_precision(luminance))


def warp(plane: Tensor, flow: Tensor) -> Tensor:
    """``plane`` (B, C, H, W) seen at ``flow`` (B, 2, H, W; dx, dy in pixels): bilinear, edges repeated.

    Computed in float32 at least (half precision cannot tell neighbouring pixels apart), in the dtype of ``plane``.
    """
    height, width = plane.shape[-2:]
    y = torch.arange(height, device=flow.device, dtype=torch.float32)[:, None]
    x = torch.arange(width, device=flow.device, dtype=torch.float32)
    # grid_sample wants (-1, 1) between the outer edges of the outer pixels.
    grid_x = (2 * (x + flow[:, 0].float()) + 1) / width - 1
    grid_y = (2 * (y + flow[:, 1].float()) + 1) / height - 1
    dtype = whole_precision(plane)
    grid = torch.stack((grid_x, grid_y), -1).to(dtype)
    seen = F.grid_sample(plane.to(dtype), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return seen.to(plane.dtype)


def whole_precision(plane: Tensor) -> torch.dtype:
    """The dtype for places and motion: that of ``plane``, or float32 where that is a half."""
    return torch.promote_types(plane.dtype, torch.float32)


def grey_levels(luminance: Tensor) -> list[npt.NDArray[np.uint8]]:
    """(B, 1, H, W) network units -> B planes (H, W) in 0..255, as DIS wants them."""
    scaled = ((luminance.detach().float() + 1) * 127.5).clamp(0, 255).to(torch.uint8)
    return [plane.numpy() for plane in scaled[:, 0].cpu()]

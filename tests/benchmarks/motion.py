"""What the search for motion is worth: chroma carried from frame to frame by it alone, no network.

    python tests/benchmarks/motion.py CLIPS [--frames 60]

Prints, for DIS preset medium (the baseline of `colormnet evaluate`) and for the lite network's own search: the mean
true PSNR over clips, first frame as exemplar, and the time of one search at 416x224, on one thread.
"""

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch

from colormnet.evaluation.clips import Clip, Size, compose, find_clips, read_clip
from colormnet.evaluation.metrics import psnr
from colormnet.network.motion import backward_flow, grey_levels, warp

Search = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def medium(luminance: torch.Tensor, earlier: torch.Tensor) -> torch.Tensor:
    """(1, 2, H, W) as `backward_flow`, by the preset as OpenCV has it."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = dis.calc(grey_levels(luminance)[0], grey_levels(earlier)[0], None)
    return torch.from_numpy(flow).permute(2, 0, 1)[None]


def carried(clip: Clip, search: Search) -> float:
    """Mean PSNR in dB of a clip's frames after the first."""
    light, colour = clip.planes(0)
    before, chroma = torch.from_numpy(light)[None, None], torch.from_numpy(colour)[None]
    scores = []
    for index in range(1, len(clip)):
        now = torch.from_numpy(clip.luminance(index))[None, None]
        chroma = warp(chroma, search(now, before))
        scores.append(psnr(clip.truth[index], compose(clip.luminance(index), chroma[0].numpy())))
        before = now
    return float(np.mean(scores))


def milliseconds(clip: Clip, search: Search) -> float:
    """Fastest of ten searches between two frames at 416x224."""
    planes = [torch.from_numpy(cv2.resize(clip.luminance(i), (416, 224)))[None, None] for i in (0, 1)]
    times = []
    for _ in range(10):
        started = time.perf_counter()
        search(planes[1], planes[0])
        times.append(time.perf_counter() - started)
    return 1000 * min(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", help="folders of clips, or movies")
    parser.add_argument("--frames", type=int, default=60, help="frames of each clip")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    clips = [read_clip(source, Size(416, 240), asked.frames) for source in find_clips(asked.clips)]
    for name, search in (("preset medium", medium), ("lite's search", backward_flow)):
        score = np.mean([carried(clip, search) for clip in clips])
        print(f"{name}: {score:.2f} dB over {len(clips)} clips, {milliseconds(clips[0], search):.1f} ms a search")


if __name__ == "__main__":
    main()

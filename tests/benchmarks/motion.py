"""What the search for motion is worth: chroma carried from frame to frame by it alone, no network.

    python tests/benchmarks/motion.py CLIPS [--frames 60] [--choice]

Prints, for DIS preset medium (the baseline of `colormnet evaluate`) and for the lite network's own search: the mean
true PSNR over clips, first frame as exemplar, and the time of one search at 416x224, on one thread.

With ``--choice``, what choosing among lite's three carried colours (previous, memorised every fifth frame, anchor)
could give at most: per pixel the one nearest to the truth, which no method can know, and beside it their mean by how
well luminance fits, which needs no learning. Also by how much the last quarter of a clip is below its first.
"""

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F

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


def chosen(clip: Clip, knowing: bool) -> list[float]:
    """PSNR in dB of a clip's frames after the first, each pixel chosen (``knowing``) or mixed from three frames."""
    light, colour = clip.planes(0)
    lights, results = [torch.from_numpy(light)[None, None]], [torch.from_numpy(colour)[None]]
    sources, flows = [0, 0], [torch.zeros_like(results[0])] * 2
    scores = []
    for index in range(1, len(clip)):
        now, truth = (torch.from_numpy(plane)[None] for plane in clip.planes(index))
        now = now[None]
        step = backward_flow(now, lights[-1])
        flows = [
            backward_flow(now, lights[source], step + warp(flow, step))
            for source, flow in zip(sources, flows, strict=True)
        ]
        places = [(index - 1, step), *zip(sources, flows, strict=True)]
        seen = torch.cat([warp(torch.cat((results[at], lights[at]), 1), flow) for at, flow in places])
        missed = F.avg_pool2d((seen[:, 2:] - now).abs(), 9, 1, 4)
        wrong = (seen[:, :2] - truth).square().sum(1, keepdim=True)
        weights = F.one_hot(wrong.argmin(0), 3).permute(3, 0, 1, 2) if knowing else (-60 * missed).softmax(0)
        results.append((weights * seen[:, :2]).sum(0, keepdim=True))
        lights.append(now)
        scores.append(float(psnr(clip.truth[index], compose(clip.luminance(index), results[-1][0].numpy()))))
        if index % 5 == 0:
            sources[1], flows[1] = index, torch.zeros_like(flows[1])
    return scores


def drift(scores: list[float]) -> float:
    """Mean of the last quarter of the frames less that of the first, in dB."""
    quarter = max(1, len(scores) // 4)
    return float(np.mean(scores[-quarter:]) - np.mean(scores[:quarter]))


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
    parser.add_argument("--choice", action="store_true", help="what choosing among three carried colours could give")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    clips = [read_clip(source, Size(416, 240), asked.frames) for source in find_clips(asked.clips)]
    if asked.choice:
        for name, knowing in (("mixed by luminance", False), ("nearest to the truth", True)):
            each = [chosen(clip, knowing) for clip in clips]
            score, loss = (np.mean([measure(scores) for scores in each]) for measure in (np.mean, drift))
            print(f"{name}: {score:.2f} dB over {len(clips)} clips, last quarter {loss:+.2f} dB against the first")
        return
    for name, search in (("preset medium", medium), ("lite's search", backward_flow)):
        score = np.mean([carried(clip, search) for clip in clips])
        print(f"{name}: {score:.2f} dB over {len(clips)} clips, {milliseconds(clips[0], search):.1f} ms a search")


if __name__ == "__main__":
    main()

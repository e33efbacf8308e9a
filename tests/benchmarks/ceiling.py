"""How well lite's colours could do at most, if something told it everywhere which of them is right.

    python tests/benchmarks/ceiling.py CLIPS [--block 8] [--weights FILE]

Lite has six colours for a place: carried from the previous frame, from the anchor and from the newest memorised frame,
looked up in the exemplars, read from the memory, and guessed. Here the truth, which no method can know, picks for every
block of every frame the best of them and of lite's own result, and the shot goes on with what was picked. Prints the
mean true PSNR over clips at 416x240, first frame as exemplar, and by how much the last quarter of a clip is below its
first: what is lost there is lost to all six.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from colormnet import Colorizer, Model, load_model
from colormnet.evaluation.clips import Clip, Size, compose, find_clips, read_clip
from colormnet.evaluation.metrics import psnr
from colormnet.network.interface import Decoded, Keys, Readout
from colormnet.network.lite import Lite


def picked(planes: list[Tensor], truth: Tensor, block: int) -> Tensor:
    """For each ``block`` x ``block`` of (1, 2, H, W), the plane that is nearest to the truth there."""
    stacked = torch.cat(planes)
    wrong = F.avg_pool2d((stacked - truth).square().sum(1, keepdim=True), block, ceil_mode=True)
    best = F.interpolate(wrong.argmin(0, keepdim=True).float(), scale_factor=block, mode="nearest")
    height, width = truth.shape[-2:]
    chosen = best[..., :height, :width].long().expand(-1, 2, -1, -1)
    return stacked.gather(0, chosen)


@contextmanager
def told(network: Lite, truth: list[Tensor], block: int) -> Iterator[None]:
    """Let ``truth[-1]`` (1, 2, H, W) decide for the network what each block of a frame takes."""

    def decode(
        keys: Keys,
        luminance: Tensor,
        readout: Readout,
        local: tuple[Tensor, ...] | None,
        hidden: Tensor | None,
        update_hidden: bool,
    ) -> Decoded:
        result, logits, (memory, exemplars, guess, _) = network.compose(keys, luminance, readout, local)
        coarse = torch.cat((memory, exemplars, guess))
        planes = [result, *F.interpolate(coarse, scale_factor=4.0, mode="bilinear", align_corners=False).chunk(3)]
        if local is not None:
            planes += local[2].chunk(3, 1)
        kept = network.kept(logits, local)
        return Decoded(picked(planes, truth[-1], block).clamp(-1, 1), None, kept[0], kept)

    own = network.decode
    network.decode = decode  # type: ignore[method-assign]
    try:
        yield
    finally:
        network.decode = own  # type: ignore[method-assign]


def scores(model: Model, clip: Clip, block: int) -> list[float]:
    """PSNR in dB of a clip's frames after the first, with the truth picking. The clip's size fits lite's grid."""
    assert isinstance(model.network, Lite)
    truth: list[Tensor] = []
    session = Colorizer(model, clip_length=len(clip))
    found = []
    with told(model.network, truth, block):
        for index in range(len(clip)):
            light, chroma = clip.planes(index)
            if index == 0:
                session.add_exemplar(light, chroma, first_frame=True)
            truth.append(torch.from_numpy(chroma)[None].to(model.device))
            result = session.step(light, last=index == len(clip) - 1)
            if index:
                found.append(float(psnr(clip.truth[index], compose(light, result))))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", help="folders of clips, or movies")
    parser.add_argument("--block", type=int, default=8, help="side of the blocks that are picked, in pixels")
    parser.add_argument("--weights", type=Path, help="a lite checkpoint instead of the shipped one")
    asked = parser.parse_args()
    model = load_model("lite", asked.weights)
    each = []
    for source in find_clips(asked.clips):
        found = scores(model, read_clip(source, Size(416, 240), None), asked.block)
        quarter = max(1, len(found) // 4)
        each.append([np.mean(found), np.mean(found[:quarter]), np.mean(found[-quarter:])])
        print(
            f"{source.name}: {each[-1][0]:.2f} dB, first quarter {each[-1][1]:.2f}, last {each[-1][2]:.2f}", flush=True
        )
    mean, first, last = np.mean(each, axis=0)
    print(f"{len(each)} clips: {mean:.2f} dB, last quarter {last - first:+.2f} dB against the first")


if __name__ == "__main__":
    main()

"""How a network does with an exemplar that is no frame of the shot: a clip's last frame, given as a picture.

    python tests/benchmarks/elsewhere.py CLIPS [--frames 30] [--weights FILE]

The first frames of each clip are coloured from its last one, which counts as a picture from elsewhere: nothing is
carried from it, it has to be looked up. Prints the mean true PSNR over clips at 416x240, beside the same picture's
chroma copied pixel for pixel. In a clip where nothing moves the copy is hard to beat; where much does, it is no match.
"""

import argparse
from pathlib import Path

import numpy as np

from colormnet import Colorizer, Model, load_model
from colormnet.evaluation.clips import Clip, Size, compose, find_clips, read_clip
from colormnet.evaluation.metrics import psnr


def scores(model: Model, clip: Clip, frames: int) -> tuple[float, float]:
    """Mean PSNR in dB of the clip's first frames: coloured by the network, and with the exemplar's chroma copied."""
    count = min(frames, len(clip) - 1)
    light, chroma = clip.planes(len(clip) - 1)
    session = Colorizer(model, clip_length=count)
    session.add_exemplar(light, chroma)
    ours, copied = [], []
    for index in range(count):
        plane = clip.luminance(index)
        result = session.step(plane, last=index == count - 1)
        ours.append(psnr(clip.truth[index], compose(plane, result)))
        copied.append(psnr(clip.truth[index], compose(plane, chroma)))
    return float(np.mean(ours)), float(np.mean(copied))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", help="folders of clips, or movies")
    parser.add_argument("--frames", type=int, default=30, help="frames of each clip to colour")
    parser.add_argument("--weights", type=Path, help="a lite checkpoint instead of the shipped one")
    asked = parser.parse_args()
    model = load_model("lite", asked.weights)
    each = []
    for source in find_clips(asked.clips):
        each.append(scores(model, read_clip(source, Size(416, 240), None), asked.frames))
        print(f"{source.name}: lite {each[-1][0]:.2f} dB, copied {each[-1][1]:.2f} dB", flush=True)
    ours, copied = np.mean(each, axis=0)
    print(f"{len(each)} clips: lite {ours:.2f} dB, the exemplar's chroma copied {copied:.2f} dB")


if __name__ == "__main__":
    main()

"""Whether a long shot takes more memory than a short one: 1,000 frames in one process of its own.

    python tests/benchmarks/growth.py [--model lite] [--frames 1000] [--height 64] [--width 96]

The bundled clip, there and back, through one session. Prints the process's resident memory and the session's own at
frame 100 and at the end; the session's may grow until its long-term memory is full, by a known amount. The released
network runs with random weights (memory does not depend on them).
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import psutil
import torch

import colormnet
from colormnet import Colorizer, Model, load_model
from colormnet.colour.lab import display_to_lab
from colormnet.media.frames import open_source
from colormnet.network.model import ColorMNet

MIB = 2**20


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("lite", "released"), default="lite")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--height", type=int, default=64)
    parser.add_argument("--width", type=int, default=96)
    asked = parser.parse_args()
    torch.manual_seed(0)
    model = load_model("lite", device="cpu") if asked.model == "lite" else Model("released", ColorMNet())
    with open_source(Path(colormnet.__file__).parent / "demo_media" / "big_buck_bunny.mp4") as source:
        pictures = [
            cv2.resize(source.read(n).pixels, (asked.width, asked.height), interpolation=cv2.INTER_AREA)
            for n in source.frames
        ]
    planes = [display_to_lab(np.ascontiguousarray(picture)) for picture in pictures]
    order = [*range(len(planes)), *range(len(planes) - 2, 0, -1)]
    session = Colorizer(model, clip_length=asked.frames)
    session.add_exemplar(*planes[0], first_frame=True)
    process = psutil.Process()
    for frame in range(asked.frames):
        session.step(planes[order[frame % len(order)]][0], last=frame == asked.frames - 1)
        if frame + 1 in (100, asked.frames):
            resident, held = process.memory_info().rss / MIB, session.memory_bytes / MIB
            print(
                f"{asked.model}, frame {frame + 1}: {resident:.0f} MiB resident; session {held:.1f} MiB, "
                f"{session.memory_tokens} tokens",
                flush=True,
            )


if __name__ == "__main__":
    main()

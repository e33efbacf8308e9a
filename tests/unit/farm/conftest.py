import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from colormnet.farm.task import Models
from colormnet.job import ColorizeJob, ExemplarSpec
from colormnet.media.frames import open_source
from colormnet.pipeline import Progress

FRAMES = 20
FIRST = 1001


@pytest.fixture(scope="session")
def clip_folder(demo_clip, tmp_path_factory) -> Path:
    """``plate/plate.####.png``: 20 grey frames of the demo clip at 96x54; ``key.png``: the first one in colour."""
    folder = tmp_path_factory.mktemp("farm clip")
    (folder / "plate").mkdir()
    with open_source(demo_clip, f"1-{FRAMES}") as source:
        for number in source.frames:
            small = cv2.resize(source.read(number).pixels, (96, 54), interpolation=cv2.INTER_AREA)
            coded = np.round(small * 255).astype(np.uint8)
            grey = cv2.cvtColor(coded, cv2.COLOR_RGB2GRAY)
            assert cv2.imwrite(str(folder / "plate" / f"plate.{FIRST + number - 1}.png"), cv2.merge([grey] * 3))
            if number == 1:
                assert cv2.imwrite(str(folder / "key.png"), cv2.cvtColor(coded, cv2.COLOR_RGB2BGR))
    return folder


@pytest.fixture
def job(clip_folder, random_lite, tmp_path) -> ColorizeJob:
    return ColorizeJob(
        plate=str(clip_folder / "plate" / "plate.####.png"),
        exemplars=(ExemplarSpec(str(clip_folder / "key.png"), frame=FIRST),),
        output=str(tmp_path / "out" / "shot.####.png"),
        weights=random_lite,
        device="cpu",
        working_size=48,
        snapshot_every=6,
    )


@pytest.fixture(scope="session")
def models() -> Models:
    """Loads the network once for all tests."""
    return Models()


def content(folder) -> dict[str, bytes]:
    """Name -> bytes of the pictures; fails on debris."""
    paths = [path for path in Path(folder).iterdir() if path.is_file()]
    assert not [path for path in paths if path.name.startswith(".") or path.suffix != ".png"]
    return {path.name: path.read_bytes() for path in paths}


def content_of(job) -> dict[str, bytes]:
    return content(Path(job.output).parent)


class StopAfter(Progress):
    """Asks for a stop after so many frames; keeps the frames it was told of."""

    def __init__(self, frames=None):
        self.stop = threading.Event()
        self.frames = frames
        self.numbers = []
        self.notes = []

    def frame_done(self, number, done, total):
        self.numbers.append(number)
        if len(self.numbers) == self.frames:
            self.stop.set()

    def note(self, sentence):
        self.notes.append(sentence)

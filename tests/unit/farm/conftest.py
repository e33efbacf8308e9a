import threading
from pathlib import Path

import pytest

from colormnet.farm.task import Models
from colormnet.job import ColorizeJob, ExemplarSpec
from colormnet.pipeline import Progress

FRAMES = 20
FIRST = 1001


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

import os
import sys
import threading
from pathlib import Path

import pytest

from colormnet.job import ColorizeJob, ExemplarSpec
from colormnet.pipeline import run

SIZE = 48
COLORMNET = str(Path(sys.executable).with_name("colormnet"))


def pictures(folder) -> dict[str, bytes]:
    """Name -> bytes; fails on anything that is not a whole picture."""
    paths = [path for path in Path(folder).iterdir() if path.is_file()]
    assert all(path.suffix == ".png" and not path.name.startswith(".") for path in paths)
    return {path.name: path.read_bytes() for path in paths}


@pytest.fixture(scope="session")
def clip_job(clip_folder, tmp_path_factory) -> ColorizeJob:
    """The clip's job with the shipped lite model, on the CPU."""
    return ColorizeJob(
        plate=str(clip_folder / "plate" / "plate.####.png"),
        exemplars=(ExemplarSpec(str(clip_folder / "key.png"), frame=1001),),
        output=str(tmp_path_factory.mktemp("colorize") / "shot.####.png"),
        device="cpu",
        working_size=SIZE,
    )


@pytest.fixture(scope="session")
def colorized(clip_job) -> dict[str, bytes]:
    """What `colormnet colorize` writes for the whole clip."""
    run(clip_job, stop=threading.Event())
    return pictures(Path(clip_job.output).parent)


@pytest.fixture
def submit_words(clip_job, tmp_path) -> list[str]:
    """Arguments of `colormnet farm submit` for the same job, into a folder of the test."""
    words = ["farm", "submit", clip_job.plate, "-e", str(clip_job.exemplars[0]), "-o", f"{tmp_path}/out/shot.####.png"]
    words += ["--working-size", str(SIZE), "--device", "cpu", "--gpus", "0", "--command", COLORMNET]
    return [*words, "--job", str(tmp_path / "job")]


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Without a session's process of somebody else, and with as many threads in every process."""
    kept = {name: value for name, value in os.environ.items() if name != "COLORMNET_WORKER"}
    return {**kept, "OMP_NUM_THREADS": "1"}

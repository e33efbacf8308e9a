import os
import sys
from pathlib import Path

import pytest
import torch

from colormnet.job import ColorizeJob, ExemplarSpec
from colormnet.pipeline import run

SIZE = 48
BIG = 160  # a working size at which a frame takes long enough to be interrupted
HELD = str(Path(__file__).parents[1] / "held_colormnet.py")
COLORMNET = str(Path(sys.executable).with_name("colormnet"))


def pictures(folder) -> dict[str, bytes]:
    """Name -> bytes; fails on anything that is not a whole picture."""
    paths = [path for path in Path(folder).iterdir() if path.is_file()]
    assert all(path.suffix == ".png" and not path.name.startswith(".") for path in paths)
    return {path.name: path.read_bytes() for path in paths}


def colorize(job: ColorizeJob) -> dict[str, bytes]:
    """The frames of an unbroken run, with as many threads as `environment` gives the tasks."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run(job)
    finally:
        torch.set_num_threads(before)
    return pictures(Path(job.output).parent)


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
    return colorize(clip_job)


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


@pytest.fixture
def hold(tmp_path) -> Path:
    """What HELD waits for: `(hold / "go").touch()` lets it go on."""
    folder = tmp_path / "hold"
    folder.mkdir()
    return folder


@pytest.fixture
def held_environment(environment, hold) -> dict[str, str]:
    """For HELD, which is `colormnet` with a halt before the sixth frame that it colours."""
    return {**environment, "COLORMNET_TEST_HOLD": f"6:{hold}"}


def enlarged(words: list[str]) -> list[str]:
    """The same arguments at the working size BIG."""
    return [str(BIG) if word == str(SIZE) else word for word in words]

import hashlib
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from colormnet.cli.farm import app
from colormnet.errors import InputError
from colormnet.farm.task import Selection, Task, run_task
from colormnet.farm.verify import checksums, lines, mark_unfinished, verify
from colormnet.job_state import JobState

from .conftest import StopAfter, content_of


def go(job, models, **selection):
    watch = StopAfter()
    return run_task(Task(job, Selection(**selection)), watch, watch.stop, models)


@pytest.fixture
def short(job, clip_folder, tmp_path):
    """Eight frames of its own plate, so that a test may change it."""
    for number in range(1001, 1009):
        name = f"plate.{number}.png"
        (tmp_path / "plate").mkdir(exist_ok=True)
        (tmp_path / "plate" / name).write_bytes((clip_folder / "plate" / name).read_bytes())
    return replace(job, plate=str(tmp_path / "plate" / "plate.####.png"))


def frame(job, number):
    return Path(job.output.replace("####", str(number)))


def test_a_whole_output_is_good(short, models):
    go(short, models)
    verdict = verify(short.output)
    assert verdict.again == []
    assert verdict.unchecked == ""
    assert lines(verdict) == [f"{short.output}: 8 of 8 frames are good"]


def test_missing_and_corrupt_frames_are_found_marked_and_made_again(short, models):
    go(short, models)
    before = content_of(short)
    frame(short, 1003).unlink()
    damaged = bytearray(frame(short, 1005).read_bytes())
    damaged[-20] ^= 1  # of the same size
    frame(short, 1005).write_bytes(damaged)
    frame(short, 1006).write_bytes(b"")
    verdict = verify(short.output, inputs=False)
    assert (verdict.missing, verdict.corrupt, verdict.stale) == ([1003], [1005, 1006], [])
    assert lines(verdict)[-1] == "render again: 1003,1005-1006"
    mark_unfinished(short.output, verdict)
    assert go(short, models).written == 3
    assert content_of(short) == before
    assert verify(short.output).again == []


def test_frames_not_rendered_yet_are_missing(short, models):
    go(short, models, part="1001-1003")
    assert verify(short.output, inputs=False).missing == [1004, 1005, 1006, 1007, 1008]


def test_frames_of_an_older_job_are_stale(short, models):
    go(short, models)
    record = JobState.beside(short.output).folder / "frames" / "1002.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "fingerprint": "older"}))
    assert verify(short.output, inputs=False).stale == [1002]


def test_a_plate_changed_since_makes_all_stale(short, models):
    go(short, models)
    plate = Path(short.plate.replace("####", "1004"))
    os.utime(plate, ns=(1, 1))
    verdict = verify(short.output)
    assert verdict.changed == ["plate"]
    assert verdict.stale == list(range(1001, 1009))
    assert "(changed since: plate)" in lines(verdict)[1]


def test_inputs_that_are_gone_are_said_and_not_guessed(short, models):
    go(short, models)
    Path(short.plate.replace("####", "1004")).unlink()
    verdict = verify(short.output)
    assert verdict.again == []
    assert "1004" in verdict.unchecked
    assert "inputs not compared" in lines(verdict)[-1]


def test_nothing_rendered_there_is_an_error(tmp_path):
    with pytest.raises(InputError, match="No job has written"):
        verify(str(tmp_path / "a.####.png"))


def test_checksums_are_those_that_sha256sum_checks(short, models):
    go(short, models)
    sums = checksums(short.output)
    folder = Path(short.output).parent
    for line in sums.splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    answer = subprocess.run(
        ["sha256sum", "-c", "-"], input=sums, cwd=folder, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout
    assert answer.stdout.count(": OK") == 8


def test_the_command_and_its_exit_codes(short, models, tmp_path):
    go(short, models)
    run = CliRunner()
    assert run.invoke(app, ["verify", short.output, "--files-only", "--sums", str(tmp_path / "s.txt")]).exit_code == 0
    assert (tmp_path / "s.txt").read_text() == checksums(short.output)
    frame(short, 1002).unlink()
    answer = run.invoke(app, ["verify", short.output, "--files-only", "--no-mark", "--report", "json"])
    assert answer.exit_code == 1
    assert json.loads(answer.output)["again"] == [1002]
    assert JobState.beside(short.output).recorded(1002) is not None
    answer = run.invoke(app, ["verify", short.output, "--files-only"])
    assert (answer.exit_code, "render again: 1002" in answer.output) == (1, True)
    assert JobState.beside(short.output).recorded(1002) is None

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from colormnet.cli.farm import app
from colormnet.errors import InputError
from colormnet.farm.task import Task, run_task

from .conftest import StopAfter, content_of


@pytest.fixture
def words(job, tmp_path):
    """A submission of the fixture's job for the plain script."""
    words = ["submit", job.plate, "-e", str(job.exemplars[0]), "-o", job.output, "--job", str(tmp_path / "job")]
    return [*words, "--working-size", "48", "--weights", str(job.weights), "--device", "cpu", "--snapshot-every", "6"]


def submit(*words):
    answer = CliRunner().invoke(app, list(words))
    if answer.exception is not None and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    return answer


@pytest.mark.parametrize(
    ("manager", "files"),
    [
        ("shell", {"run.sh"}),
        ("slurm", {"task.sbatch", "submit.sh"}),
        ("deadline", {"colour.job_info.txt", "colour.plugin_info.txt", "submit.sh"}),
        ("openjd", {"template.json", "parameter_values.json", "asset_references.json"}),
    ],
)
def test_submit_writes_and_says_how_to_hand_over_and_renders_nothing(words, manager, files, tmp_path, job):
    answer = submit(*words, "--to", manager)
    assert {path.name for path in (tmp_path / "job").iterdir()} == files
    assert answer.stdout.startswith(f"plate: 20 frames, mode shot, 1 task -> {tmp_path / 'job'}")
    assert f"Hand it over with: {'deadline' if manager == 'openjd' else 'bash'}" in answer.stdout
    assert not Path(job.output).parent.exists()


def test_check_says_so(words):
    assert "Checked for deadline: no problems." in submit(*words, "--to", "deadline", "--check").stdout


def test_every_shot_of_a_list_has_its_folder(job, tmp_path):
    path = tmp_path / "shots.csv"
    path.write_text(
        f"name,plate,exemplars,mode\na,{job.plate},{job.exemplars[0]},\nb,{job.plate},{job.exemplars[0]},segments\n"
    )
    out = str(tmp_path / "{name}" / "f.####.png")
    answer = submit(
        "submit", "--shots", str(path), "-o", out, "--to", "slurm", "--segment", "8", "--job", str(tmp_path / "job")
    )
    assert "b: 20 frames, mode segments, 3 tasks" in answer.stdout
    assert sorted(folder.name for folder in (tmp_path / "job").iterdir()) == ["a", "b"]
    assert f"{tmp_path}/b/f.####.png" in (tmp_path / "job" / "b" / "task.sbatch").read_text()


@pytest.mark.parametrize("more", [[], ["plate.####.png", "--shots", "list.csv"]])
def test_one_plate_or_one_list(more):
    with pytest.raises(InputError, match="one plate, or a shot list"):
        submit("submit", *more)


def test_overwrite_gives_the_place_to_the_new_job(words, job, models):
    older = replace(job, saturation=0.5)
    run_task(Task(older), StopAfter(), threading.Event(), models)
    before = content_of(job)
    with pytest.raises(InputError, match="belongs to another job"):
        run_task(Task(job), StopAfter(), threading.Event(), models)
    submit(*words, "--overwrite")
    report = run_task(Task(job), StopAfter(), threading.Event(), models)
    assert report.written == 20
    assert content_of(job) != before
    with pytest.raises(InputError, match="belongs to another job"):
        run_task(Task(older), StopAfter(), threading.Event(), models)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (["-e", "nowhere.png"], "nowhere.png does not exist"),
        (["--space", "ACEScgg"], "did you mean ACEScg"),
        (["--exemplar-space", "ACEScgg"], "did you mean ACEScg"),
        (["-o", "{plate}"], "is a file of the input"),
    ],
)
def test_check_finds_what_every_task_would_fail_of(words, job, tmp_path, change, word):
    """Found at the desk and not by the farm at night; nothing is written then."""
    with pytest.raises(InputError, match=word):
        submit(*words, *(text.format(plate=job.plate) for text in change), "--check")
    assert not (tmp_path / "job").exists()

"""The real bundle through the reference implementation: `openjd check` and `openjd run`."""

import contextlib
import json
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from .conftest import BIG, COLORMNET, colorize, enlarged, pictures

pytest.importorskip("openjd.cli", reason="openjd-cli is not installed (pip install 'colormnet[farm]')")
pytestmark = pytest.mark.slow


def colormnet(words, environment):
    return subprocess.run(
        [COLORMNET, *words], env=environment, capture_output=True, text=True, check=False, timeout=500
    )


def openjd(words, environment):
    command = [sys.executable, "-m", "openjd", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def run_step(folder, step, environment, **parameters):
    values = json.loads((folder / "parameter_values.json").read_text())["parameterValues"]
    given = {item["name"]: item["value"] for item in values} | parameters
    words = ["run", str(folder / "template.json"), "--step", step, "--job-param", json.dumps(given)]
    return openjd([*words, "--extensions", "TASK_CHUNKING", "--no-run-dependencies"], environment)


@pytest.mark.parametrize("mode", ["shot", "segments", "parallel"])
def test_openjd_accepts_every_mode(mode, submit_words, environment, tmp_path):
    answer = colormnet([*submit_words, "--to", "openjd", "--mode", mode, "--segment", "7", "--check"], environment)
    assert answer.returncode == 0, answer.stderr
    assert "Checked for openjd: no problems." in answer.stdout
    template = tmp_path / "job" / "template.json"
    template.write_text(template.read_text().replace('"type": "PATH"', '"type": "PLACE"'))
    words = ["check", str(template), "--extensions", "TASK_CHUNKING"]
    assert openjd(words, environment).returncode != 0, "the check must be able to fail"


@pytest.mark.parametrize(("size", "tasks"), [(1, 8), (7, 2), (1000, 1)])
def test_shot_in_chunks_of_any_size_is_what_colorize_writes(size, tasks, submit_words, environment, tmp_path, clip_job):
    """Eight frames, to bound the time of eight tasks."""
    words = [*submit_words, "--to", "openjd", "--frames", "1001-1008"]
    assert colormnet(words, environment).returncode == 0
    answer = run_step(tmp_path / "job", "Colour", environment, ChunkSize=str(size))
    assert answer.returncode == 0, answer.stdout
    assert answer.stdout.count("openjd_progress: 100.0") == tasks
    assert "runs by itself" not in answer.stdout, "every task is to use the session's process"
    straight = tmp_path / "straight"
    expected = colorize(replace(clip_job, frames="1001-1008", output=str(straight / "shot.####.png")))
    assert pictures(tmp_path / "out") == expected


def test_segments_run_locally_are_what_colorize_writes(submit_words, environment, tmp_path, colorized):
    words = [*submit_words, "--to", "openjd", "--mode", "segments", "--segment", "10", "--local"]
    answer = colormnet(words, environment)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert pictures(tmp_path / "out") == colorized
    deadline = time.monotonic() + 60
    while left := [process for process in psutil.process_iter(["cmdline"]) if _is_ours(process, tmp_path)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_a_task_killed_in_the_middle_and_tried_again(submit_words, environment, tmp_path, clip_job):
    """At a working size that takes a while, so that there is a middle."""
    assert colormnet([*enlarged(submit_words), "--to", "openjd"], environment).returncode == 0
    folder = tmp_path / "job"
    values = json.loads((folder / "parameter_values.json").read_text())["parameterValues"]
    command = [sys.executable, "-m", "openjd", "run", str(folder / "template.json"), "--step", "Colour", "--job-param"]
    command += [json.dumps({item["name"]: item["value"] for item in values}), "--extensions", "TASK_CHUNKING"]
    running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    first = tmp_path / "out" / "shot.1002.png"
    deadline = time.monotonic() + 400
    while not first.exists():
        assert running.poll() is None, running.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    tasks = [child for child in psutil.Process(running.pid).children(recursive=True) if _is_task(child)]
    assert tasks
    for task in tasks:
        with contextlib.suppress(psutil.NoSuchProcess):
            task.kill()
    output, _ = running.communicate(timeout=300)
    assert running.returncode != 0
    assert "farm session stop" in output.replace("', '", " ").replace('", "', " ") or "stopped" in output
    written = len(pictures(tmp_path / "out"))
    assert 2 <= written < 20, "the kill came in the middle"
    again = run_step(folder, "Colour", environment)
    assert again.returncode == 0, again.stdout
    assert len(pictures(tmp_path / "out")) == 20
    straight = tmp_path / "straight"
    expected = colorize(replace(clip_job, working_size=BIG, output=str(straight / "shot.####.png")))
    assert pictures(tmp_path / "out") == expected


def _is_task(process):
    try:
        return "task" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def _is_ours(process, folder):
    return any(str(folder) in word for word in process.info["cmdline"] or [])

import json
import re
import shutil
from pathlib import Path

import pytest

from colormnet.errors import InputError
from colormnet.farm import deadline
from colormnet.farm.managers import MANAGERS
from colormnet.farm.settings import FarmSettings
from colormnet.farm.shots import Shot
from colormnet.job import ColorizeJob, ExemplarSpec

EXPECTED = Path(__file__).parent / "expected"
SETTINGS = FarmSettings(queue="film", user="artist", priority=60)
MODES = ("shot", "segments", "parallel")


def shot(mode="segments", output="/renders/sh010/sh010.####.exr"):
    job = ColorizeJob(
        plate="/plates/sh 010/plate.####.exr",
        exemplars=(ExemplarSpec("/refs/key.png", frame=1001), ExemplarSpec("/refs/old film.mov", picture=12)),
        output=output,
        frames="1001-1120",
        weights=Path("/studio/weights/lite.safetensors"),
        space="ACEScg",
        prepass_every=50 if mode == "parallel" else None,
    )
    return Shot("sh010", job, tuple(range(1001, 1121)), mode, 50)


def bundle(folder):
    """File name -> text, with what differs from machine to machine taken out."""
    texts = {}
    for path in sorted(folder.iterdir()):
        text = path.read_text(encoding="utf-8").replace(str(folder), "FOLDER")
        texts[path.name] = re.sub(r"<uid>\d+</uid>", "<uid>UID</uid>", text)
    return texts


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("manager", MANAGERS)
def test_bundles_are_as_expected(manager, mode, tmp_path):
    """The expected bundles were read line by line against the managers' documentation."""
    if manager == "opencue":
        pytest.importorskip("outline")
    MANAGERS[manager].write(shot(mode), SETTINGS, tmp_path)
    expected = {path.name: path.read_text(encoding="utf-8") for path in (EXPECTED / manager / mode).iterdir()}
    assert bundle(tmp_path) == expected


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("manager", sorted(set(MANAGERS) - {"openjd"}))
def test_checks_find_nothing_in_what_we_write(manager, mode, tmp_path):
    if manager == "opencue":
        pytest.importorskip("outline")
    MANAGERS[manager].write(shot(mode), SETTINGS, tmp_path)
    assert MANAGERS[manager].check(tmp_path) == []


@pytest.mark.parametrize(
    ("manager", "file", "old", "new", "message"),
    [
        ("deadline", "segments.job_info.txt", "ChunkSize=50", "ChunkSize=0", "ChunkSize cannot be '0'"),
        ("deadline", "segments.job_info.txt", "Frames=1001-1120", "Frames=1001:1120", "Frames cannot be"),
        ("deadline", "segments.job_info.txt", "Plugin=CommandLine\n", "", "Plugin is missing"),
        ("deadline", "segments.job_info.txt", "Priority=", "Prioity=", "not a key Deadline knows"),
        ("deadline", "segments.plugin_info.txt", "Shell=default", "Shell=default\nShell=bash", "given twice"),
        ("slurm", "task.sbatch", "esac", "", "syntax error"),
        ("slurm", "task.sbatch", "#SBATCH --requeue", "true\n#SBATCH --requeue", "Slurm ignores it"),
        ("slurm", "task.sbatch", "#SBATCH --requeue", "#SBATCH requeue", "not a directive"),
        ("slurm", "submit.sh", "previous=$(", "previous=$((", ""),
        ("shell", "run.sh", "finish() {", "finish() ", "syntax error"),
        ("opencue", "job.xml", "</spec>", "", "not a specification"),
        ("opencue", "job.xml", "<onlayer>segment_001", "<onlayer>segment_009", "segment_009, which is not there"),
        ("opencue", "job.xml", "<chunk>50</chunk>", "<chunk>0</chunk>", "chunk '0'"),
        ("opencue", "job.xml", "<show>film</show>", "<show />", "<show> is empty"),
    ],
)
def test_checks_find_what_is_wrong(manager, file, old, new, message, tmp_path):
    shutil.copytree(EXPECTED / manager / "segments", tmp_path, dirs_exist_ok=True)
    path = tmp_path / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    problems = MANAGERS[manager].check(tmp_path)
    assert any(message in problem for problem in problems), problems
    assert problems


def test_a_missing_partner_is_found(tmp_path):
    deadline.write(shot(), SETTINGS, tmp_path)
    (tmp_path / "segments.plugin_info.txt").unlink()
    assert any("is missing" in problem for problem in deadline.check(tmp_path))


def test_names_that_deadline_cannot_carry_are_refused(tmp_path):
    with pytest.raises(InputError, match="rename it"):
        deadline.write(shot(output='/renders/"best"/a.####.exr'), SETTINGS, tmp_path)


@pytest.mark.parametrize("manager", MANAGERS)
def test_one_gpu_per_task_or_none(manager, tmp_path):
    if manager == "opencue":
        pytest.importorskip("outline")
    MANAGERS[manager].write(shot(), FarmSettings(gpus=1), tmp_path / "with")
    MANAGERS[manager].write(shot(), FarmSettings(gpus=0), tmp_path / "without")
    words = {
        "openjd": '"name": "amount.worker.gpu"',
        "opencue": "<gpus>1</gpus>",
        "deadline": "ConcurrentTasks=1",
        "slurm": "#SBATCH --gres=gpu:1",
        "shell": 'jobs="${COLORMNET_JOBS:-1}"',
    }
    has = [words[manager] in "".join(bundle(tmp_path / name).values()) for name in ("with", "without")]
    assert has == [True, manager in ("deadline", "shell")]
    assert "CUDA_VISIBLE_DEVICES" not in "".join(bundle(tmp_path / "with").values()), "that is the manager's to set"


@pytest.mark.parametrize("manager", MANAGERS)
def test_a_movie_is_one_task(manager, tmp_path):
    if manager == "opencue":
        pytest.importorskip("outline")
    MANAGERS[manager].write(shot("shot", "/renders/sh010.mov"), SETTINGS, tmp_path)
    text = "".join(bundle(tmp_path).values())
    assert "--part " not in text
    assert "--between" not in text
    assert "--chunk" not in text


def test_a_bundle_without_a_value_is_found(tmp_path):
    openjd = MANAGERS["openjd"]
    pytest.importorskip("openjd.cli")
    openjd.write(shot(), SETTINGS, tmp_path)
    path = tmp_path / "parameter_values.json"
    values = json.loads(path.read_text())
    values["parameterValues"] = [item for item in values["parameterValues"] if item["name"] != "Weights"]
    path.write_text(json.dumps(values))
    assert openjd.check(tmp_path) == [f"{path}: there is no value for Weights"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"gpus": 2}, "one device"),
        ({"notice": 1}, "notice"),
        ({"priority": 101}, "priority"),
        ({"queue": "a b"}, "names of letters"),
        ({"command": "a\nb"}, "one line"),
        ({"at_once": 0}, "at least 1"),
    ],
)
def test_settings_are_checked(fields, message):
    with pytest.raises(InputError, match=message):
        FarmSettings(**fields)

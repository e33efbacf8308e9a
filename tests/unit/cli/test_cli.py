import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from colormnet.cli.main import app

RUNNER = CliRunner()


@pytest.fixture
def arguments(tmp_path, write_plate, write_exemplar, random_lite):
    return [
        "colorize",
        write_plate(4),
        "--exemplar",
        f"{write_exemplar(0)}@1001",
        "-o",
        str(tmp_path / "out" / "shot.####.exr"),
        "--weights",
        str(random_lite),
        "--device",
        "cpu",
    ]


def invoke(*words):
    return RUNNER.invoke(app, [str(word) for word in words])


def test_help_lists_every_command_without_importing_any():
    code = (
        "import sys; from colormnet.cli.main import app\n"
        "try: app(['--help'], prog_name='colormnet')\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'cv2', 'numpy', 'OpenImageIO', 'timm') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    for name in ("demo", "colorize", "doctor", "weights", "worker", "farm", "evaluate", "train"):
        assert f" {name} " in done.stdout
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", ["demo", "colorize", "doctor", "weights", "worker", "farm", "evaluate", "train"])
def test_every_command_is_there_and_explains_itself(name):
    result = invoke(name, "--help")
    assert result.exit_code == 0, result.output
    assert "Usage" in result.output


def test_version_and_unknown_commands():
    assert invoke("--version").output.startswith("colormnet ")
    assert invoke("frobnicate").exit_code == 2
    assert invoke("colorize").exit_code == 2
    assert invoke().exit_code == 2


def test_a_command_whose_package_is_missing_says_what_to_install(monkeypatch):
    import importlib

    real = importlib.import_module

    def missing(name, *rest):
        if name == "colormnet.cli.farm":
            raise ModuleNotFoundError("No module named 'openjd'", name="openjd")
        return real(name, *rest)

    monkeypatch.setattr("colormnet.cli.lazy.importlib.import_module", missing)
    result = invoke("farm", "--help")
    assert result.exit_code == 2
    assert "pip install 'colormnet[farm]'" in result.output


def test_a_dry_run_prints_the_plan_and_writes_nothing(arguments, tmp_path):
    before = sorted(path.name for path in tmp_path.iterdir())
    result = invoke(*arguments, "--dry-run")
    assert result.exit_code == 0, result.output
    for word in ("128x72", "1001-1004", "Linear Rec.709", "which carries its chroma", "114x64", "nothing was written"):
        assert word in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_dry_run_says_how_much_is_done_already_and_writes_nothing(arguments, tmp_path):
    short = [*arguments, "--frames", "1001-1003"]
    assert "done already" not in invoke(*short, "--dry-run").output
    assert "done already  0 of 3 frames" in invoke(*short, "--dry-run", "--resume").output
    assert not (tmp_path / "out").exists()
    assert invoke(*short).exit_code == 0
    (tmp_path / "out" / "shot.1002.exr").unlink()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    result = invoke(*short, "--dry-run", "--resume")
    assert "done already  2 of 3 frames" in result.output, result.output
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    refused = invoke(*short, "--dry-run")
    assert refused.exit_code == 2
    assert "exists already" in refused.output


def test_a_run_tells_what_it_did_and_a_second_one_refuses(arguments, tmp_path):
    result = invoke(*arguments, "--verbose", "--frames", "1001-1003")
    assert result.exit_code == 0, result.output
    assert "3 frames written" in result.output
    assert "frame 1002: mean confidence" in result.output
    assert "3 of 3" in result.output
    assert sorted(path.name for path in (tmp_path / "out").glob("*.exr")) == [
        f"shot.{n}.exr" for n in (1001, 1002, 1003)
    ]
    again = invoke(*arguments, "--frames", "1001-1003")
    assert again.exit_code == 2
    assert "--resume" in again.output
    resumed = invoke(*arguments, "--frames", "1001-1003", "--resume")
    assert resumed.exit_code == 0
    assert "0 frames written" in resumed.output
    assert "3 were finished before" in resumed.output


def test_a_note_is_said_once_whether_or_not_more_is_told(arguments, write_exemplar):
    grey = write_exemplar(0, name="grey.png", colour=False)
    told = [*arguments, "--exemplar", grey, "--frames", "1001"]
    for more in ("--dry-run", "--verbose"):
        assert invoke(*told, more).output.count("no colour to speak of") == 1
    lines = invoke(*told, "--verbose", "--overwrite", "--report", "json").stdout.splitlines()
    assert {json.loads(line)["event"] for line in lines} >= {"note", "finished"}


def test_progress_for_programs(arguments):
    result = invoke(*arguments, "--report", "json")
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["frame"] for event in events if event["event"] == "frame"] == [1001, 1002, 1003, 1004]
    assert events[-1]["event"] == "finished"
    assert events[-1]["written"] == 4
    failed = invoke(*arguments, "--report", "json")
    assert json.loads(failed.stdout.splitlines()[-1])["exit_code"] == 2


def test_progress_for_open_job_description(arguments):
    result = invoke(*arguments, "--report", "openjd")
    lines = result.stdout.splitlines()
    assert "openjd_progress: 100.0" in lines
    assert "openjd_status: frame 1004, 4 of 4" in lines
    failed = invoke(*arguments, "--report", "openjd")
    assert failed.exit_code == 2
    assert any(line.startswith("openjd_fail: ") for line in failed.stdout.splitlines())


@pytest.mark.parametrize(
    ("change", "code", "word"),
    [
        (["--space", "Rec.707"], 2, "709"),
        (["--frames", "1001-1009"], 2, "1005"),
        (["--frames", "1001:1002"], 2, "x"),
        (["--saturation", "-1"], 2, "saturation"),
        (["--outputs", "everything"], 2, "everything"),
        (["--output", "chroma"], 2, "--outputs"),
        (["--resume", "--overwrite"], 2, "contradict"),
        (["--exemplar", "nowhere.png"], 2, "nowhere.png"),
        (["--weights", "nowhere.safetensors"], 3, "nowhere.safetensors"),
        (["--weights", __file__], 3, "test_cli.py"),
        (["--device", "cuda:7"], 4, "cuda:7"),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(arguments, tmp_path, monkeypatch, change, code, word):
    import torch

    if change[:2] == ["--device", "cuda:7"] and torch.cuda.device_count() > 7:
        pytest.skip("this machine has eight CUDA devices")
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    result = invoke(*arguments, *change)
    assert result.exit_code == code, result.output
    assert word in result.output
    said = [line for line in result.stderr.splitlines() if line.startswith("colormnet: ")]
    assert len(said) == 1 or "Usage" in result.stderr  # usage errors come with the usage line
    assert "Traceback" not in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_a_library_says_of_wrong_weights_is_for_verbose(arguments, tmp_path):
    import pickle

    (tmp_path / "wrong.pth").write_bytes(pickle.dumps({"a": 1}))
    short = invoke(*arguments, "--weights", tmp_path / "wrong.pth")
    long = invoke(*arguments, "--weights", tmp_path / "wrong.pth", "--verbose")
    assert (short.exit_code, long.exit_code) == (3, 3)
    assert len(short.output.splitlines()) == 1, short.output
    assert "PyTorch" not in short.output
    assert "UnpicklingError: Weights only load failed" in long.stderr
    assert long.stderr.splitlines()[-1] == short.output.splitlines()[0]


def test_a_jobs_fields_are_all_asked_for_by_the_commands_that_make_one():
    """The one place that makes a job of options knows every field, but for those that a command adds itself."""
    from dataclasses import fields

    from colormnet.cli.options import _ALIKE
    from colormnet.job import ColorizeJob

    added = {"exemplars", "part", "resume", "overwrite", "keep_state", "prepass_every", "memory"}
    assert {field.name for field in fields(ColorizeJob)} == {*_ALIKE, *added}


def test_out_of_memory_suggests_a_smaller_working_size(arguments, monkeypatch):
    from colormnet.session import Colorizer

    def full(self, *args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(Colorizer, "step", full)
    result = invoke(*arguments)
    assert result.exit_code == 4
    assert "--working-size 32" in result.output


def test_doctor_finds_nothing_wrong_here_and_what_is_wrong_elsewhere(tmp_path, monkeypatch):
    from colormnet import diagnosis

    good = invoke("doctor", "--folder", tmp_path)
    assert good.exit_code == 0, good.output
    for subject in (
        "Python",
        "PyTorch",
        "device",
        "ffmpeg",
        "images",
        "colour",
        "lite weights",
        "output folder",
        "worker",
    ):
        assert subject in good.output
    monkeypatch.setenv("OCIO", str(tmp_path / "none.ocio"))
    finding = diagnosis.check_colour()
    assert finding.verdict is diagnosis.Verdict.wrong
    assert "$OCIO" in finding.advice
    monkeypatch.delenv("OCIO")
    assert diagnosis.check_folder(tmp_path / "nowhere").verdict is diagnosis.Verdict.wrong
    broken = invoke("doctor", "--folder", tmp_path / "nowhere")
    assert broken.exit_code == 2
    assert "WRONG  output folder" in broken.output
    assert "1 thing to mend" in broken.output


def test_doctor_goes_on_where_a_check_breaks(tmp_path, monkeypatch):
    from colormnet import diagnosis

    monkeypatch.setattr(diagnosis, "check_torch", lambda: 1 / 0)
    for name in ("check_lite", "check_worker", "check_ffmpeg"):
        monkeypatch.setattr(diagnosis, name, diagnosis.check_python)
    findings = list(diagnosis.diagnose(tmp_path))
    assert findings[1].verdict is diagnosis.Verdict.wrong
    assert "ZeroDivisionError" in findings[1].text
    assert len(findings) == 11


def test_doctor_sees_a_mismatched_torchvision(monkeypatch):
    from colormnet import diagnosis

    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist\nmore")

    monkeypatch.setattr(diagnosis.importlib, "import_module", broken)
    finding = diagnosis.check_torch()
    assert finding.verdict is diagnosis.Verdict.wrong
    assert finding.text.endswith("operator torchvision::nms does not exist")


def test_the_demo_runs_on_a_few_frames(tmp_path, random_lite):
    result = invoke("demo", "-o", tmp_path / "demo", "--frames", "6", "--weights", random_lite, "--device", "cpu")
    assert result.exit_code == 0, result.output
    for word in ("left grey", "coloured", "dB", "s a frame", "contact_sheet.png", "side_by_side.mp4"):
        assert word in result.output
    folder = tmp_path / "demo"
    assert len(list((folder / "frames").glob("*.png"))) == 6
    assert Path(folder / "contact_sheet.png").stat().st_size > 10_000
    from colormnet.media.frames import open_source

    with open_source(folder / "side_by_side.mp4") as movie:
        assert (movie.info.width, movie.info.height, len(movie.frames)) == (1920, 360, 6)
    assert invoke("demo", "-o", folder, "--frames", "6", "--weights", random_lite, "--device", "cpu").exit_code == 0


def test_the_demos_figures_are_the_true_psnr_of_what_it_wrote(tmp_path, random_lite, demo_clip):
    import re

    import cv2
    import numpy as np
    from skimage.metrics import peak_signal_noise_ratio

    from colormnet.demo import read_display_frames

    result = invoke("demo", "-o", tmp_path, "--frames", "4", "--weights", random_lite, "--device", "cpu")
    assert result.exit_code == 0, result.output
    truth = [np.rint(frame * 255).astype(np.uint8) for frame in read_display_frames(Path(demo_clip), 4)]
    for what, files in (("left grey", "grey"), ("coloured", "frames")):
        pictures = [cv2.imread(str(path))[..., ::-1] for path in sorted((tmp_path / files).glob("*.png"))]
        expected = np.mean([peak_signal_noise_ratio(truth[index], pictures[index]) for index in range(1, 4)])
        printed = re.search(rf"{what} +([\d.]+) dB", result.output)
        assert printed, result.output
        assert float(printed[1]) == pytest.approx(expected, abs=0.006)


def test_frames_with_as_many_bad_pixels_share_a_line():
    from colormnet.cli.colorize import _non_finite_lines

    lines = _non_finite_lines({**dict.fromkeys(range(1001, 1500), 3), 1600: 12})
    assert len(lines) == 2
    assert "12 in frame 1600;" in lines[0]
    assert "3 in frames 1001-1499;" in lines[1]

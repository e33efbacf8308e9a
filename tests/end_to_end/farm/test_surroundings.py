"""Farm machines: no home, nothing writable but the output, no windows, no index, little notice."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import COLORMNET, HELD, SIZE, pictures

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


def task_words(job, output, *more):
    words = ["farm", "task", job.plate, "-e", str(job.exemplars[0]), "-o", str(output / "shot.####.png")]
    return [*words, "--working-size", str(SIZE), "--device", "cpu", *more]


def test_sigterm_writes_a_state_and_exits_5_and_the_task_goes_on(
    clip_job, environment, held_environment, hold, tmp_path
):
    words = task_words(clip_job, tmp_path / "out")
    task = subprocess.Popen([sys.executable, HELD, *words], env=held_environment, stderr=subprocess.PIPE, text=True)
    first = tmp_path / "out" / "shot.1002.png"
    while not first.exists():
        assert task.poll() is None, task.stderr.read()
        time.sleep(0.005)
    task.send_signal(signal.SIGTERM)
    (hold / "go").touch()
    _, said = task.communicate(timeout=120)  # the default notice
    assert task.returncode == 5, said
    written = len(pictures(tmp_path / "out"))
    assert 2 <= written < 20
    (state,) = (tmp_path / "out" / ".colormnet").iterdir()
    assert [path.name for path in state.glob("snapshot-*.ckpt")] == [f"snapshot-{written}.ckpt"]
    again = subprocess.run([COLORMNET, *words], env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert f"{20 - written} of {20 - written}" in again.stderr, "it goes on where it stopped"
    assert len(pictures(tmp_path / "out")) == 20


def test_sigterm_while_python_is_still_importing_exits_5(clip_job, environment, tmp_path):
    """The notice may come before the first frame; nothing is begun then."""
    ready, told = tmp_path / "ready", tmp_path / "told"
    code = (
        "import sys, pathlib, time, colormnet.farm.task as task\n"
        "run = task.run_task\n"
        "def slow(*given):\n"
        f"    pathlib.Path({str(ready)!r}).touch()\n"
        f"    while not pathlib.Path({str(told)!r}).exists():\n        time.sleep(0.01)\n"
        "    return run(*given)\n"
        "task.run_task = slow\n"
        "from colormnet.cli.main import run as main\nmain()\n"
    )
    words = task_words(clip_job, tmp_path / "out")
    task = subprocess.Popen([sys.executable, "-c", code, *words], env=environment, stderr=subprocess.PIPE, text=True)
    while not ready.exists():
        assert task.poll() is None, task.stderr.read()
        time.sleep(0.01)
    for _ in range(3):  # again and again, as impatient managers do
        task.send_signal(signal.SIGTERM)
    told.touch()
    _, said = task.communicate(timeout=120)
    assert task.returncode == 5, said
    assert not (tmp_path / "out").exists() or not pictures(tmp_path / "out")


ONLY_OUT = 'mount --bind "$0" "$0" && mount -o remount,bind,ro / && exec "$@"'


def can_be_read_only(folder: Path) -> bool:
    """Whether a process can be started here that may write to nothing but ``folder``."""
    if shutil.which("unshare") is None:
        return False
    probe = ["unshare", "--mount", "bash", "-c", ONLY_OUT, str(folder), "sh", "-c", f'! touch "{ROOT}/core/probe"']
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def test_a_read_only_install_without_a_home_and_without_windows(clip_job, colorized, tmp_path):
    """The whole file system but the output is read-only, and there is neither HOME nor a display.

    PyTorch wants a temporary folder to be there; it is given one inside the writable place. Libraries that wheels bring
    along (Pillow its own libxcb) ask nothing of the machine and do not count.
    """
    (tmp_path / "out" / ".temporary").mkdir(parents=True)
    if not can_be_read_only(tmp_path / "out"):
        pytest.skip("the system lets this user mount nothing read-only (unshare --mount)")
    code = (
        "import re\n"
        "from colormnet.cli.main import run\n"
        "try:\n    run()\nfinally:\n"
        "    maps = open('/proc/self/maps').read()\n"
        "    found = re.findall(r'(/\\S*/lib(?:X11|xcb|wayland|gtk|Qt)[^/\\s]*)', maps)\n"
        "    print('WINDOWS', sorted({path for path in found if 'site-packages' not in path}))\n"
    )
    command = ["unshare", "--mount", "bash", "-c", ONLY_OUT, str(tmp_path / "out")]
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path / "out" / ".temporary")}
    if "PYTHONPATH" in os.environ:
        environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
    answer = subprocess.run(
        [*command, sys.executable, "-c", code, *task_words(clip_job, tmp_path / "out")],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "WINDOWS []" in answer.stdout
    assert pictures(tmp_path / "out") == colorized


def test_weights_come_from_a_shared_read_only_place(clip_job, colorized, environment, tmp_path):
    shared = tmp_path / "share"
    shared.mkdir()
    weights = shared / "lite.safetensors"
    shutil.copy(ROOT / "core" / "colormnet" / "checkpoints" / "lite.safetensors", weights)
    weights.chmod(0o444)
    shared.chmod(0o555)
    words = task_words(clip_job, tmp_path / "out", "--weights", str(weights), "--part", "1001-1004")
    answer = subprocess.run([COLORMNET, *words], env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert all(colorized[name] == data for name, data in pictures(tmp_path / "out").items())
    assert os.listdir(shared) == ["lite.safetensors"]


def test_the_wheel_installs_without_an_index_and_runs(environment, tmp_path):
    """The air-gapped way of docs/farm.md, for the project's own wheel; its dependencies come from the same folder."""
    source = tmp_path / "source"
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("core", "plugin"):
        shutil.copytree(ROOT / name, source / name, ignore=skipped)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    offline = {**environment, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheelhouse")}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", str(source), "--no-deps", "--no-build-isolation", "-w", str(tmp_path / "wheelhouse")]
    built = subprocess.run(build, env=offline, capture_output=True, text=True, check=False)
    if "No module named 'setuptools'" in built.stderr:
        pytest.skip("setuptools is not in this environment, and without an index it cannot be had")
    assert built.returncode == 0, built.stderr
    target = tmp_path / "site"
    install = [*pip, "install", "colormnet", "--no-deps", "--target", str(target)]
    installed = subprocess.run(install, env=offline, capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    code = (
        "import sys, colormnet; sys.argv = ['colormnet', 'farm', 'task', '--help']\n"
        "print(colormnet.__file__)\nfrom colormnet.cli.main import run; run()"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**offline, "PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(str(target))
    assert "--prepass-every" in run.stdout
    assert (target / "colormnet" / "checkpoints" / "lite.safetensors").is_file()
    assert (target / "colormnet_host" / "protocol.py").is_file()

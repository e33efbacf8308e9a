"""The client in every Python a host may ship, against one real worker."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from colormnet_host.client import Client

PLUGIN = Path(__file__).parents[3] / "plugin"
VERSIONS = ["3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"]


def interpreter(version):
    """A Python of that version on the PATH or under pyenv, None where there is none."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = sorted(root.glob(f"{version}.*/bin/python")) if root.is_dir() else []
    found = shutil.which(f"python{version}")
    for path in [*candidates, *([found] if found else [])]:
        asked = subprocess.run(
            [str(path), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True
        )
        if asked.stdout.strip() == version:
            return str(path)
    return None


@pytest.fixture(scope="module")
def served(rig, fork_server, tmp_path_factory):
    """One worker for all interpreters, and what they send it."""
    folder = tmp_path_factory.mktemp("pythons")
    old = os.environ.get("COLORMNET_RUNTIME")
    os.environ["COLORMNET_RUNTIME"] = str(folder / "w" / "run")
    raw = folder / "grey.raw"
    grey = np.random.default_rng(3).random((rig.HEIGHT, rig.WIDTH, 1))
    raw.write_bytes(np.repeat(grey, 3, -1).astype(np.float16).tobytes())
    with Client(rig.ForkLauncher(fork_server, folder / "w")) as client:
        client.connect()
        yield folder, raw
        client.stop()
    if old is None:
        del os.environ["COLORMNET_RUNTIME"]
    else:
        os.environ["COLORMNET_RUNTIME"] = old


@pytest.fixture(scope="module")
def seen():
    return {}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_from_this_python(rig, shot, served, seen, version):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"Python {version} is not on this machine")
    folder, raw = served
    plates, exemplar, straight = shot
    output = folder / f"out {version}.exr"
    script = str(Path(__file__).parent / "session_script.py")
    run = subprocess.run(
        [python, script, f"python {version}", rig.SPACE, str(exemplar), str(plates[1001]), str(output), str(raw)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PLUGIN), "PYTHONWARNINGS": "error"},
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    answers = json.loads(run.stdout)
    assert answers["mmap True"] == answers["mmap False"]
    assert answers["needed"] == [3]
    assert answers["cancel"] == "cancelled"
    assert answers["wrong"] == "input"
    assert answers["file"] == [1001, True, True]
    assert answers["status"]
    assert rig.picture(output) == rig.picture(straight[1001])
    assert answers["buffers"] == seen.setdefault("buffers", answers["buffers"])  # the same from every Python

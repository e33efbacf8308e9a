"""The same checks in a real Nuke, where NUKE_EXECUTABLE names one, and in the stand-in, so they are known to run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("smoke_script.py")
NUKE = os.environ.get("NUKE_EXECUTABLE", "")


def run(command: list[str], folder: Path, *options: str) -> str:
    environment = dict(os.environ, NUKE_PATH=str(ROOT / "nuke"))
    whole = [*command, "-t", str(SCRIPT), str(folder), *options]
    done = subprocess.run(whole, capture_output=True, text=True, env=environment, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SMOKE OK" in done.stdout
    return done.stdout


def test_in_the_stand_in(tmp_path: Path) -> None:
    out = run([sys.executable, str(ROOT / "tests" / "hosts" / "nuke_standin" / "__main__.py")], tmp_path)
    assert out.count("ok: ") == 19


@pytest.mark.slow
@pytest.mark.skipif(not NUKE, reason="NUKE_EXECUTABLE is not set: the node was not run in a real Nuke")
def test_in_a_real_nuke(tmp_path: Path) -> None:
    run([NUKE], tmp_path, "colorize")

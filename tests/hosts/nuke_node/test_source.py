"""The node's source: old syntax, standard library only, types as types-nuke has them, text that survives."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
NODE = [p for p in sorted((ROOT / "nuke").rglob("*.py")) if p.parent.name != "icons"]
SHARED = sorted((ROOT / "plugin" / "colormnet_host").rglob("*.py"))
OURS = {"colormnet_nuke", "colormnet_host", "nuke"}
QT = {"PySide2", "PySide6"}
STANDARD = set(sys.stdlib_module_names) | {"__future__"}


@pytest.mark.parametrize("path", [*NODE, *SHARED], ids=lambda p: str(p.relative_to(ROOT)))
def test_python_3_7_syntax_and_standard_library(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 7))
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        for name in names:
            top = name.partition(".")[0]
            allowed = STANDARD | OURS | (QT if path.name.startswith(("panel", "qt")) else set())
            assert top in allowed or top == "numpy", f"{path}: {name}"


VERSIONS = ["3.7", "3.8", "3.9", "3.10", "3.11"]  # of Nuke 13 to 17
INSIDE = """
import os, sys, tempfile, types
sys.path[:0] = sys.argv[1:3]

class Known(type):
    def __getattr__(cls, name):
        return cls

class Anything(metaclass=Known):
    pass

class Host(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything

nuke = sys.modules["nuke"] = Host("nuke")
nuke.GUI, nuke.rawArgs = False, ["nuke", "-x", "-F", "1-9x2", "-F", "20", "shot.nk"]
import importlib
for name in sys.argv[3].split(","):
    importlib.import_module("colormnet_nuke." + name)
import colormnet_host.client, colormnet_host.install_nuke, colormnet_host.weights
from colormnet_nuke import bake, cache, exr, problems, settings, upstream, verify
assert verify.asked_frames(None) == (1, 3, 5, 7, 9, 20)
assert settings.frame_list("1001-1003, 7", "x") == (7, 1001, 1002, 1003)
assert upstream.expand("/a/%V/b.%04d.####.exr", 12, "left") == "/a/left/b.0012.0012.exr"
assert list(bake._runs([1, 2, 5])) == [(1, 2), (5, 5)]
assert bake.CANCELLED.match("Write1: Cancelled") and not bake.CANCELLED.match("/cancelled/a.exr: no such file")
folder = tempfile.mkdtemp()
results = cache.Results(folder, "key")
results.make(["main"])
open(results.path("main", 7), "wb").close()
results.add("main", 7, cache.FrameRecord("c", "g", 0.5, 0.25), None)
assert results.frames("main") == {7: cache.FrameRecord("c", "g", 0.5, 0.25)}
results.save({"complete": True})
assert results.record() == {"complete": True}
cache.clear(folder)
assert not os.path.exists(folder)
assert exr.read_header(sys.argv[4]).data == (-4, -4, 67, 51), exr.read_header(sys.argv[4])
assert len(exr.pixel_digest(sys.argv[4])) == 32
from colormnet_host.client import WorkerError
assert problems.of_engine(WorkerError("no", "weights")).exit_code == 3
print("ok")
"""


def interpreter(version: str) -> str | None:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(root.glob(f"{version}.*/bin/python"))
    return str(found[-1]) if found else None


@pytest.mark.parametrize("version", VERSIONS)
def test_the_plugin_in_the_pythons_of_nuke(version: str, shot: Any) -> None:
    """Every module compiles and is imported, and what needs no host is run, with warnings as errors."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"Python {version} is not on this machine")
    modules = ",".join(p.stem for p in (ROOT / "nuke" / "colormnet_nuke").glob("[a-z]*.py") if p.stem != "panel")
    folders = [str(ROOT / "nuke"), str(ROOT / "plugin")]
    command = [python, "-B", "-S", "-W", "error", "-c", INSIDE, *folders, modules, str(shot.path("main", 1001))]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.strip() == "ok", done.stderr
    code = "import sys\nfor p in sys.argv[1:]: compile(open(p, encoding='utf-8').read(), p, 'exec')"
    command = [python, "-B", "-W", "error", "-c", code, *[str(p) for p in [*NODE, *SHARED]]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def test_types_against_types_nuke() -> None:
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--cache-dir",
        "../.mypy_cache/nuke",
        "--config-file",
        "../tests/hosts/nuke_node/mypy.ini",
    ]
    command += ["init.py", "menu.py", "colorize.py", "colormnet_nuke"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "nuke", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_prints_error_lines_for_warnings() -> None:
    """Farm wrappers fail a task on ``.*Error:.*`` in its output; the only such line is the tool's own failure."""
    found = [
        (path.name, line.strip())
        for path in NODE
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"(print|write).*Error:", line)
    ]
    assert found == [("batch.py", 'sys.stderr.write("Error: %s\\n" % problem)')]


def test_the_folder_can_be_put_on_nuke_path() -> None:
    names = {p.name for p in (ROOT / "nuke").iterdir()} - {"__pycache__", ".mypy_cache"}
    assert {"init.py", "menu.py", "colorize.py", "colormnet_nuke", "icons"} <= names
    assert "__init__.py" not in names  # it would shadow the host's module
    icon = (ROOT / "nuke" / "icons" / "ColorMNet.png").read_bytes()
    assert icon.startswith(b"\x89PNG")
    assert icon[16:24] == (24).to_bytes(4, "big") * 2

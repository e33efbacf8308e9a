"""The node's source: old syntax, standard library only, types as types-nuke has them, text that survives."""

import ast
import re
import subprocess
import sys
from pathlib import Path

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


OLD = sorted(Path.home().glob(".pyenv/versions/3.7*/bin/python3.7"))


@pytest.mark.skipif(not OLD, reason="no Python 3.7 interpreter on this machine")
def test_python_3_7_itself_compiles_and_runs_the_parts_without_a_host() -> None:
    code = (
        "import sys\n"
        "for path in sys.argv[1:]:\n"
        "    compile(open(path, encoding='utf-8').read(), path, 'exec')\n"
        "sys.path[:0] = ['nuke', 'plugin']\n"
        "import types; sys.modules['nuke'] = types.ModuleType('nuke')\n"
        "import colormnet_nuke.cache as c, colormnet_nuke.exr, colormnet_nuke.problems, colormnet_nuke.engine\n"
        "assert c.chains(['a', 'b'])[1] != c.chains(['b', 'b'])[1]\n"
    )
    command = [str(OLD[0]), "-c", code, *[str(p) for p in [*NODE, *SHARED]]]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
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

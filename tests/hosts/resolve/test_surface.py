"""What the pass calls exists: checked with mypy against fusionscript-stubs, as is the stand-in's surface."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
import resolve_standin

from colormnet_resolve import deliver

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent


def mypy(tmp_path: Path, *targets: Path) -> str:
    """What mypy says of the targets, in one run; "" when it finds nothing."""
    paths = os.pathsep.join(str(folder) for folder in (ROOT / "resolve", ROOT / "plugin", HERE))
    config = tmp_path / "mypy.ini"
    config.write_text(
        "[mypy]\nstrict = True\nenable_error_code = explicit-override\nwarn_return_any = False\n"
        "[mypy-colormnet_resolve.*]\ndisable_error_code = explicit-override\n"
        "[mypy-colormnet_host.*]\nfollow_imports = silent\n"
        # Not what is checked here, and long to read.
        "[mypy-numpy.*,OpenImageIO.*,imageio_ffmpeg.*]\nfollow_imports = skip\nignore_missing_imports = True\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), f"--cache-dir={tmp_path / 'cache'}"]
    done = subprocess.run(
        [*command, *map(str, targets)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MYPYPATH": paths},
        cwd=tmp_path,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout if done.returncode else ""


@pytest.mark.slow
def test_the_pass_and_the_stand_in_fit_the_stubs(tmp_path: Path) -> None:
    """The pass calls nothing Resolve has not; the stand-in has the stubs' methods with their signatures."""
    misspelt, wrong, invented = (tmp_path / name for name in ("misspelt.py", "wrong.py", "invented.py"))
    source = Path(deliver.__file__).read_text().replace("from .", "from colormnet_resolve.")
    misspelt.write_text(source.replace("project.GetCurrentTimeline()", "project.GetCurrentTimline()", 1))
    source = (HERE / "resolve_standin.py").read_text()
    wrong.write_text(
        source.replace("def GetTrackName(self, trackType: Any, trackIndex: int)", "def GetTrackName(self)")
    )
    invented.write_text(source.replace("def GetTrackName(", "def GetTrackTitle("))
    said = mypy(
        tmp_path, ROOT / "resolve" / "colormnet_resolve", HERE / "resolve_standin.py", misspelt, wrong, invented
    )
    lines = [line for line in said.splitlines() if ": error: " in line]
    # The check can fail: each of the three copies with one mistake is found, and nothing else.
    assert {line.split(":")[0] for line in lines} == {"misspelt.py", "wrong.py", "invented.py"}, said
    assert '"Project" has no attribute "GetCurrentTimline"' in said
    assert 'Signature of "GetTrackName" incompatible with supertype' in said
    assert 'Method "GetTrackTitle" is marked as an override, but no base method was found' in said


def test_every_call_of_the_stand_in_is_checked_so() -> None:
    """No public method is left out of the check above by not being marked as an override."""
    for name, kind in inspect.getmembers(resolve_standin, inspect.isclass):
        if issubclass(kind, resolve_standin.Handle) and kind is not resolve_standin.Handle:
            for method, function in vars(kind).items():
                if method[0].isupper():
                    assert getattr(function, "__override__", False), f"{name}.{method} is not marked"


def test_render_settings_are_those_of_the_guide() -> None:
    files = distribution("fusionscript-stubs").files
    assert files is not None
    stub = next(path for path in files if path.name == "fusionscript.pyi").locate().read_text()
    body = stub.split("class RenderSettings(TypedDict):", 1)[1].split("\nclass ", 1)[0]
    for key in resolve_standin.RENDER_SETTINGS:
        assert f"    {key}:" in body or f"    {key} :" in body, key


VERSIONS = ["3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13"]
SMOKE = """
import io, os, sys, tempfile
sys.path[:0] = sys.argv[1:3]
import importlib
for name in sys.argv[3].split(","):
    importlib.import_module("colormnet_resolve." + name)
import colormnet_host.client, colormnet_host.install_resolve, colormnet_host.resolve_command, colormnet_host.weights
script = open(os.path.join(sys.argv[1], "scripts", "ColorMNet Colorize.py"), encoding="utf-8").read()
compile(script, "menu", "exec")
from colormnet_resolve.manifest import Entry, Manifest
from colormnet_resolve.settings import PassSettings, from_record
from colormnet_resolve import cli, sequences
folder = tempfile.mkdtemp()
manifest = Manifest(folder)
manifest.record(Entry("u", "n", "done", "f", "p_%04d.exr", 1001, 3, [["/a", "", None]], ""))
manifest.begin(dict(PassSettings(output=folder)._asdict()), [])
assert Manifest(folder).entries["u"].frames == 3
assert from_record(Manifest(folder).settings, "/x") == PassSettings(output="/x")
settings = PassSettings(output=folder, exemplars=("still",)).checked()
assert settings.output == os.path.abspath(folder)
assert sequences.expand_bracketed("/a/b_[0001-0003].exr")[0][2] == "/a/b_0003.exr"
out = io.StringIO()
os.environ["RESOLVE_SCRIPT_API"] = folder
assert cli.main(["-o", folder], stream=out) == 2
assert "scripting module cannot be loaded" in out.getvalue(), out.getvalue()
print("ok")
"""


def interpreter(version: str) -> str | None:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(root.glob(f"{version}.*/bin/python"))
    return str(found[-1]) if found else None


@pytest.mark.parametrize("version", VERSIONS)
def test_the_pass_runs_in_the_pythons_of_resolve(version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"Python {version} is not on this machine")
    modules = ",".join(p.stem for p in (ROOT / "resolve" / "colormnet_resolve").glob("[a-z]*.py"))
    done = subprocess.run(
        [python, "-B", "-S", "-W", "error", "-c", SMOKE, str(ROOT / "resolve"), str(ROOT / "plugin"), modules],
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
    )
    assert done.stdout.strip() == "ok", done.stderr

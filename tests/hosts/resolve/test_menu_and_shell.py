"""The ways in: the menu script with its window, the console, and the shell command."""

from __future__ import annotations

import importlib
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from resolve_standin import Resolve, World, timecode
from resolve_support import Footage, Painter, console
from ui_standin import Dispatcher, FakeBmd, FakeFusion, Window

from colormnet_host import install_resolve
from colormnet_resolve import cli, connect, menu
from colormnet_resolve.errors import PassError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORMNET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def names(world: World, dispatcher: Dispatcher | None) -> dict[str, object]:
    """The globals Resolve gives a menu script."""
    found: dict[str, object] = {"resolve": Resolve(world)}
    if dispatcher is not None:
        found.update(bmd=FakeBmd(dispatcher), fu=FakeFusion())
    return found


def fill(window: Window, footage: Footage, output: Path) -> None:
    items = window.GetItems()
    items["Exemplars"].PlainText = str(footage.exemplars[0])
    items["Output"].Text = str(output)
    items["Handles"].Value = 2


def test_the_window_from_start_to_end(world: World, footage: Footage, tmp_path: Path) -> None:
    shown: list[str] = []

    def choose(window: Window) -> None:
        assert window.title == "ColorMNet Colorize"
        assert len(window.GetItems()["Select"].entries) == 4
        fill(window, footage, tmp_path / "out")
        window.press("Start")

    def close(window: Window) -> None:
        shown.append(window.GetItems()["Text"].Text)
        window.press("Ok")

    dispatcher = Dispatcher([choose, close])
    progress: list[str] = []
    dispatcher.on_step = lambda window: progress.append(window.GetItems()["Stage"].Text)
    assert menu.run(names(world, dispatcher), Painter(), console()) == 0
    assert shown == ["shot2: done - coloured, take 2; least sure 0 frames into the clip"]
    assert any("Rendering the plate of 'shot2'" in text for text in progress)
    assert not any(window.visible for window in dispatcher.windows)
    kept = json.loads((tmp_path / "home" / "resolve.json").read_text())
    assert kept["handles"] == 2, "the next window starts from these settings"
    assert menu.remembered("Archive").exemplars == (str(footage.exemplars[0]),)


def test_the_current_frame_as_exemplar_by_the_button(world: World, footage: Footage, tmp_path: Path) -> None:
    painter = Painter()
    world.timelines[0].playhead = 86400

    def choose(window: Window) -> None:
        fill(window, footage, tmp_path / "out")
        window.GetItems()["Exemplars"].PlainText = "still"
        window.press("Still")
        world.timelines[0].playhead = 86410  # the editor moves on to the clip to colour
        window.press("Start")

    dispatcher = Dispatcher([choose, lambda window: window.press("Ok")])
    assert menu.run(names(world, dispatcher), painter, console()) == 0
    assert menu.remembered("x").exemplars == (f"still@{timecode(86400)}",)
    assert painter.works[0].name == "shot2"


def test_model_and_direct_reading_in_the_window(world: World, footage: Footage, tmp_path: Path) -> None:
    painter = Painter()

    def choose(window: Window) -> None:
        fill(window, footage, tmp_path / "out")
        items = window.GetItems()
        assert items["Model"].entries == ["Model: lite", "Model: released"]
        items["Model"].CurrentIndex = 1
        items["Direct"].Checked = True
        window.press("Start")

    def say_how(window: Window) -> None:
        items = window.GetItems()
        assert "colour space" in items["Message"].Text
        assert items["Model"].CurrentIndex == 1
        items["SourceSpace"].Text = " sRGB - Texture "
        window.press("Start")

    dispatcher = Dispatcher([choose, say_how, lambda window: window.press("Ok")])
    assert menu.run(names(world, dispatcher), painter, console()) == 0
    assert painter.works[0].space == "sRGB - Texture"
    assert "Project.AddRenderJob" not in world.calls
    assert menu.remembered("x").model == "released"


def test_a_remembered_model_that_is_none_starts_afresh(world: World, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "resolve.json").write_text('{"model": "of tomorrow", "handles": 3}')
    assert menu.remembered("x").model == "lite"


def test_an_output_that_cannot_be_made_is_a_sentence(world: World, footage: Footage, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    def choose(window: Window) -> None:
        fill(window, footage, tmp_path / "file" / "out")
        window.press("Start")

    out = console()
    dispatcher = Dispatcher([choose, lambda window: window.press("Ok")])
    assert menu.run(names(world, dispatcher), Painter(), out) == 2
    assert "cannot be written" in out.getvalue()
    assert "Traceback" not in out.getvalue()


def test_a_wrong_answer_is_asked_again(world: World, footage: Footage, tmp_path: Path) -> None:
    def wrong(window: Window) -> None:
        fill(window, footage, tmp_path)
        window.GetItems()["Exemplars"].PlainText = "/nowhere.png"
        window.press("Start")

    def read(window: Window) -> None:
        assert "does not exist" in window.GetItems()["Message"].Text
        window.press("Cancel")

    out = console()
    assert menu.run(names(world, Dispatcher([wrong, read])), Painter(), out) == 0
    assert "before anything was done" in out.getvalue()
    assert "Project.AddRenderJob" not in world.calls


def test_cancel_in_the_progress_window_and_resume(world: World, footage: Footage, tmp_path: Path) -> None:
    def choose(window: Window) -> None:
        fill(window, footage, tmp_path / "out")
        window.press("Start")

    shown: list[str] = []

    def close(window: Window) -> None:
        shown.append(window.GetItems()["Text"].Text)
        window.press("Ok")

    dispatcher = Dispatcher([choose, close])

    def step(window: Window) -> None:
        if window.id == "ColorMNetProgress" and "Colouring" in window.GetItems()["Stage"].Text:
            window.press("Cancel")

    dispatcher.on_step = step
    before = world.snapshot()
    assert menu.run(names(world, dispatcher), Painter(), console()) == 5
    assert "shot2: cancelled" in shown[0]
    assert "Resume" in shown[0]
    assert world.snapshot() == before

    def resume(window: Window) -> None:
        fill(window, footage, tmp_path / "out")
        window.press("Resume")

    assert menu.run(names(world, Dispatcher([resume, close])), Painter(), console()) == 0
    assert "shot2: done" in shown[1]


def test_the_free_edition_in_the_menu(world: World) -> None:
    world.quirks.product = "DaVinci Resolve"
    out = console()
    assert menu.run(names(world, None), Painter(), out) == 2
    assert "free edition" in out.getvalue()


def test_an_unforeseen_error_is_never_silent(world: World, footage: Footage, tmp_path: Path) -> None:
    class Broken(Painter):
        def colour(self, *_args: object) -> list[object]:  # type: ignore[override]
            raise RuntimeError("a bug")

    shown: list[str] = []

    def choose(window: Window) -> None:
        fill(window, footage, tmp_path / "out")
        window.press("Start")

    def close(window: Window) -> None:
        shown.append(window.GetItems()["Text"].Text)
        window.press("Ok")

    assert menu.run(names(world, Dispatcher([choose, close])), Broken(), console()) == 1
    assert "RuntimeError: a bug" in shown[0]


@pytest.mark.parametrize("windows", [True, False])
def test_without_windows_the_console_speaks(world: World, footage: Footage, tmp_path: Path, windows: bool) -> None:
    menu.remember(menu.PassSettings(output="ignored", exemplars=(str(footage.exemplars[0]),), handles=2))
    out = console()
    dispatcher = Dispatcher(makes_windows=False) if windows else None
    assert menu.run(names(world, dispatcher), Painter(), out) == 0
    assert "ColorMNet: no window here" in out.getvalue()
    assert "Rendering the plate of 'shot2' (100 %)" in out.getvalue()
    assert (tmp_path / "home" / "ColorMNet" / "Archive" / "colormnet-pass.json").exists()


def test_the_cancel_file(world: World, footage: Footage, tmp_path: Path) -> None:
    world.quirks.on_render_poll = lambda _done: (tmp_path / "cancel").write_text("")
    arguments = ["-o", str(tmp_path), "-e", str(footage.exemplars[0]), "--handles", "2"]
    assert cli.main(arguments, names(world, None), Painter(), console()) == 5
    world.quirks.on_render_poll = None
    arguments = ["-o", str(tmp_path)]
    assert cli.main([*arguments, "--resume"], names(world, None), Painter(), console()) == 0


def test_the_shell_command(world: World, footage: Footage, tmp_path: Path) -> None:
    out = console()
    arguments = [
        "-o",
        str(tmp_path),
        "-e",
        str(footage.exemplars[0]),
        "--track",
        "1",
        "--place",
        "track",
        "--handles",
        "1",
    ]
    assert cli.main(arguments, names(world, None), Painter(), out) == 0
    assert out.getvalue().count(": done - coloured, on track ColorMNet") == 3
    world.quirks.product = "DaVinci Resolve"
    assert cli.main(arguments, names(world, None), Painter(), out) == 2
    with pytest.raises(SystemExit) as error:
        cli.main(["--place", "nowhere"])
    assert error.value.code == 2


def test_a_shell_without_resolve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RESOLVE_SCRIPT_API", str(tmp_path))
    monkeypatch.delenv("RESOLVE_SCRIPT_LIB", raising=False)
    with pytest.raises(PassError, match="scripting module cannot be loaded"):
        connect.connect()
    modules = tmp_path / "Modules"
    modules.mkdir()
    (modules / "DaVinciResolveScript.py").write_text("def scriptapp(name):\n    return None\n")
    importlib.invalidate_caches()
    with pytest.raises(PassError, match=r"does not answer.*Local"):
        connect.connect()
    monkeypatch.delitem(sys.modules, "DaVinciResolveScript")
    assert str(modules) not in sys.path


def test_the_command_finds_the_pass(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "colormnet_host.resolve_command", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT / "plugin")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("colormnet-resolve ")


def test_the_installed_menu_script(
    world: World, footage: Footage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Resolve runs it: with its globals, without __file__, from the folder it was installed to."""
    home = tmp_path / "home"
    assert install_resolve.main(["--platform", "linux", "--home", str(home)], ROOT) == 0
    script = home / ".local/share/DaVinciResolve/Fusion/Scripts/Utility/ColorMNet Colorize.py"
    world.quirks.product = "DaVinci Resolve"
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    exec(compile(script.read_text(), "menu", "exec"), names(world, None))
    assert "free edition" in capsys.readouterr().out
    moved = script.read_text().replace(str(ROOT), str(tmp_path / "gone"))
    exec(compile(moved, "menu", "exec"), names(world, None))
    assert "run 'install.py host resolve' again" in capsys.readouterr().out


def test_the_script_in_the_tree_says_how_to_install_it(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "resolve" / "scripts" / "ColorMNet Colorize.py"))
    assert "install.py host resolve" in capsys.readouterr().out

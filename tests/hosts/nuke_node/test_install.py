"""``install.py host nuke``: one block in ~/.nuke/init.py, and out again without a trace."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from colormnet_host import install_nuke

ROOT = Path(__file__).resolve().parents[3]
MINE = b"# my own\r\nimport nuke\r\nnuke.tprint('caf\xc3\xa9')\r\n"


def run(folder: Path, *arguments: str) -> int:
    return install_nuke.main([*arguments, "--nuke-dir", str(folder)], ROOT)


@pytest.mark.parametrize("mine", [None, b"", MINE, b"x = 1"])
def test_install_again_and_undo_leave_the_users_lines(tmp_path: Path, mine: bytes | None) -> None:
    folder = tmp_path / ".nuke"
    init = folder / "init.py"
    if mine is not None:
        folder.mkdir()
        init.write_bytes(mine)
        init.chmod(0o640)
    assert run(folder, "--dry-run") == 0
    assert (init.read_bytes() if init.exists() else None) == mine
    assert run(folder) == 0
    once = init.read_bytes()
    assert mine is None or once.startswith(mine)
    assert str(ROOT / "nuke").encode() in once
    assert run(folder) == 0
    assert init.read_bytes() == once
    if mine:
        assert init.stat().st_mode & 0o777 == 0o640
    assert run(folder, "--undo", "--dry-run") == 0
    assert init.read_bytes() == once
    assert run(folder, "--undo") == 0
    left = init.read_bytes() if init.exists() else None
    assert left == (None if not mine else mine + (b"" if mine.endswith(b"\n") else b"\n"))
    assert run(folder, "--undo") == 0
    assert sorted(p.name for p in folder.iterdir()) == (["init.py"] if mine else [])


def test_lines_after_the_block_stay(tmp_path: Path) -> None:
    assert run(tmp_path) == 0
    init = tmp_path / "init.py"
    init.write_bytes(b"a = 1\n" + init.read_bytes() + b"b = 2\n")
    assert run(tmp_path) == 0
    assert run(tmp_path, "--undo") == 0
    assert init.read_bytes() == b"a = 1\nb = 2\n"


def test_a_damaged_block_is_not_guessed_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == 0
    init = tmp_path / "init.py"
    damaged = init.read_bytes().replace(install_nuke.END, b"")
    init.write_bytes(damaged)
    for arguments in ([], ["--undo"]):
        assert run(tmp_path, *arguments) == 2
        assert init.read_bytes() == damaged
    assert "remove them by hand" in capsys.readouterr().err


def test_a_linked_file_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.py"
    real.write_bytes(b"x = 1\n")
    folder = tmp_path / ".nuke"
    folder.mkdir()
    (folder / "init.py").symlink_to(real)
    assert run(folder) == 0
    assert (folder / "init.py").is_symlink()
    assert install_nuke.BEGIN in real.read_bytes()
    assert run(folder, "--undo") == 0
    assert real.read_bytes() == b"x = 1\n"


def test_an_unwritable_place_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".nuke").write_text("a file where the folder should be")
    assert run(tmp_path / ".nuke") == 2
    assert ".nuke" in capsys.readouterr().err
    assert run(tmp_path, "--whatever") == 2


def test_an_engine_elsewhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "en gine" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setenv("COLORMNET_VENV", str(tmp_path / "en gine"))
    assert run(tmp_path) == 0
    text = (tmp_path / "init.py").read_text()
    assert f'os.environ.setdefault("COLORMNET_PYTHON", "{python}")' in text


def test_places_and_names_on_other_systems() -> None:
    windows = install_nuke.user_folder("win32", {"USERPROFILE": "C:/Users/ann"}, "x")
    assert windows == os.path.join("C:/Users/ann", ".nuke")
    assert install_nuke.user_folder("linux", {"HOME": "/ignored"}, "/home/ann") == "/home/ann/.nuke"
    namespace: dict[str, str] = {}
    exec(f"x = {install_nuke.quoted('C:/Programme/Größe')}", namespace)
    assert namespace["x"] == "C:/Programme/Größe"


def test_the_block_loads_the_plugin_in_a_host(start_host, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert run(tmp_path) == 0
    host = start_host(plugin=False, gui=True)
    host.load_plugins(tmp_path)
    assert host.menu("Nodes").findItem("Draw/ColorMNet") is not None
    assert host.menu("Nodes").findItem("Color/ColorMNet") is not None
    assert host.menu("Nodes").findItem("ColorMNet").icon() == "ColorMNet.png"


def test_through_install_py(tmp_path: Path) -> None:
    environment = dict(os.environ, HOME=str(tmp_path))
    command = [sys.executable, str(ROOT / "install.py"), "host", "nuke", "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/.nuke/init.py would be made" in done.stdout
    assert list(tmp_path.iterdir()) == []

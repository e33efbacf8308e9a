"""`install.py host resolve`: the right folders on every system, duplicates, undo, dry run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from colormnet_host import install_resolve

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = {
    "darwin": (
        "Library/Application Support/Blackmagic Design/DaVinci Resolve/Fusion/Scripts/Utility",
        "Library/Application Support/Blackmagic Design/DaVinci Resolve/Support/Fusion/Fuses",
    ),
    "win32": (
        "AppData/Roaming/Blackmagic Design/DaVinci Resolve/Support/Fusion/Scripts/Utility",
        "AppData/Roaming/Blackmagic Design/DaVinci Resolve/Support/Fusion/Fuses",
    ),
    "linux": (".local/share/DaVinciResolve/Fusion/Scripts/Utility", ".local/share/DaVinciResolve/Fusion/Fuses"),
}


def everything(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()}


def install(home: Path, *arguments: str, platform: str = "linux") -> int:
    return install_resolve.main([*arguments, "--platform", platform, "--home", str(home)], ROOT)


@pytest.mark.parametrize("platform", sorted(FOLDERS))
def test_the_right_folders(tmp_path: Path, platform: str) -> None:
    assert install(tmp_path, platform=platform) == 0
    scripts, fuses = FOLDERS[platform]
    script = tmp_path / scripts / "ColorMNet Colorize.py"
    text = script.read_text()
    assert f'HOME = r"{ROOT}"' in text
    assert "@" not in text.split('"""', 2)[2].split("def ")[0]
    compile(text, str(script), "exec")
    fuse = tmp_path / fuses / "ColorMNet.fuse"
    assert fuse.read_bytes() == (ROOT / "resolve" / "fuses" / "ColorMNet.fuse").read_bytes()
    assert install(tmp_path, "--undo", platform=platform) == 0
    assert list(tmp_path.iterdir()) == [], "nothing stays, not even folders"


def test_the_fuse_goes_where_this_mac_has_its_fuses(tmp_path: Path) -> None:
    folder = tmp_path / "Library/Application Support/Blackmagic Design/DaVinci Resolve/Fusion/Fuses"
    folder.mkdir(parents=True)
    assert install(tmp_path, platform="darwin") == 0
    assert (folder / "ColorMNet.fuse").is_file()


def test_installing_twice_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(tmp_path)
    before = everything(tmp_path)
    assert install(tmp_path) == 0
    assert everything(tmp_path) == before
    assert capsys.readouterr().out.count("is up to date") == 2


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stale = tmp_path / FOLDERS["linux"][0] / "old" / "colormnet_colorize.py"
    stale.parent.mkdir(parents=True)
    stale.write_text("old")
    before = everything(tmp_path)
    assert install(tmp_path, "--dry-run") == 0
    assert everything(tmp_path) == before
    out = capsys.readouterr().out
    assert out.count("would write") == 2
    assert "would set aside" in out
    install(tmp_path)
    before = everything(tmp_path)
    assert install(tmp_path, "--undo", "--dry-run") == 0
    assert everything(tmp_path) == before


def test_stale_duplicates_are_set_aside_and_come_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / ".local/share/DaVinciResolve"
    stale = {
        data / "Fusion/Scripts/Edit/ColorMNet Colorize.py": "an older one",
        data / "Support/Fusion/Fuses/sub/ColorMNet.fuse": "an older Fuse",
        data / "Fusion/Fuses/ColorMNet.fuse": "in the very place",
    }
    for path, text in stale.items():
        path.parent.mkdir(parents=True)
        path.write_text(text)
    bystander = data / "Fusion/Scripts/Edit/Color Match.py"
    bystander.write_text("somebody else's")
    before = everything(tmp_path)
    assert install(tmp_path) == 0
    assert "found a stale duplicate" in capsys.readouterr().out
    names = [path.name for path in data.rglob("*") if path.is_file() and "colormnet-kept" not in path.parts]
    assert sorted(names) == ["Color Match.py", "ColorMNet Colorize.py", "ColorMNet.fuse", "colormnet-install.json"]
    assert install(tmp_path, "--undo") == 0
    assert everything(tmp_path) == before


def test_what_cannot_come_back_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stale = tmp_path / FOLDERS["linux"][0] / "old" / "ColorMNet Colorize.py"
    stale.parent.mkdir(parents=True)
    stale.write_text("an older one")
    install(tmp_path)
    stale.write_text("the editor's own since")
    assert install(tmp_path, "--undo") == 0
    assert stale.read_text() == "the editor's own since"
    kept = [path for path in tmp_path.rglob("*") if path.parent.name == "colormnet-kept"]
    assert [path.read_text() for path in kept] == ["an older one"]
    assert f"not brought back, something else is at {stale}: {kept[0]}" in capsys.readouterr().out


def test_stopped_half_way_it_can_be_undone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stale = tmp_path / FOLDERS["linux"][0] / "old" / "ColorMNet Colorize.py"
    stale.parent.mkdir(parents=True)
    stale.write_text("an older one")
    in_the_way = tmp_path / FOLDERS["linux"][1]
    in_the_way.write_text("a file where the folder of the Fuses belongs")
    assert install(tmp_path) == 2
    assert "cannot be written" in capsys.readouterr().out
    assert not stale.exists()
    assert install(tmp_path, "--undo") == 0
    assert stale.read_text() == "an older one"
    assert in_the_way.read_text() == "a file where the folder of the Fuses belongs"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["ColorMNet Colorize.py", "Fuses"]


def test_a_data_folder_elsewhere_counts_where_resolve_has_made_one(tmp_path: Path) -> None:
    elsewhere = {"XDG_DATA_HOME": str(tmp_path / "data")}
    usual = str(tmp_path / ".local" / "share" / "DaVinciResolve")
    assert install_resolve.places_for("linux", str(tmp_path), elsewhere).root == usual
    (tmp_path / "data" / "DaVinciResolve").mkdir(parents=True)
    found = install_resolve.places_for("linux", str(tmp_path), elsewhere)
    assert found.root == str(tmp_path / "data" / "DaVinciResolve")


def test_a_file_changed_since_stays(tmp_path: Path) -> None:
    install(tmp_path)
    fuse = tmp_path / FOLDERS["linux"][1] / "ColorMNet.fuse"
    fuse.write_text("tinkered with")
    assert install(tmp_path, "--undo") == 0
    assert fuse.read_text() == "tinkered with"


def test_an_update_replaces_its_own_file_without_keeping_it(tmp_path: Path) -> None:
    install(tmp_path)
    receipt = tmp_path / ".local/share/DaVinciResolve/colormnet-install.json"
    data = json.loads(receipt.read_text())
    fuse = tmp_path / FOLDERS["linux"][1] / "ColorMNet.fuse"
    fuse.write_text("an older version")
    data["files"][str(fuse)] = install_resolve._digest(str(fuse))
    receipt.write_text(json.dumps(data))
    assert install(tmp_path) == 0
    assert "FuRegisterClass" in fuse.read_text()
    assert not (tmp_path / ".local/share/DaVinciResolve/colormnet-kept").exists()


def test_errors_are_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".local").write_text("a file in the way")
    assert install(tmp_path) == 2
    assert "check its permissions" in capsys.readouterr().out
    other = tmp_path / "other"
    root = other / ".local/share/DaVinciResolve"
    root.mkdir(parents=True)
    (root / "colormnet-install.json").write_text("{")
    assert install(other) == 2
    assert "move it aside" in capsys.readouterr().out
    assert install(tmp_path / "third", "--undo") == 0
    assert "Nothing to undo" in capsys.readouterr().out


def test_by_install_py(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "install.py"),
        "host",
        "resolve",
        "--home",
        str(tmp_path),
        "--platform",
        "linux",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "Workspace > Scripts > ColorMNet Colorize" in done.stdout
    assert (tmp_path / FOLDERS["linux"][1] / "ColorMNet.fuse").is_file()

"""``install.py host resolve``: put the menu script and the Fuse where DaVinci Resolve looks for them.

Standard library only, Python 3.6 on. Nothing outside the user's own Resolve folders is written. What was in the way is
kept and comes back with ``--undo``; a receipt beside the installed files says what was done.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
from typing import Any, Dict, List, NamedTuple, Tuple

SCRIPT = "ColorMNet Colorize.py"
FUSE = "ColorMNet.fuse"
RECEIPT = "colormnet-install.json"
KEPT = "colormnet-kept"  # folder of what was in the way
CREATED = "created_folders"


class InstallError(Exception):
    """The installation cannot go on; one sentence that says what to do."""


class Places(NamedTuple):
    """Folders of one user's Resolve."""

    root: str  # holds the receipt
    scripts: str  # the "Utility" menu: scripts there show on every page
    fuses: str
    script_roots: Tuple[str, ...]  # wherever scripts may lie, for finding duplicates
    fuse_roots: Tuple[str, ...]


def places_for(platform: str, home: str, environment: Dict[str, str]) -> Places:
    """The folders on ``platform`` ("darwin", "win32" or "linux") for a home folder."""
    join = os.path.join
    if platform == "darwin":
        root = join(home, "Library", "Application Support", "Blackmagic Design", "DaVinci Resolve")
        shared = join("/Library", "Application Support", "Blackmagic Design", "DaVinci Resolve")
        scripts = join(root, "Fusion", "Scripts")
        # Both places have been seen; whichever Resolve has made itself is the one it reads.
        both = (join(root, "Support", "Fusion", "Fuses"), join(root, "Fusion", "Fuses"))
        fuses = both[1] if os.path.isdir(both[1]) and not os.path.isdir(both[0]) else both[0]
        script_roots = (scripts, join(root, "Support", "Fusion", "Scripts"), join(shared, "Fusion", "Scripts"))
        fuse_roots: Tuple[str, ...] = (*both, join(shared, "Fusion", "Fuses"))
    elif platform.startswith("win"):
        roaming = environment.get("APPDATA") or join(home, "AppData", "Roaming")
        root = join(roaming, "Blackmagic Design", "DaVinci Resolve")
        shared = join(environment.get("PROGRAMDATA", r"C:\ProgramData"), "Blackmagic Design", "DaVinci Resolve")
        scripts = join(root, "Support", "Fusion", "Scripts")
        fuses = join(root, "Support", "Fusion", "Fuses")
        script_roots = (scripts, join(root, "Fusion", "Scripts"), join(shared, "Fusion", "Scripts"))
        fuse_roots = (fuses, join(root, "Fusion", "Fuses"), join(shared, "Fusion", "Fuses"))
    else:
        root = join(home, ".local", "share", "DaVinciResolve")
        moved = join(environment.get("XDG_DATA_HOME") or "", "DaVinciResolve")
        if os.path.isabs(moved) and os.path.isdir(moved):
            root = moved  # Resolve made it itself; nothing says that it always follows the variable
        scripts = join(root, "Fusion", "Scripts")
        fuses = join(root, "Fusion", "Fuses")
        script_roots = (scripts, join(root, "Support", "Fusion", "Scripts"), "/opt/resolve/Fusion/Scripts")
        fuse_roots = (fuses, join(root, "Support", "Fusion", "Fuses"), "/opt/resolve/Fusion/Fuses")
    return Places(root, join(scripts, "Utility"), fuses, script_roots, fuse_roots)


def _ours(name: str) -> bool:
    lower = name.lower()
    return lower.startswith("colormnet") and lower.endswith((".py", ".lua", ".fuse"))


def find_duplicates(places: Places, targets: List[str]) -> List[str]:
    """Other copies of the script or the Fuse that Resolve would also show, wherever it looks."""
    known = {os.path.normcase(os.path.realpath(path)) for path in targets}
    found = []
    for top in (*places.script_roots, *places.fuse_roots):
        for folder, folders, names in os.walk(top):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if _ours(name) and os.path.normcase(os.path.realpath(path)) not in known and path not in found:
                    found.append(path)
    return found


def engine_python(root: str, environment: Dict[str, str]) -> str:
    """The engine's interpreter as ``install.py setup`` makes it; "" where there is none yet."""
    chosen = environment.get("COLORMNET_VENV")
    folder = os.path.abspath(os.path.expanduser(chosen)) if chosen else os.path.join(root, ".venv")
    for parts in (("bin", "python"), ("Scripts", "python.exe")):
        path = os.path.join(folder, *parts)
        if os.path.isfile(path):
            return path
    return ""


def script_text(root: str, python: str) -> str:
    """The menu script with the folders written into it: it has no ``__file__`` when Resolve runs it."""
    source = os.path.join(root, "resolve", "scripts", SCRIPT)
    with open(source, encoding="utf-8") as stream:
        text = stream.read()
    for mark, value in (("@COLORMNET_HOME@", root), ("@COLORMNET_PYTHON@", python)):
        if mark not in text:
            raise InstallError("{0} is not the script of this version: get ColorMNet anew.".format(source))
        if '"' in value or value.endswith("\\"):
            raise InstallError("{0} cannot be written into a script: move ColorMNet to a plain path.".format(value))
        text = text.replace(mark, value)
    return text


def _digest(path: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def _write(path: str, content: bytes) -> None:
    temporary = path + ".part"
    with open(temporary, "wb") as stream:
        stream.write(content)
    os.replace(temporary, path)


class Installer:
    """Installs and takes out again; with ``dry`` it only says what it would do."""

    def __init__(self, places: Places, root: str, dry: bool) -> None:
        self.places = places
        self.root = root
        self.dry = dry
        self.receipt_path = os.path.join(places.root, RECEIPT)
        self.receipt = self._load()

    def _load(self) -> Dict[str, Any]:
        if not os.path.isfile(self.receipt_path):
            return {"version": 1, "files": {}, "kept": {}, CREATED: []}
        try:
            with open(self.receipt_path, encoding="utf-8") as stream:
                receipt: Dict[str, Any] = json.load(stream)
            if receipt["version"] != 1 or not all(isinstance(receipt[key], dict) for key in ("files", "kept")):
                raise ValueError("unknown version")
            return receipt
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InstallError(
                "The receipt {0} cannot be read ({1}): move it aside and try again.".format(self.receipt_path, error)
            ) from error

    def _save(self) -> None:
        if not self.dry:
            self._make_folder(self.places.root)
            _write(self.receipt_path, json.dumps(self.receipt, indent=2, sort_keys=True).encode("ascii"))

    def _say(self, text: str) -> None:
        print(("would " if self.dry else "") + text)

    def _make_folder(self, folder: str) -> None:
        missing = []
        while folder and not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        for each in reversed(missing):
            os.mkdir(each)
            self.receipt[CREATED].append(each)

    def _keep(self, path: str) -> None:
        """Move a file out of the way, so that ``--undo`` can bring it back."""
        self._say("set aside {0}".format(path))
        if self.dry:
            return
        folder = os.path.join(self.places.root, KEPT)
        self._make_folder(folder)
        place = os.path.join(folder, "{0}-{1}".format(_digest(path)[:12], os.path.basename(path)))
        shutil.move(path, place)
        self.receipt["kept"][path] = place

    def install(self) -> int:
        """Put script and Fuse in place; 0, or 2 with a sentence where a duplicate cannot be set aside."""
        python = engine_python(self.root, dict(os.environ))
        with open(os.path.join(self.root, "resolve", "fuses", FUSE), "rb") as stream:
            fuse = stream.read()
        wanted = {
            os.path.join(self.places.scripts, SCRIPT): script_text(self.root, python).encode("utf-8"),
            os.path.join(self.places.fuses, FUSE): fuse,
        }
        try:
            stubborn = self._set_duplicates_aside(list(wanted))
            for path, content in sorted(wanted.items()):
                self._put(path, content)
        finally:
            self._save()  # also where it stops half-way: what was set aside must come back
        if not python:
            print("note: the engine is not set up yet: run 'install.py setup' before the first pass.")
        print("In Resolve: Workspace > Scripts > ColorMNet Colorize (restart Resolve once for the Fuse).")
        if stubborn:
            print("These copies belong to all users and would show twice; have them removed: " + ", ".join(stubborn))
            return 2
        return 0

    def _set_duplicates_aside(self, targets: List[str]) -> List[str]:
        stubborn = []
        for path in find_duplicates(self.places, targets):
            inside = os.path.realpath(path).startswith(os.path.realpath(self.places.root) + os.sep)
            if inside and os.access(os.path.dirname(path), os.W_OK):
                print("found a stale duplicate: {0}".format(path))
                self._keep(path)
            else:
                stubborn.append(path)
        return stubborn

    def _put(self, path: str, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        if os.path.isfile(path):
            present = _digest(path)
            if present == digest:
                print("is up to date: {0}".format(path))
                self.receipt["files"][path] = digest
                return
            if present != self.receipt["files"].get(path):
                self._keep(path)  # not what was installed before: somebody's own
        self._say("write {0}".format(path))
        if not self.dry:
            self._make_folder(os.path.dirname(path))
            _write(path, content)
            self.receipt["files"][path] = digest

    def undo(self) -> int:
        """Take out what was installed and bring back what was set aside."""
        if not os.path.isfile(self.receipt_path):
            print("Nothing to undo: there is no {0}.".format(self.receipt_path))
            return 0
        for path, digest in sorted(self.receipt["files"].items()):
            if not os.path.isfile(path):
                continue
            if _digest(path) != digest:
                print("left in place, it was changed since: {0}".format(path))
                continue
            self._say("remove {0}".format(path))
            if not self.dry:
                os.unlink(path)
        for path, kept in sorted(self.receipt["kept"].items()):
            if os.path.isfile(kept) and not os.path.exists(path):
                self._say("bring back {0}".format(path))
                if not self.dry:
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    shutil.move(kept, path)
            elif os.path.isfile(kept):
                print("not brought back, something else is at {0}: {1}".format(path, kept))
        if not self.dry:
            os.unlink(self.receipt_path)
            for folder in reversed(self.receipt[CREATED]):
                if os.path.isdir(folder) and not os.listdir(folder):
                    os.rmdir(folder)
        return 0


def main(argv: List[str], root: Any) -> int:
    """Run ``install.py host resolve ARGV``; the exit code: 0 done, 2 something needs the user."""
    parser = argparse.ArgumentParser(prog="install.py host resolve", description="Add ColorMNet to DaVinci Resolve.")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, do nothing")
    parser.add_argument("--undo", action="store_true", help="take out what was installed")
    parser.add_argument("--platform", default=sys.platform, help="darwin, win32 or linux (default: this machine's)")
    parser.add_argument("--home", default=os.path.expanduser("~"), help="home folder (default: yours)")
    options = parser.parse_args(argv)
    environment = dict(os.environ)
    if os.path.abspath(options.home) != os.path.abspath(os.path.expanduser("~")):
        # Another home is another user: this one's own folders do not count.
        for name in ("APPDATA", "XDG_DATA_HOME"):
            environment.pop(name, None)
    try:
        places = places_for(options.platform, os.path.abspath(options.home), environment)
        installer = Installer(places, os.path.abspath(str(root)), options.dry_run)
        return installer.undo() if options.undo else installer.install()
    except InstallError as error:
        print(str(error))
        return 2
    except OSError as error:
        print("{0} cannot be written ({1}): check its permissions.".format(error.filename, error.strerror))
        return 2

"""``install.py host nuke``: one marked block in ``~/.nuke/init.py`` that puts the plugin's folder on Nuke's path.

Standard library only, Python 3.6 on. Asks nothing, may be run again, is taken back by ``--undo``; Nuke's own folder is
never touched, and what else is in the file stays byte for byte.
"""

import argparse
import os
import stat
import sys
import tempfile
from typing import Any, Dict, List, Optional, Tuple

BEGIN = b"# >>> ColorMNet (added by install.py host nuke; install.py host nuke --undo removes it)"
END = b"# <<< ColorMNet"


class InstallError(Exception):
    """The installation cannot go on; one sentence that says what to do."""


def user_folder(platform: str, environment: Dict[str, str], home: str) -> str:
    """Where Nuke looks for the user's ``init.py``: ``.nuke`` in the home folder (HOME first on Windows as well)."""
    base = home
    if platform.startswith("win"):
        base = environment.get("HOME") or environment.get("USERPROFILE") or home
    return os.path.join(base, ".nuke")


def block(nuke_folder: str, python: Optional[str], newline: bytes) -> bytes:
    """The lines to add. ``python``: the engine's interpreter where the plugin would not find it by itself."""
    lines = [BEGIN.decode(), "import nuke"]
    if python:
        lines += ["import os", "os.environ.setdefault(%s, %s)" % (quoted("COLORMNET_PYTHON"), quoted(python))]
    lines += ["nuke.pluginAddPath(%s)" % quoted(nuke_folder.replace("\\", "/")), END.decode()]
    return newline.join(line.encode("utf-8") for line in lines) + newline


def quoted(text: str) -> str:
    """A Python string literal in plain ASCII, whatever the file's encoding is."""
    return '"%s"' % text.encode("unicode_escape").decode("ascii").replace('"', '\\"')


def split(content: bytes, path: str) -> Tuple[bytes, bytes]:
    """What is before and after our block (all and nothing where there is none).

    Raises InstallError where the block is damaged, because then it cannot be told what is the user's.
    """
    starts, ends = content.count(BEGIN), content.count(END)
    if not starts and not ends:
        return content, b""
    first, last = content.find(BEGIN), content.find(END)
    if starts != 1 or ends != 1 or last < first:
        raise InstallError(
            "%s: the lines between '%s...' and '%s' were changed; remove them by hand and run this again."
            % (path, BEGIN[:14].decode(), END.decode())
        )
    rest = content[last + len(END) :]
    for newline in (b"\r\n", b"\n"):
        if rest.startswith(newline):
            rest = rest[len(newline) :]
            break
    return content[:first], rest


def write(path: str, content: bytes) -> None:
    """Replace a file at once, keeping its mode; a link keeps pointing where it points."""
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    os.makedirs(folder, exist_ok=True)
    mode = stat.S_IMODE(os.stat(target).st_mode) if os.path.exists(target) else 0o644
    handle, temporary = tempfile.mkstemp(prefix=".init-", suffix=".tmp", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def engine_python(root: str, environment: Dict[str, str]) -> Tuple[Optional[str], bool]:
    """(interpreter to name in the block, whether the engine is set up). None where the plugin finds it by itself."""
    chosen = environment.get("COLORMNET_VENV")
    folder = chosen or os.path.join(root, ".venv")
    for part in (("bin", "python"), ("Scripts", "python.exe")):
        python = os.path.join(folder, *part)
        if os.path.isfile(python):
            return (os.path.abspath(python) if chosen else None), True
    return None, False


def main(argv: List[str], root: Any) -> int:
    """Run with the arguments after ``host nuke``; ``root`` is the checkout. Exit code: 0 done, 2 not possible."""
    parser = argparse.ArgumentParser(prog="install.py host nuke", description="Add ColorMNet to Nuke, or take it out.")
    parser.add_argument("--dry-run", "-n", action="store_true", help="say what would be done, change nothing")
    parser.add_argument("--undo", action="store_true", help="take it out again")
    parser.add_argument("--nuke-dir", help="your .nuke folder, where it is not in the home folder")
    try:
        options = parser.parse_args(argv)
    except SystemExit as leaving:
        return 0 if leaving.code in (0, None) else 2
    chosen = options.nuke_dir or user_folder(sys.platform, dict(os.environ), os.path.expanduser("~"))
    try:
        for line in (undo if options.undo else install)(str(chosen), str(root), options.dry_run):
            print(line)
    except (InstallError, OSError) as error:
        sys.stderr.write("%s\n" % error)
        return 2
    return 0


def install(folder: str, root: str, dry_run: bool) -> List[str]:
    """Add or renew the block; what was done, in lines. Raises InstallError, OSError."""
    path = os.path.join(folder, "init.py")
    content = read(path)
    plugin = os.path.join(os.path.abspath(root), "nuke")
    if not os.path.isfile(os.path.join(plugin, "init.py")):
        raise InstallError("%s is not there; run this from a complete copy of ColorMNet." % plugin)
    python, ready = engine_python(root, dict(os.environ))
    before, after = split(content or b"", path)
    newline = b"\r\n" if b"\r\n" in before + after else b"\n"
    if before and not before.endswith(b"\n"):
        before += newline
    added = block(plugin, python, newline)
    new = before + added + after
    notes = [] if ready else ["The engine is not set up yet: run 'python3 install.py setup' before pressing Colorize."]
    if new == content:
        return ["%s has ColorMNet already; nothing to do." % path, *notes]
    if dry_run:
        verb = "changed" if content is not None else "made"
        return ["%s would be %s to hold:" % (path, verb), added.decode("utf-8").rstrip(), *notes]
    write(path, new)
    return ["%s now adds %s." % (path, plugin), "Start Nuke: the node is in Nodes > Draw > ColorMNet.", *notes]


def undo(folder: str, root: str, dry_run: bool) -> List[str]:
    """Remove the block, and the file if nothing else is in it; what was done, in lines. Raises as `install`."""
    path = os.path.join(folder, "init.py")
    content = read(path)
    if content is None or (BEGIN not in content and END not in content):
        return ["%s does not have ColorMNet; nothing to do." % path]
    before, after = split(content, path)
    rest = before + after
    if dry_run:
        return ["%s would %s." % (path, "lose the ColorMNet lines" if rest.strip() else "be deleted")]
    if rest.strip() or os.path.islink(path):
        write(path, rest)
        return ["%s no longer has ColorMNet." % path]
    os.unlink(path)
    return ["%s held nothing else and is deleted." % path]


def read(path: str) -> Optional[bytes]:
    """The file's content, None where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None

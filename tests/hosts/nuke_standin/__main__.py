"""The stand-in as a program, with as much of the host's command line as render scripts use.

::

    python nuke_standin -t SCRIPT.py [ARGUMENT...]      terminal Python
    python nuke_standin -x [-F RANGE]... [-X NODE] [-V VIEW,...] [--cont] SCRIPT.nk     render
"""

import importlib.util
import os
import runpy
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent


def _package():  # type: ignore[no-untyped-def]
    if "nuke_standin" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "nuke_standin", HERE / "__init__.py", submodule_search_locations=[str(HERE)]
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules["nuke_standin"] = module
        spec.loader.exec_module(module)
    return sys.modules["nuke_standin"]


def main(arguments: list[str]) -> int:
    """Run and return the exit code, as the host would."""
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
    host = _package().Host(gui=False, arguments=tuple(arguments))
    host.load_plugins(*[Path(p) for p in os.environ.get("NUKE_PATH", "").split(os.pathsep) if p])
    if arguments[:1] == ["-t"]:
        sys.argv = arguments[1:]
        runpy.run_path(arguments[1], run_name="__main__")
        return 0
    return _render(host, arguments)


def _render(host, arguments: list[str]) -> int:  # type: ignore[no-untyped-def]
    ranges, only, views, going, script = [], None, None, False, None
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "-F":
            ranges.append(rest.pop(0))
        elif word == "-X":
            only = rest.pop(0)
        elif word == "--view":
            views = rest.pop(0).split(",")
        elif word == "--cont":
            going = True
        elif word != "-x":
            script = word
    nuke = host.module
    nuke.scriptOpen(script)
    writes = [n for n in nuke.allNodes("Write") if not n["disable"].value() and only in (None, n.name())]
    failed = 0
    for write in writes:
        root = nuke.root()
        text = " ".join(ranges) or f"{root.firstFrame()}-{root.lastFrame()}"
        try:
            nuke.execute(write, nuke.FrameRanges(text), views or nuke.views(), going)
        except RuntimeError as error:
            print(f"Error: {write.name()}: {error}", file=sys.stderr)
            failed = 1
        except Exception:
            traceback.print_exc()
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

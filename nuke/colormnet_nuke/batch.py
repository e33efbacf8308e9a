"""Colorize without a GUI: ``nuke -t colorize.py SCRIPT [--node NAME]... [--frames 1001-1100] [--views left,right]``.

Exit codes: 0 done, 2 bad usage or input, 3 missing or wrong weights, 4 device failure, 5 interrupted (run it again to
go on), 1 anything else. The script is not saved; a render of it finds the frames by itself.
"""

import argparse
import os
import signal
import sys
from types import FrameType
from typing import List, Optional, Sequence

import nuke

from . import job, names, settings
from .problems import NodeError, SetupError, StoppedError


def _interrupt(signum: int, frame: Optional[FrameType]) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str]) -> int:
    """Run and return the exit code."""
    parser = argparse.ArgumentParser(prog="nuke -t colorize.py", description="Colorize ColorMNet nodes of a script.")
    parser.add_argument("script", help="the .nk file")
    parser.add_argument("--node", action="append", default=[], help="full name of a node; all when not given")
    parser.add_argument("--frames", default="", help="such as 1001-1100; the node's range when not given")
    parser.add_argument("--views", default="", help="with commas; the node's when not given")
    try:
        options = parser.parse_args(list(argv))
    except SystemExit as leaving:
        return int(leaving.code or 0)
    before = signal.signal(signal.SIGTERM, _interrupt)  # what farms send to stop a task
    try:
        return _run(options)
    except StoppedError as problem:  # no error: what is done stays
        sys.stderr.write("%s\n" % problem)
        return problem.exit_code
    except NodeError as problem:
        sys.stderr.write("Error: %s\n" % problem)
        return problem.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted; run it again to go on.\n")
        return 5
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(options: argparse.Namespace) -> int:
    if not os.path.isfile(options.script):
        raise SetupError("%s does not exist" % options.script)
    nuke.scriptOpen(options.script)
    for node in _nodes(options.node):
        frames = settings.frame_list(options.frames, "--frames") if options.frames else None
        views: Optional[List[str]] = [v for v in options.views.split(",") if v] or None
        done = job.colorize(node, frames, views)
        nuke.tprint(
            "%s: %d frames coloured, %d were there already, in %s"
            % (node.fullName(), done.coloured, done.reused, done.folder)
        )
    return 0


def _nodes(wanted: List[str]) -> "List[nuke.Group]":
    found = names.all_ours()
    if not wanted:
        if not found:
            raise SetupError("The script has no ColorMNet node")
        return [node for node in found if not node["disable"].value()]
    by_name = {node.fullName(): node for node in found}
    for name in wanted:
        if name not in by_name:
            raise SetupError("The script has no ColorMNet node %s; it has: %s" % (name, ", ".join(by_name) or "none"))
    return [by_name[name] for name in wanted]

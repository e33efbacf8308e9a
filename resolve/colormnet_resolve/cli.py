"""``colormnet-resolve``: the pass from a shell, beside a running Resolve Studio (also ``resolve -nogui``)."""

import argparse
import os
import sys
from typing import Any, Dict, List, Optional, TextIO

from . import __version__
from .colouring import Colourist
from .connect import check_edition, connect, ui_parts
from .errors import PassError
from .manifest import CANCELLED, FAILED
from .progress import Reporter, reporter_for
from .runner import Summary, exit_code, run_pass
from .settings import DELIVERIES, MARKER_COLOURS, MODELS, PLACEMENTS, PassSettings


def parser() -> argparse.ArgumentParser:
    """The command line's arguments."""
    made = argparse.ArgumentParser(
        prog="colormnet-resolve",
        description="Colour black-and-white clips of the open DaVinci Resolve timeline; the result comes as new takes.",
        epilog="Exit codes: 0 done, 2 bad usage or a clip failed, 3 weights, 4 device, 5 cancelled (resumable).",
    )
    base = PassSettings()
    made.add_argument("-o", "--output", required=True, help="folder for the coloured frames and the manifest")
    made.add_argument(
        "-e",
        "--exemplar",
        action="append",
        dest="exemplars",
        metavar="WHAT",
        help="an image file, 'still' (frame under the playhead), 'still@01:00:05:00', or 'markers'; may be repeated",
    )
    which = made.add_mutually_exclusive_group()
    which.add_argument("--selected", action="store_true", help="clips whose source is selected in the media pool")
    which.add_argument("--track", type=int, nargs="?", const=0, help="a whole video track (default: the playhead's)")
    which.add_argument(
        "--marker", choices=MARKER_COLOURS, metavar="COLOUR", help="clips that carry a marker of this colour"
    )
    which.add_argument(
        "--resume", action="store_true", help="go on with what a pass left undone in --output, as it began"
    )
    made.add_argument(
        "--handles", type=int, default=base.handles, help="extra frames at both ends (default %(default)s)"
    )
    made.add_argument("--model", default=base.model, choices=MODELS)
    made.add_argument(
        "--space", default=base.space, help="OCIO space of the timeline's output (default: asked of Resolve)"
    )
    made.add_argument("--working-size", type=int, default=base.working_size, metavar="PIXELS")
    made.add_argument("--saturation", type=float, default=base.saturation)
    made.add_argument("--place", choices=PLACEMENTS, default=base.placement, help="a new take (default) or a new track")
    made.add_argument(
        "--deliver", choices=DELIVERIES, default=base.delivery, help="kind of media (default %(default)s)"
    )
    made.add_argument("--direct", action="store_true", help="read ungraded image sequences without a render")
    made.add_argument("--source-space", default="", help="OCIO space of sources read with --direct")
    made.add_argument(
        "--patience", type=float, default=base.patience, metavar="SECONDS", help="for a render that stands still"
    )
    made.add_argument("--device", default="auto", help="device of the worker (default %(default)s)")
    made.add_argument("--version", action="version", version="colormnet-resolve " + __version__)
    return made


def settings_of(options: argparse.Namespace) -> PassSettings:
    """The settings a command line means."""
    select = "playhead"
    if options.selected:
        select = "selected"
    elif options.track is not None:
        select = "track"
    elif options.marker:
        select = "marker"
    return PassSettings(
        output=options.output,
        exemplars=tuple(options.exemplars or ("still",)),
        select=select,
        track=options.track or 0,
        marker_colour=options.marker or "",
        handles=options.handles,
        model=options.model,
        space=options.space,
        working_size=options.working_size,
        saturation=options.saturation,
        placement=options.place,
        delivery=options.deliver,
        direct=options.direct,
        source_space=options.source_space,
        patience=options.patience,
    )


def summary_lines(summary: Summary) -> List[str]:
    """The outcome in words, one line per clip."""
    lines = ["{0}: {1}{2}".format(o.name, o.state, " - " + o.message if o.message else "") for o in summary.outcomes]
    lines += ["{0}: left out - {1}".format(r.name, r.reason) for r in summary.refusals]
    if any(o.state in (CANCELLED, FAILED) for o in summary.outcomes):
        lines.append("Run the pass again with --resume (or 'Resume' in the window) to take up what is left.")
    return lines


def main(
    argv: Optional[List[str]] = None,
    namespace: Optional[Dict[str, Any]] = None,
    colourist: Optional[Colourist] = None,
    stream: Optional[TextIO] = None,
) -> int:
    """Run the command; the exit code. ``namespace``, ``colourist`` and ``stream`` are for embedding and tests."""
    out = stream or sys.stdout
    options = parser().parse_args(argv)
    reporter: Optional[Reporter] = None
    own = colourist
    try:
        resolve = connect(namespace)
        check_edition(resolve)
        settings = settings_of(options)
        cancel_file = os.path.join(os.path.abspath(os.path.expanduser(settings.output)), "cancel")
        reporter = reporter_for(ui_parts(resolve, namespace), cancel_file, out)
        if own is None:
            own = Colourist(launcher_for(options.device))
        summary = run_pass(resolve, settings, reporter, own, resume=options.resume)
    except PassError as error:
        out.write("colormnet-resolve: {0}\n".format(error))
        return error.exit_code
    except KeyboardInterrupt:
        out.write("colormnet-resolve: interrupted; run it again with --resume.\n")
        return 5
    finally:
        if reporter is not None:
            reporter.close()
        if own is not None and colourist is None:
            own.close()
    for line in summary_lines(summary):
        out.write("colormnet-resolve: {0}\n".format(line))
    return exit_code(summary)


def launcher_for(device: str) -> Any:
    """The worker's launcher for a device; raises PassError when the plugin folder is not found."""
    try:
        from colormnet_host.launcher import Launcher
    except ImportError as error:
        raise PassError(
            "The ColorMNet plugin folder cannot be found ({0}): run 'install.py host resolve' again.".format(error)
        ) from error
    return Launcher(device=device)

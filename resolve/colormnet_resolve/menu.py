"""Entry of the menu script (Workspace > Scripts > ColorMNet Colorize): a window, else the console."""

import json
import os
import sys
import traceback
from typing import Any, Dict, List, Optional, TextIO, Tuple

from .checks import need
from .cli import launcher_for, summary_lines
from .colouring import Colourist
from .connect import check_edition, connect, ui_parts
from .dialog import ask_settings, show_message
from .errors import PassError
from .manifest import write_atomically
from .progress import reporter_for
from .runner import run_pass
from .settings import DELIVERIES, MODELS, PLACEMENTS, SELECTIONS, PassSettings

CHOICES: Dict[str, Tuple[str, ...]] = {
    "select": SELECTIONS,
    "placement": PLACEMENTS,
    "delivery": DELIVERIES,
    "model": MODELS,
}


def remembered_path() -> str:
    """Where the last settings are kept, per user."""
    folder = os.environ.get("COLORMNET_HOME") or os.path.join(os.path.expanduser("~"), ".colormnet")
    return os.path.join(folder, "resolve.json")


def remember(settings: PassSettings) -> None:
    """Keep the settings for the next time; a read-only home is no reason to fail."""
    path = remembered_path()
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_atomically(path, json.dumps(dict(settings._asdict()), indent=2))
    except OSError as error:
        sys.stderr.write("ColorMNet: the settings are not remembered ({0}).\n".format(error))


def remembered(project_name: str) -> PassSettings:
    """The last settings, or the defaults with a folder of the project's name."""
    folder = os.path.join(os.path.expanduser("~"), "ColorMNet", project_name or "untitled")
    base = PassSettings(output=folder)
    try:
        with open(remembered_path(), encoding="utf-8") as stream:
            data = json.load(stream)
        kept = {key: value for key, value in data.items() if key in base._fields and key != "output"}
        kept["exemplars"] = tuple(kept.get("exemplars", base.exemplars))
        for name, value in kept.items():
            default = getattr(base, name)
            fits = isinstance(value, (int, float)) if type(default) is float else type(value) is type(default)
            if not fits or value not in CHOICES.get(name, (value,)):
                return base  # of another version, or edited by hand
        return base._replace(**kept)
    except (OSError, ValueError, AttributeError, TypeError):
        return base


def run(namespace: Dict[str, Any], colourist: Optional[Colourist] = None, stream: Optional[TextIO] = None) -> int:
    """Run the pass from the menu; the exit code. Never ends without a word: errors go to a window and the console."""
    out = stream or sys.stdout
    parts: List[Any] = []
    try:
        resolve = connect(namespace)
        check_edition(resolve)
        parts = ui_parts(resolve, namespace)
        return _run(resolve, parts, colourist, out)
    except PassError as error:
        return _tell(parts, str(error), out, error.exit_code)
    except Exception:  # the last resort of an entry point: Resolve would show nothing at all
        return _tell(parts, "Something unforeseen went wrong; please report this:\n" + traceback.format_exc(), out, 1)


def _tell(parts: List[Any], text: str, out: TextIO, code: int) -> int:
    out.write("ColorMNet: {0}\n".format(text))
    out.flush()
    if len(parts) == 2:
        show_message(parts[0], parts[1], text)
    return code


def _run(resolve: Any, parts: List[Any], colourist: Optional[Colourist], out: TextIO) -> int:
    from .runner import exit_code

    manager = need(resolve.GetProjectManager(), "The project manager cannot be reached: open a project and try again.")
    project = need(manager.GetCurrentProject(), "No project is open: open one and try again.")
    timeline = need(project.GetCurrentTimeline(), "No timeline is open: open the timeline with the clips to colour.")
    settings = remembered(str(project.GetName() or ""))
    resume = False
    answer = ask_settings(parts[0], parts[1], timeline, settings) if len(parts) == 2 else None
    if answer is not None:
        word, settings = answer
        if word == "cancel":
            out.write("ColorMNet: cancelled before anything was done.\n")
            return 0
        resume = word == "resume"
        remember(settings)
    else:
        out.write("ColorMNet: no window here; using the last settings, output to {0}.\n".format(settings.output))
        out.write("ColorMNet: to cancel, make a file named 'cancel' in that folder.\n")
    reporter = reporter_for(parts, os.path.join(settings.output, "cancel"), out)
    own = colourist or Colourist(launcher_for("auto"))
    try:
        summary = run_pass(resolve, settings, reporter, own, resume=resume)
    finally:
        reporter.close()
        if colourist is None:
            own.close()
    lines = summary_lines(summary)
    said = "\n".join(lines)
    lines += [text for text in reporter.told() if text not in said]
    return _tell(parts, "\n".join(lines), out, exit_code(summary))

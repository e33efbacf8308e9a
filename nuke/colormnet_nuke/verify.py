"""Before a render: is the colour there for the frames asked? Verifies only; never computes.

``beforeRender`` and ``beforeFrameRender`` stop the render by raising. The range asked for is not known to a callback
in every mode, so what is known beforehand is checked beforehand and each frame once more as it comes.
"""

import os
import re
from typing import Iterator, List, Optional, Tuple

import nuke

from . import names, results, settings, upstream
from .problems import SetupError

TOOL = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "colorize.py").replace("\\", "/")


class NotReadyError(RuntimeError):
    """The render must not go on; the message is one line that says what to run."""


def before_render() -> None:
    """Check each ColorMNet node above the Write: made from its present settings, complete for the frames known."""
    write = _this_write()
    frames, views = asked_frames(write), asked_views()
    for node in _ours_above(write):
        _fresh(node)
        missing = missing_frames(node, frames or (), views)
        if missing:
            raise NotReadyError(_advice(node, "has no colour for %s" % _some(missing)))


def before_frame() -> None:
    """Check the frame about to be rendered."""
    frame, view = int(nuke.frame()), str(nuke.thisView())
    views = (view,) if view in nuke.views() else asked_views()
    for node in _ours_above(_this_write()):
        if missing_frames(node, (frame,), views):
            raise NotReadyError(_advice(node, "has no colour for frame %d" % frame))


def _this_write() -> "Optional[nuke.Node]":
    """The node being rendered; None where the host does not tell (background renders)."""
    try:
        node = nuke.thisNode()
    except (ValueError, RuntimeError):
        return None
    return node if node is not None and node.Class() not in ("Root", "Group") else None


def _ours_above(write: "Optional[nuke.Node]") -> "Iterator[nuke.Group]":
    if write is not None:
        candidates = upstream.above(write)
        for node in candidates:
            if isinstance(node, nuke.Group) and names.is_ours(node) and not node["disable"].value():
                yield node
        return
    for node in names.all_ours():
        if not node["disable"].value():
            yield node


def _fresh(node: "nuke.Group") -> None:
    try:
        chosen = settings.read(node)
        current = results.key(node, chosen)
        shown = str(node["result_key"].value())
        if current != shown and results.attach(node, chosen):
            return
    except SetupError as problem:
        raise NotReadyError(str(problem)) from None
    if current == shown:
        return
    if not shown:
        raise NotReadyError(_advice(node, "has not been colorized"))
    if node["on_stale"].value() == names.STALE_STOP:
        raise NotReadyError(_advice(node, "has changed, or the tree above it, since it was colorized"))
    nuke.tprint("ColorMNet warning: %s shows colour made before its settings changed." % node.fullName())


def missing_frames(node: "nuke.Group", frames: "Tuple[int, ...]", views: Tuple[str, ...]) -> List[int]:
    """Frames without a finished file in some view of the node's."""
    try:
        found = results.attached(node)
        own = [view for view in views if view in (str(node["views"].value()).split() or views)]
    except SetupError as problem:
        raise NotReadyError(str(problem)) from None
    if found is None or not own:
        return list(frames)
    first, last = int(node["result_first"].value()), int(node["result_last"].value())
    records = {view: found.records(view) for view in own}

    def there(view: str, frame: int) -> bool:
        return frame in records[view] and os.path.isfile(found.path(view, frame))

    return [frame for frame in frames if not first <= frame <= last or not all(there(view, frame) for view in own)]


def _some(frames: List[int]) -> str:
    if len(frames) == 1:
        return "frame %d" % frames[0]
    return "%d frames (the first is %d)" % (len(frames), frames[0])


def _advice(node: "nuke.Group", what: str) -> str:
    script = nuke.root().name() or "SCRIPT.nk"
    return "%s %s: press its Colorize, or run: nuke -t %s %s --node %s" % (
        node.fullName(),
        what,
        TOOL,
        script,
        node.fullName(),
    )


def asked_views(arguments: Optional[List[str]] = None) -> Tuple[str, ...]:
    """The views of a command-line render (``--view left,right``), else all of the script."""
    raw = [str(each) for each in (nuke.rawArgs if arguments is None else arguments)]
    named = [raw[i + 1] for i, each in enumerate(raw[:-1]) if each == "--view"]
    named += [each.partition("=")[2] for each in raw if each.startswith("--view=")]
    chosen = ",".join(named).split(",")
    return tuple(view for view in nuke.views() if view in chosen) or tuple(nuke.views())


def asked_frames(write: "Optional[nuke.Node]", arguments: Optional[List[str]] = None) -> Optional[Tuple[int, ...]]:
    """The frames of a command-line render (``-F``, else limits, else the script's range); None where not known."""
    raw = [str(each) for each in (nuke.rawArgs if arguments is None else arguments)]
    if nuke.GUI or not any(re.match(r"^-[a-zA-Z]*[xX]", each) for each in raw[1:]):
        return None
    ranges = [raw[i + 1] for i, each in enumerate(raw[:-1]) if each == "-F"]
    if ranges:
        try:
            return settings.frame_list(" ".join(ranges), "-F")
        except SetupError:
            return None  # the host's to judge; each frame is checked as it comes
    if write is not None and write.knob("use_limit") is not None and write["use_limit"].value():
        return tuple(range(int(write["first"].value()), int(write["last"].value()) + 1))
    root = nuke.root()
    return tuple(range(int(root.firstFrame()), int(root.lastFrame()) + 1))

"""What the node shows: the status line, the text under its name, the red tile. Main thread only."""

import nuke

from .problems import NodeError, StoppedError

RED = 0xAA2222FF


def say(node: "nuke.Node", text: str, summary: str = "") -> None:
    """The status line and, where given, the text on the node; a former error is taken back."""
    _calm(node)
    node["status"].setValue(text)
    if summary:
        node["summary"].setValue(summary)


def problem(node: "nuke.Node", error: NodeError, popup: bool) -> None:
    """Text on the node and a red tile; a pop-up only with a GUI. Stopping is no error."""
    text = str(error)
    node["status"].setValue(text)
    if isinstance(error, StoppedError):
        _calm(node)
        node["summary"].setValue("cancelled")
        return
    node["error_text"].setValue(text)
    node["summary"].setValue("problem: %s" % text)
    if not node["tile_before"].value():
        node["tile_before"].setValue("%d" % int(node["tile_color"].value()))
    node["tile_color"].setValue(RED)
    if popup and nuke.GUI:
        nuke.message("ColorMNet\n\n%s" % text)


def _calm(node: "nuke.Node") -> None:
    node["error_text"].setValue("")
    before = str(node["tile_before"].value())
    if before:
        node["tile_color"].setValue(int(before))
        node["tile_before"].setValue("")

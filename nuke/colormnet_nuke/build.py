"""Builds the node: a Group of native nodes, so that a script opens and shows its cached frames without this plugin."""

import uuid
from typing import Iterable, List, Optional

import nuke

from . import knobs, names


def create(plate: "Optional[nuke.Node]" = None, exemplar: "Optional[nuke.Node]" = None) -> "nuke.Group":
    """A new ColorMNet node in the current group."""
    nuke.Layer(names.LAYER, list(names.CHANNELS))
    node = nuke.nodes.Group()
    node.setName("ColorMNet1")
    _fill(node)
    knobs.add(node)
    node["node_id"].setValue(new_id())
    node["label"].setValue("[value summary]")
    knobs.apply_flags(node)
    if plate is not None:
        node.setInput(0, plate)
        node.setXYpos(plate.xpos(), plate.ypos() + 60)
    if exemplar is not None:
        node.setInput(1, exemplar)
    return node


def create_from_selection() -> "nuke.Group":
    """What the menu does: the first selected node is the plate, a second one the exemplar."""
    selected = list(reversed(nuke.selectedNodes()))
    node = create(selected[0] if selected else None, selected[1] if len(selected) > 1 else None)
    for other in selected:
        other.setSelected(False)
    node.setSelected(True)
    if nuke.GUI:
        node.showControlPanel()
    return node


def new_id() -> str:
    """A short name for a node's folder and sessions, unique for all practical purposes."""
    return uuid.uuid4().hex[:10]


def ensure_own_id(node: "nuke.Group") -> None:
    """Give a copy (paste, duplicate) an identity of its own; the eldest in the script keeps the old one."""
    same = [other.fullName() for other in names.all_ours() if other["node_id"].value() == node["node_id"].value()]
    if not node["node_id"].value() or (len(same) > 1 and same[0] != node.fullName()):
        node["node_id"].setValue(new_id())


def twins(node: "nuke.Group") -> List[str]:
    """Full names of other nodes with this node's identity, and so with its folder: copies not yet colorized."""
    found = [other.fullName() for other in names.all_ours() if other["node_id"].value() == node["node_id"].value()]
    return [name for name in found if name != node.fullName()]


def _fill(group: "nuke.Group") -> None:
    outside = "frame < parent.result_first || frame > parent.result_last"
    with group:
        plate = nuke.nodes.Input(name=names.PLATE, number=0)
        nuke.nodes.Input(name=names.EXEMPLAR, number=1)
        result = nuke.nodes.Read(name=names.RESULT)
        # The file holds values of the working space already, and must never be an old local copy of itself.
        result["raw"].setValue(True)
        set_optional(result, "localizationPolicy", "off")
        result["on_error"].setValue("error")
        result["before"].setValue("black")
        result["after"].setValue("black")
        colour = nuke.nodes.Copy(name=names.COLOUR)
        _copy(colour, plate, result, ("rgba.red", "rgba.green", "rgba.blue"))
        colour["disable"].setExpression("!parent.result_colour || " + outside)
        layers = nuke.nodes.Copy(name=names.LAYERS)
        _copy(layers, colour, result, names.CHANNELS)
        layers["disable"].setExpression("!parent.result_layers || " + outside)
        crop = nuke.nodes.Crop(name=names.CROP)
        crop.setInput(0, layers)
        crop["disable"].setExpression("!parent.result_cropped")
        nuke.nodes.Output().setInput(0, crop)


def _copy(node: "nuke.Node", base: "nuke.Node", source: "nuke.Node", channels: Iterable[str]) -> None:
    """Take the channels from ``source``; everything else, the bounding box and the metadata stay those of ``base``."""
    node.setInput(0, base)
    node.setInput(1, source)
    node["bbox"].setValue("B")
    for index, channel in enumerate(channels):
        node["from%d" % index].setValue(channel)
        node["to%d" % index].setValue(channel)


def set_optional(node: "nuke.Node", name: str, value: object) -> None:
    """Set a knob that not every version of the host has."""
    knob = node.knob(name)
    if knob is not None:
        knob.setValue(value)


def inner(group: "nuke.Group", name: str) -> "nuke.Node":
    """A node inside ours; raises SetupError where somebody took it out."""
    from .problems import SetupError

    node = group.node(name)
    if node is None:
        raise SetupError(
            "%s has lost its inner node %r: make a new ColorMNet node and copy the settings" % (group.fullName(), name)
        )
    return node

"""Names that end up in scripts on disk: knobs, inner nodes, layers. Never change one; scripts out there have them."""

from typing import List

import nuke

PLATE, EXEMPLAR, RESULT = "plate", "exemplar", "result"
COLOUR, LAYERS, CROP = "colour", "layers", "crop_to_format"
LAYER = "colormnet"
CHANNELS = ("colormnet.a", "colormnet.b", "colormnet.confidence")

MARKER = "colormnet_version"

RESULTS_VERSION = 1  # raised only when the same settings would give other pixels; a plugin update alone stops no render

FROM_INPUT, FROM_FILE, FROM_PLATE = "exemplar input at a frame", "file", "plate's own first frame"
RANGE_INPUT, RANGE_GLOBAL, RANGE_CUSTOM = "input", "global", "custom"
COLOUR_PLATE, CHROMA_ONLY, COLOUR_AND_CHROMA = "colour plate", "chroma AOVs", "colour plate + chroma AOVs"
WORKING_SPACE = "script's working space"
BOX_WHOLE, BOX_FORMAT = "whole bounding box", "format"
PIXELS_FLATTEN, PIXELS_REFUSE = "flatten for the network", "refuse"
STALE_STOP, STALE_WARN = "stop the render", "warn only"


def is_ours(node: "nuke.Node") -> bool:
    """Whether this is a ColorMNet node (a Group with our version knob)."""
    return node.Class() == "Group" and node.knob(MARKER) is not None


def all_ours() -> "List[nuke.Group]":
    """Every ColorMNet node of the script, inside groups too."""
    found: "List[nuke.Group]" = []
    groups: "List[nuke.Group]" = [nuke.root()]
    while groups:
        for node in groups.pop().nodes():
            if is_ours(node) and isinstance(node, nuke.Group):
                found.append(node)
            elif isinstance(node, nuke.Group):
                groups.append(node)
    return found

"""What the numbers in this script mean: the working space and the OCIO configuration, from the script's settings."""

import os
from typing import Optional, Tuple

import nuke

from . import names

LINEAR_REC709 = "lin_rec709_srgb"  # what the host's built-in colour management works in


def of_node(node: "nuke.Group") -> Tuple[str, Optional[str]]:
    """(space, OCIO configuration or None for the engine's own) of the node's plate."""
    chosen = str(node["colour_space"].value())
    root = nuke.root()
    managed = str(root["colorManagement"].value())
    if managed != "OCIO":
        return (LINEAR_REC709 if chosen == names.WORKING_SPACE else chosen), None
    space = str(root["workingSpaceLUT"].value()) if chosen == names.WORKING_SPACE else chosen
    return space, configuration()


def configuration() -> Optional[str]:
    """Path of the script's OCIO configuration; None where it is the environment's or cannot be found as a file."""
    if os.environ.get("OCIO"):
        return None  # the engine follows $OCIO as well
    root = nuke.root()
    chosen = str(root["OCIO_config"].value())
    if chosen == "custom":
        knob = root["customOCIOConfigPath"]
        path = str(knob.evaluate() if isinstance(knob, nuke.File_Knob) else knob.value())
        return path.replace("\\", "/") or None
    folder = os.path.join(os.path.dirname(str(nuke.EXE_PATH)), "plugins", "OCIOConfigs", "configs")
    for candidate in (os.path.join(folder, chosen, "config.ocio"), os.path.join(folder, chosen + ".ocio")):
        if os.path.isfile(candidate):
            return candidate.replace("\\", "/")
    return None

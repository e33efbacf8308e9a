"""What the plugin asks the host to call. Registered by ``init.py`` in every mode; nothing is saved into scripts."""

import nuke

from . import bake, knobs, names, results, settings, verify
from .problems import SetupError

WATCHED = frozenset(("exemplar_source", "range"))


def register() -> None:
    """Safe to call twice."""
    nuke.addBeforeRender(verify.before_render, nodeClass="Write")
    nuke.addBeforeFrameRender(verify.before_frame, nodeClass="Write")
    nuke.addOnCreate(on_create, nodeClass="Group")
    nuke.addOnScriptLoad(on_load)
    nuke.addKnobChanged(on_knob, nodeClass="Group")


def on_create() -> None:
    """A node that was loaded or pasted has lost its flags."""
    node = nuke.thisNode()
    if isinstance(node, nuke.Group) and names.is_ours(node) and node.knob("node_id") is not None:
        knobs.apply_flags(node)


def on_load() -> None:
    """Tidy up after a crash; without a GUI, take up results that another process made since the script was saved."""
    for node in names.all_ours():
        bake.tidy(node)
        if nuke.GUI:
            continue
        try:
            results.attach(node, settings.read(node))
        except (SetupError, RuntimeError, ValueError, OSError):
            continue  # said when it is rendered or colorized; a script must open whatever is wrong above a node


def on_knob() -> None:
    """Grey out what a choice makes meaningless. Never renders: the host is busy while this runs."""
    node, knob = nuke.thisNode(), nuke.thisKnob()
    if knob is not None and knob.name() in WATCHED and isinstance(node, nuke.Group) and names.is_ours(node):
        knobs.show_relevant(node)

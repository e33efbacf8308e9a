"""Which result belongs to a node as it is now, and showing it. Main thread only."""

import os
from typing import Any, Dict, List, Optional, Tuple

import nuke

from . import cache, names, settings, upstream
from .build import inner
from .problems import SetupError
from .settings import NodeSettings


def key(node: "nuke.Group", chosen: NodeSettings) -> str:
    """Names the results of these settings and this tree; known without rendering, the same in every session.

    What the pixels were is told frame by frame by the chain in the journal (see :mod:`.cache`).
    """
    parts: Dict[str, Any] = {"settings": portable(chosen.fingerprint()), "plate": upstream.structure(node.input(0))}
    if any(choice.source == 1 for choice in chosen.exemplars):
        parts["exemplar"] = upstream.structure(node.input(1))
    return settings.digest(parts)


def portable(fingerprint: Dict[str, Any]) -> Dict[str, Any]:
    """Without what differs from machine to machine (the place of the OCIO configuration) or changes no pixel."""
    left_out = ("config", "snapshot_every")
    session = {name: value for name, value in fingerprint["session"].items() if name not in left_out}
    return dict(fingerprint, session=session)


def show(node: "nuke.Group", results: cache.Results, frames: List[int]) -> None:
    """Let the node show these frames of a result; without frames it passes the plate through."""
    record = results.record()
    node["result_key"].setValue(results.key)
    node["result_first"].setValue(frames[0] if frames else 0)
    node["result_last"].setValue(frames[-1] if frames else 0)
    node["result_colour"].setValue(bool(frames) and bool(record.get("colour")))
    node["result_layers"].setValue(bool(frames) and bool(record.get("layers")))
    box = record.get("crop") or None
    node["result_cropped"].setValue(bool(frames) and box is not None)
    if box is not None:
        inner(node, names.CROP)["box"].setValue(tuple(float(v) for v in box))
    read = inner(node, names.RESULT)
    # The place is an expression, so that a script and its cache directory can move together.
    pattern = "[value parent.cache_dir]/[value parent.node_id]/results/[value parent.result_key]/%V/colour.%04d.exr"
    read["file"].setValue(pattern)
    for name, value in (("first", node["result_first"].value()), ("last", node["result_last"].value())):
        read[name].setValue(int(value))
        read["orig" + name].setValue(int(value))
    reload(node)


def forget(node: "nuke.Group") -> None:
    """Show the plate again."""
    for name in ("result_colour", "result_layers", "result_cropped"):
        node[name].setValue(False)
    node["result_key"].setValue("")


def reload(node: "nuke.Group") -> None:
    """Make the inner Read look at the disk again."""
    knob = inner(node, names.RESULT)["reload"]
    if isinstance(knob, nuke.PyScript_Knob):
        knob.execute()


def attached(node: "nuke.Group") -> Optional[cache.Results]:
    """The result the node shows, None where it shows none."""
    shown = str(node["result_key"].value())
    return cache.Results(settings.folder(node), shown) if shown else None


def complete_frames(results: cache.Results, views: Tuple[str, ...]) -> List[int]:
    """Frames finished in every view."""
    sets = [set(results.frames(view)) for view in views]
    return sorted(set.intersection(*sets)) if sets else []


def attach(node: "nuke.Group", chosen: NodeSettings) -> bool:
    """Show the result that belongs to the node as it is now, e.g. one a farm made; False where there is none."""
    results = cache.Results(chosen.folder, key(node, chosen))
    frames = complete_frames(results, chosen.views) if os.path.isdir(results.folder) else []
    if not frames or not results.record():
        return False
    show(node, results, frames)
    return True


def crop_box(node: "nuke.Group", chosen: NodeSettings) -> Optional[List[int]]:
    """The box the output is cropped to (x, y, r, t), None where it keeps the plate's."""
    plate = node.input(0)
    if plate is None:
        raise SetupError("%s has no plate: connect one to its first input" % node.fullName())
    return [0, 0, plate.format().width(), plate.format().height()] if chosen.crop else None

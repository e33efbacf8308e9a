"""The tree above a node: walking it through groups, and telling whether it changed."""

import hashlib
import os
import re
from typing import Dict, Iterator, List, Optional, Tuple

import nuke

# Knobs that do not touch the picture. ``version`` counts how often a Read was reloaded.
COSMETIC = frozenset(
    [
        "name",
        "xpos",
        "ypos",
        "selected",
        "label",
        "note_font",
        "note_font_size",
        "note_font_color",
        "tile_color",
        "gl_color",
        "hide_input",
        "postage_stamp",
        "postage_stamp_frame",
        "dope_sheet",
        "bookmark",
        "icon",
        "autolabel",
        "cached",
        "version",
        "reload",
        "onCreate",
        "onDestroy",
        "knobChanged",
        "updateUI",
        "help",
        "panel",
        "window",
        "mapsize",
        "lock_connections",
        "indicators",
        "localizationPolicy",
        "cacheLocal",
        "status",
        "about",
        "local_gpu",
        "summary",
        "error_text",
        "tile_before",
    ]
)


def above(node: "Optional[nuke.Node]") -> "Iterator[nuke.Node]":
    """``node`` and every node it takes pictures from, each once: through groups, inwards and outwards."""
    seen = set()
    pending = [node]
    while pending:
        current = pending.pop()
        if current is None or current.fullName() in seen:
            continue
        seen.add(current.fullName())
        yield current
        pending.extend(reversed(_sources(current)))


def _sources(node: "nuke.Node") -> "List[Optional[nuke.Node]]":
    if node.Class() == "Input":
        group = node.parent()
        number = node.knob("number")
        if isinstance(group, nuke.Group) and number is not None and group.Class() != "Root":
            return [group.input(int(number.value()))]
        return []
    found: "List[Optional[nuke.Node]]" = list(node.dependencies(nuke.INPUTS | nuke.HIDDEN_INPUTS | nuke.EXPRESSIONS))
    if isinstance(node, nuke.Group):
        found += [inside for inside in node.nodes() if inside.Class() == "Output"]
    return found


def structure(node: "Optional[nuke.Node]") -> str:
    """A digest of the tree above and with ``node``: classes, wiring, knobs that matter. The same in every session."""
    numbers: Dict[str, int] = {}
    lines: List[str] = []
    nodes = list(above(node))
    for index, each in enumerate(nodes):
        numbers[each.fullName()] = index
    for each in nodes:
        wires = [str(numbers.get(s.fullName(), -1)) if s is not None else "-" for s in _wires(each)]
        lines.append("%s <- %s" % (each.Class(), " ".join(wires)))
        lines.extend(_knobs(each))
    root = nuke.root()
    for name in ("colorManagement", "OCIO_config", "workingSpaceLUT", "customOCIOConfigPath"):
        knob = root.knob(name)
        lines.append("%s=%s" % (name, knob.toScript() if knob is not None else ""))
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()[:16]


def _wires(node: "nuke.Node") -> "List[Optional[nuke.Node]]":
    if node.Class() == "Input":
        return _sources(node)
    return [node.input(index) for index in range(node.inputs())]


def _knobs(node: "nuke.Node") -> List[str]:
    flags = nuke.WRITE_NON_DEFAULT_ONLY | nuke.TO_SCRIPT
    kept = []
    skipping = False
    for line in node.writeKnobs(flags).splitlines():
        match = re.match(r"^(\w+) ", line)
        if match and node.knob(match.group(1)) is not None:
            skipping = match.group(1) in COSMETIC
        if not skipping and line.strip():
            kept.append(line)
    return sorted(kept)


def files(node: "Optional[nuke.Node]", frames: Tuple[int, ...], view: str) -> str:
    """A digest of date and size of every file that Reads above use at these frames, so that a re-render is noticed."""
    parts = []
    for each in above(node):
        knob = each.knob("file")
        if each.Class() != "Read" or not isinstance(knob, nuke.File_Knob):
            continue
        pattern = str(knob.evaluate()) if "[" in str(knob.value()) else str(knob.value())
        for frame in frames:
            path = expand(pattern, frame, view)
            try:
                found = os.stat(path)
                parts.append("%s %d %d" % (path, found.st_size, found.st_mtime_ns))
            except OSError:
                parts.append("%s -" % path)
            if path == pattern:
                break
    return hashlib.sha256("\n".join(parts).encode("utf-8")).hexdigest()[:16]


def expand(pattern: str, frame: int, view: str) -> str:
    """Views (%V, %v) and frame number (%04d, ####) put into a file name."""
    text = pattern.replace("%V", view).replace("%v", view[:1])
    text = re.sub(r"%(0?)(\d*)d", lambda m: ("%" + m.group(1) + m.group(2) + "d") % frame, text)
    return re.sub(r"#+", lambda m: str(frame).zfill(len(m.group(0))), text)

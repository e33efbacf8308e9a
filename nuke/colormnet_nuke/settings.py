"""The knobs of a node as one immutable record, checked; nothing further in reads a knob."""

import hashlib
import json
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

import nuke

from colormnet_host.client import SessionSettings

from . import names, spaces
from .problems import SetupError


class ExemplarChoice(NamedTuple):
    """One exemplar: a file, or a frame of an input of the node (0 plate, 1 exemplar)."""

    path: str  # "" for an input
    source: int  # -1 for a file
    frame: Optional[int]  # of the input; for a file the plate's frame it shows, if said


class NodeSettings(NamedTuple):
    """What the artist set. ``frames``: the shot, in order. ``folder``: this node's part of the cache directory."""

    name: str
    node_id: str
    frames: Tuple[int, ...]
    views: Tuple[str, ...]
    exemplars: Tuple[ExemplarChoice, ...]
    session: SessionSettings
    device: str
    output: str
    crop: bool
    refuse_non_square: bool
    folder: str

    @property
    def colour(self) -> bool:
        """Whether RGB is taken from the result."""
        return self.output != names.CHROMA_ONLY

    def fingerprint(self) -> Dict[str, Any]:
        """Everything of the settings that changes the result, as JSON values; the device does not."""
        return {
            "results": names.RESULTS_VERSION,
            "frames": _compact(self.frames),
            "exemplars": [list(choice) for choice in self.exemplars],
            "session": dict(self.session._asdict(), layers=list(self.session.layers)),
            "crop": self.crop,
        }


def digest(value: Any) -> str:
    """16 hexadecimal digits of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("utf-8")).hexdigest()[:16]


def _compact(frames: Tuple[int, ...]) -> str:
    text = "%d-%d" % (frames[0], frames[-1])
    return text if frames == tuple(range(frames[0], frames[-1] + 1)) else ",".join(map(str, frames))


def read(node: "nuke.Group", views: Optional[List[str]] = None) -> NodeSettings:
    """The node's settings; raises SetupError with what to change."""
    name = node.fullName()
    frames = _frames(node, name)
    space, config = spaces.of_node(node)
    working_size = int(node["working_size"].value())
    if working_size < 0 or 0 < working_size < 64:
        raise SetupError("%s: working size %d is too small; give 64 or more, or 0" % (name, working_size))
    snapshot_every = int(node["snapshot_every"].value())
    if snapshot_every < 1:
        raise SetupError("%s: snapshot spacing must be 1 frame or more, not %d" % (name, snapshot_every))
    output = str(node["output"].value())
    layers = [] if output == names.COLOUR_PLATE else ["a", "b"]
    if node["confidence"].value():
        layers.append("confidence")
    return NodeSettings(
        name=name,
        node_id=str(node["node_id"].value()),
        frames=frames,
        views=_views(node, name, views),
        exemplars=_exemplars(node, name, frames),
        session=SessionSettings(
            space=space,
            config=config,
            model=str(node["model"].value()),
            precision=str(node["precision"].value()),
            working_size=working_size,
            saturation=float(node["saturation"].value()),
            layers=tuple(layers),
            picture=output != names.CHROMA_ONLY,
            snapshot_every=snapshot_every,
        ),
        device="auto" if node["use_gpu"].value() else "cpu",
        output=output,
        crop=node["bounding_box"].value() == names.BOX_FORMAT,
        refuse_non_square=node["non_square"].value() == names.PIXELS_REFUSE,
        folder=folder(node),
    )


def folder(node: "nuke.Group") -> str:
    """Where this node keeps its files; raises SetupError where that cannot be told."""
    name, knob = node.fullName(), node["cache_dir"]
    if not re.match(r"^\w+$", str(node["node_id"].value())):
        raise SetupError("%s has lost its identity: make a new ColorMNet node and copy the settings" % name)
    text = str(knob.value())
    if "root.name" in text and not nuke.script_directory():
        raise SetupError("%s: save the script first, or set the cache directory to a fixed place" % name)
    path = str(knob.evaluate() if isinstance(knob, nuke.File_Knob) else text).strip()
    if "\\" in text or any(ord(character) < 32 for character in path):
        raise SetupError("%s: write the cache directory with forward slashes" % name)
    if not path:
        raise SetupError("%s: the cache directory is empty" % name)
    if not os.path.isabs(path):
        raise SetupError("%s: the cache directory %s is not an absolute path" % (name, path))
    for sign in "%#":
        if sign in path:
            raise SetupError("%s: the cache directory must not hold %s, a sign for frame numbers" % (name, sign))
    return "%s/%s" % (path.rstrip("/"), node["node_id"].value())


def _frames(node: "nuke.Group", name: str) -> Tuple[int, ...]:
    choice = node["range"].value()
    root = nuke.root()
    if choice == names.RANGE_GLOBAL:
        first, last = int(root.firstFrame()), int(root.lastFrame())
    elif choice == names.RANGE_INPUT:
        plate = node.input(0)
        if plate is None:
            raise SetupError("%s has no plate: connect one to its first input" % name)
        first, last = int(plate.firstFrame()), int(plate.lastFrame())
    else:
        return frame_list(str(node["custom_range"].value()), name)
    if last < first:
        raise SetupError("%s: the frame range %d-%d is empty" % (name, first, last))
    return tuple(range(first, last + 1))


def frame_list(text: str, name: str) -> Tuple[int, ...]:
    """Frames of a text such as ``1001-1040 1060-1100x2``, ascending; raises SetupError."""
    found: Set[int] = set()
    for part in text.replace(",", " ").split():
        match = re.match(r"^(-?\d+)(?:-(-?\d+)(?:x(\d+))?)?$", part)
        if match is None:
            raise SetupError("%s: %r is no frame range; write it as 1001-1100 or 1001-1100x2" % (name, part))
        first = int(match.group(1))
        last = int(match.group(2)) if match.group(2) else first
        step = int(match.group(3) or 1)
        if last < first or step < 1:
            raise SetupError("%s: the frame range %r is empty" % (name, part))
        found.update(range(first, last + 1, step))
    if not found:
        raise SetupError("%s: no frames given; write them as 1001-1100" % name)
    return tuple(sorted(found))


def _views(node: "nuke.Group", name: str, asked: Optional[List[str]]) -> Tuple[str, ...]:
    known = list(nuke.views())
    chosen = list(asked) if asked is not None else str(node["views"].value()).split()
    for view in chosen:
        if view not in known:
            raise SetupError("%s: the script has no view %r; it has %s" % (name, view, ", ".join(known)))
    return tuple(chosen or known)


def _exemplars(node: "nuke.Group", name: str, frames: Tuple[int, ...]) -> Tuple[ExemplarChoice, ...]:
    source = node["exemplar_source"].value()
    found = []
    if source == names.FROM_PLATE:
        found.append(ExemplarChoice("", 0, frames[0]))
    elif source == names.FROM_INPUT:
        found.append(ExemplarChoice("", 1, int(node["exemplar_frame"].value())))
    else:
        knob = node["exemplar_file"]
        path = str(knob.evaluate() if isinstance(knob, nuke.File_Knob) else knob.value()).strip()
        if not path:
            raise SetupError("%s: choose the exemplar's file" % name)
        found.append(_file(path, None, name))
    knob = node["more_exemplars"]
    text = knob.evaluate() if isinstance(knob, nuke.Multiline_Eval_String_Knob) else knob.value()
    for line in str(text).splitlines():
        line = line.strip()
        if not line:
            continue
        if re.match(r"^-?\d+$", line):
            found.append(ExemplarChoice("", 1, int(line)))
            continue
        match = re.match(r"^(.*\S)\s*@\s*(-?\d+)$", line)
        found.append(_file(match.group(1), int(match.group(2)), name) if match else _file(line, None, name))
    for choice in found:
        if choice.path and choice.frame is not None and choice.frame not in frames:
            raise SetupError(
                "%s: the exemplar %s is said to show frame %d, which is not in the range %s; correct the number, or "
                "leave it out" % (name, choice.path, choice.frame, _compact(frames))
            )
    if len(set(found)) != len(found):
        raise SetupError("%s: an exemplar is listed twice" % name)
    if any(choice.source == 1 for choice in found) and node.input(1) is None:
        raise SetupError("%s has no exemplar: connect one to its second input, or choose a file" % name)
    return tuple(found)


def _file(path: str, frame: Optional[int], name: str) -> ExemplarChoice:
    if not os.path.isfile(path):
        raise SetupError("%s: the exemplar %s does not exist" % (name, path))
    return ExemplarChoice(path, -1, frame)

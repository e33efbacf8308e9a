"""The panel for a node: what it shows comes from the node's cache, its pictures from small PNGs the host renders."""

import os
from typing import Dict, List, Optional, Tuple

import nuke

from colormnet_host.panel import ExemplarItem, Panel, PanelSource, worth_an_exemplar

from . import bake, cache, results, settings, status, upstream
from .problems import NodeError, SetupError
from .settings import ExemplarChoice, NodeSettings

_open: "List[Tuple[NodeSource, Panel]]" = []


def show(node: "nuke.Group") -> Panel:
    """Open the node's panel, or bring it to the front. GUI only."""
    if not nuke.GUI:
        raise SetupError("The panel needs Nuke's interface.")
    name = node.fullName()
    _open[:] = [(source, each) for source, each in _open if source.exists() or each.isVisible()]
    # By the node and not by a name: nodes are renamed, and another may have the name now.
    panel = next((each for source, each in _open if source.exists() and source.node.fullName() == name), None)
    if panel is None:
        source = NodeSource(node)
        panel = Panel(source)
        _open.append((source, panel))
    panel.setWindowTitle("ColorMNet - %s" % name)
    panel.refresh()
    panel.show()
    panel.raise_()
    return panel


class NodeSource(PanelSource):
    """The node as the panel sees it. Main thread only."""

    def __init__(self, node: "nuke.Group") -> None:
        self.node = node

    def exists(self) -> bool:
        """Whether the node has not been deleted, nor its script closed."""
        try:
            return bool(self.node.name())
        except ValueError:
            return False

    def _chosen(self) -> Optional[NodeSettings]:
        try:
            return settings.read(self.node)
        except NodeError as problem:
            self.node["status"].setValue(str(problem))
            return None

    def _results(self) -> Optional[cache.Results]:
        try:
            return results.attached(self.node)
        except NodeError:
            return None  # the cache directory cannot be told; the status line says so already

    def title(self) -> str:
        """The node's name and state."""
        return "%s    %s" % (self.node.fullName(), self.node["summary"].value())

    def frames(self) -> List[int]:
        """The shot."""
        chosen = self._chosen()
        return list(chosen.frames) if chosen else []

    def _view(self) -> str:
        chosen = self._chosen()
        return chosen.views[0] if chosen else str(nuke.views()[0])

    def confidence(self) -> Dict[int, float]:
        """From the journal of the first view."""
        found = self._results()
        return {f: r.confidence for f, r in found.frames(self._view()).items()} if found else {}

    def recommended(self) -> Optional[int]:
        """The least sure frame far from the exemplars of these settings."""
        chosen = self._chosen()
        if chosen is None:
            return None
        return worth_an_exemplar(self.confidence(), [c.frame for c in chosen.exemplars if c.frame is not None])

    def current_frame(self) -> int:
        """Nuke's frame."""
        return int(nuke.frame())

    def go_to(self, frame: int) -> None:
        """Set Nuke's frame."""
        nuke.frame(frame)

    def exemplars(self) -> List[ExemplarItem]:
        """The settings' exemplars with pictures of them."""
        chosen = self._chosen()
        if chosen is None:
            return []
        return [self._item(choice, chosen, index) for index, choice in enumerate(chosen.exemplars)]

    def _item(self, choice: ExemplarChoice, chosen: NodeSettings, index: int) -> ExemplarItem:
        if choice.path:
            label = os.path.basename(choice.path)
            if choice.frame is not None:
                label += "\nframe %d" % choice.frame
            picture = self._file_picture(choice.path, chosen)
            return ExemplarItem(label, choice.frame, picture, index > 0)
        where = "plate" if choice.source == 0 else "exemplar input"
        frame = choice.frame if choice.frame in chosen.frames else None
        number = int(choice.frame or 0)
        picture = self._preview(choice.source, number, self._input_stamp(choice.source, number))
        return ExemplarItem("%s\nframe %d" % (where, choice.frame or 0), frame, picture, index > 0)

    def _file_picture(self, path: str, chosen: NodeSettings) -> str:
        """A picture file as it is where Qt reads it; an EXR as the host shows it."""
        if not path.lower().endswith(".exr"):
            return path
        found = os.stat(path)
        stamp = settings.digest([path, found.st_size, found.st_mtime_ns])
        try:
            return bake.preview(self.node, path, 1, chosen.views[0], chosen.folder, "file_%s" % stamp)
        except NodeError as problem:
            self.node["status"].setValue(str(problem))
            return ""

    def _preview(self, source: int, frame: int, stamp: str) -> str:
        """A picture of an input (0, 1) or the output (2); ``stamp`` changes when what it shows does."""
        chosen = self._chosen()
        if chosen is None:
            return ""
        name = "%s_%s" % (("plate", "exemplar", "result")[source], stamp)
        try:
            return bake.preview(self.node, source, frame, chosen.views[0], chosen.folder, name)
        except NodeError as problem:
            self.node["status"].setValue(str(problem))
            return ""

    def _input_stamp(self, source: int, frame: int) -> str:
        tree = self.node.input(source)
        return settings.digest([upstream.structure(tree), upstream.files(tree, (frame,), self._view())])

    def pictures(self, frame: int) -> Tuple[str, str]:
        """Plate and result as PNG files."""
        found = self._results()
        record = found.frames(self._view()).get(frame) if found is not None else None
        plate = self._preview(0, frame, self._input_stamp(0, frame)) if frame in self.frames() else ""
        if found is None or record is None:
            return plate, ""
        return plate, self._preview(2, frame, settings.digest([found.key, record.chain, record.generation]))

    def add_exemplar(self, frame: int) -> str:
        """One more line in the list of further exemplars."""
        knob = self.node["more_exemplars"]
        present = [line.strip() for line in str(knob.value()).splitlines() if line.strip()]
        if frame in [item.frame for item in self.exemplars()]:
            return "Frame %d is an exemplar already." % frame
        knob.setValue("\n".join([*present, "%d" % frame]))
        chosen = self._chosen()
        if chosen is None:
            knob.setValue("\n".join(present))
            return str(self.node["status"].value())
        status.say(self.node, "exemplar at frame %d added; press Colorize" % frame)
        return (
            "The exemplar input's frame %d is used now: it should show the plate's frame %d in colour. Press Colorize."
            % (frame, frame)
        )

    def remove_exemplar(self, index: int) -> None:
        """Take a line out of the list of further exemplars; the first exemplar is a setting of its own."""
        knob = self.node["more_exemplars"]
        present = [line.strip() for line in str(knob.value()).splitlines() if line.strip()]
        if 0 < index <= len(present):
            del present[index - 1]
            knob.setValue("\n".join(present))
            status.say(self.node, "exemplar removed; press Colorize")

"""Nodes: their knobs, wiring and pictures. What a class of node cannot do here, it refuses."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from . import images, knobs, tcl
from .images import Format, Image
from .state import CLASSES, Strict, host, modelled

INPUTS, HIDDEN_INPUTS, EXPRESSIONS = 1, 2, 4
WRITE_ALL, TO_VALUE, TO_SCRIPT, WRITE_USER_KNOB_DEFS, WRITE_NON_DEFAULT_ONLY = 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5


@modelled
class Format_(Strict):
    """``nuke.Format`` of a node."""

    _stub = "Format"

    def __init__(self, value: Format) -> None:
        self._value = value

    def width(self) -> int:
        return self._value.width

    def height(self) -> int:
        return self._value.height

    def pixelAspect(self) -> float:
        return self._value.aspect


@modelled
class Info(Strict):
    """A bounding box; y upwards."""

    def __init__(self, x: int, y: int, w: int, h: int) -> None:
        self._values = (x, y, w, h)

    def x(self) -> int:
        return self._values[0]

    def y(self) -> int:
        return self._values[1]

    def w(self) -> int:
        return self._values[2]

    def h(self) -> int:
        return self._values[3]


@modelled
class FrameRange(Strict):
    """First, last and step."""

    def __init__(self, first: Any, last: int | None = None, increment: int = 1) -> None:
        if isinstance(first, str):
            match = re.fullmatch(r"(-?\d+)(?:-(-?\d+)(?:x(\d+))?)?", first.strip())
            if match is None:
                raise ValueError(f"bad frame range {first!r}")
            a = int(match.group(1))
            b, step = int(match.group(2) or a), int(match.group(3) or 1)
        else:
            a, b, step = int(first), int(first if last is None else last), int(increment)
        self._first, self._last, self._increment = a, b, step

    def first(self) -> int:
        return self._first

    def last(self) -> int:
        return self._last

    def increment(self) -> int:
        return self._increment

    def frames(self) -> int:
        return len(list(self))

    def __iter__(self) -> Any:
        return iter(range(self._first, self._last + 1, self._increment))


@modelled
class FrameRanges(Strict):
    """Several ranges, written as text with spaces between them."""

    def __init__(self, ranges: Any = "") -> None:
        self._ranges = [FrameRange(r) for r in ranges.split()] if isinstance(ranges, str) else [ranges]

    def toFrameList(self) -> list[int]:
        return [frame for r in self._ranges for frame in r]

    def __iter__(self) -> Any:
        return iter(self._ranges)


def _common() -> list[knobs.Knob]:
    result: list[knobs.Knob] = [
        knobs.String_Knob("name"),
        knobs.EvalString_Knob("label"),
        knobs.ColorChip_Knob("tile_color"),
        knobs.Int_Knob("xpos"),
        knobs.Int_Knob("ypos"),
        knobs.Boolean_Knob("selected"),
        knobs.Disable_Knob("disable"),
        knobs.EvalString_Knob("help"),
        knobs.Boolean_Knob("hide_input"),
        knobs.Boolean_Knob("postage_stamp"),
        knobs.File_Knob("icon"),
        knobs.String_Knob("onCreate"),
        knobs.String_Knob("knobChanged"),
    ]
    return result


def _initial(knob: Any, value: Any) -> Any:
    knob._value = knob._initial = value
    return knob


def _channel(name: str, value: str) -> knobs.Knob:
    return _initial(knobs.Channel_Knob(name), value)


EXR_KNOBS = ("datatype", "compression", "autocrop", "metadata")


def _exr_knobs() -> list[knobs.Knob]:
    metadata = ["no metadata", "default metadata", "default metadata and exr/*", "all metadata except input/*"]
    return [
        knobs.Enumeration_Knob("datatype", None, ["16 bit half", "32 bit float"]),
        knobs.Enumeration_Knob(
            "compression",
            None,
            ["Zip (1 scanline)", "none", "Zip (16 scanlines)", "PIZ Wavelet (32 scanlines)", "RLE", "DWAA", "DWAB"],
        ),
        knobs.Boolean_Knob("autocrop"),
        _initial(knobs.Enumeration_Knob("metadata", None, [*metadata, "all metadata"]), "default metadata"),
    ]


def _specific(kind: str) -> list[knobs.Knob]:
    enumeration, boolean, integer = knobs.Enumeration_Knob, knobs.Boolean_Knob, knobs.Int_Knob
    if kind == "Read":
        return [
            knobs.File_Knob("file"),
            _initial(integer("first"), 1),
            _initial(integer("last"), 1),
            _initial(integer("origfirst"), 1),
            _initial(integer("origlast"), 1),
            boolean("origset"),
            enumeration("before", None, ["hold", "loop", "bounce", "black"]),
            enumeration("after", None, ["hold", "loop", "bounce", "black"]),
            enumeration("on_error", None, ["error", "black", "checkerboard", "nearest frame"]),
            boolean("raw"),
            _initial(enumeration("colorspace", None, ["default", "linear", "sRGB"]), "default"),
            _initial(
                enumeration("localizationPolicy", None, ["on", "fromAutoLocalizePath", "onDemand", "off"]),
                "fromAutoLocalizePath",
            ),
            knobs.PyScript_Knob("reload"),
        ]
    if kind == "Write":
        return [
            _channel("channels", "rgb"),
            knobs.File_Knob("file"),
            knobs.File_Knob("proxy"),
            boolean("raw"),
            enumeration("colorspace", None, ["default", "linear", "sRGB"]),
            enumeration("file_type", None, ["", "exr", "png", "mov"]),
            boolean("create_directories"),
            boolean("use_limit"),
            _initial(integer("first"), 1),
            _initial(integer("last"), 1),
            knobs.String_Knob("beforeRender"),
            knobs.String_Knob("beforeFrameRender"),
            knobs.String_Knob("afterFrameRender"),
            knobs.String_Knob("afterRender"),
        ]
    if kind == "Copy":
        result: list[knobs.Knob] = []
        for index in range(4):
            result += [
                _channel(f"from{index}", "none" if index else "rgba.alpha"),
                _channel(f"to{index}", "none" if index else "rgba.alpha"),
            ]
        return [*result, enumeration("bbox", None, ["union", "B", "A", "intersection"])]
    table: dict[str, list[knobs.Knob]] = {
        "Input": [integer("number")],
        "Output": [],
        "Group": [],
        "Dot": [],
        "NoOp": [],
        "Viewer": [],
        "Crop": [knobs.BBox_Knob("box"), boolean("reformat"), _initial(boolean("crop"), True)],
        "Grade": [_initial(knobs.AColor_Knob("multiply"), 1.0), knobs.AColor_Knob("add")],
        "Constant": [_channel("channels", "rgb"), knobs.AColor_Knob("color"), knobs.Format_Knob("format")],
        "Merge2": [
            enumeration("operation", None, ["over", "plus", "copy"]),
            enumeration("bbox", None, ["union", "B", "A", "intersection"]),
        ],
        "Switch": [knobs.Double_Knob("which")],
        "JoinViews": [],
        "Root": [
            integer("first_frame"),
            integer("last_frame"),
            _initial(knobs.Double_Knob("fps"), 24.0),
            boolean("proxy"),
            _initial(knobs.Double_Knob("proxy_scale"), 0.5),
            enumeration("colorManagement", None, ["Nuke", "OCIO"]),
            enumeration(
                "OCIO_config",
                None,
                ["nuke-default", "aces_1.2", "fn-nuke_cg-config-v1.0.0_aces-v1.3_ocio-v2.1", "custom"],
            ),
            knobs.File_Knob("customOCIOConfigPath"),
            _initial(
                enumeration("workingSpaceLUT", None, ["linear", "scene_linear", "ACES - ACEScg", "ACEScg"]), "linear"
            ),
        ],
    }
    if kind not in table:
        raise RuntimeError(f"{kind}: Unknown command: this stand-in models no such node")
    return table[kind]


MAX_INPUTS = {
    "Merge2": 2,
    "Read": 0,
    "Constant": 0,
    "Input": 0,
    "Root": 0,
    "Copy": 2,
    "Switch": 99,
    "JoinViews": 99,
    "Viewer": 10,
}
GROUPS = ("Group", "Root")


@modelled
class Node(Strict):
    """A node. After ``nuke.delete`` every call on it fails."""

    def __init__(self, kind: str, parent: Any) -> None:
        self._kind, self._parent, self._alive = kind, parent, True
        self._wires: list[Node | None] = []
        self._knobs: dict[str, knobs.Knob] = {}
        self._version = 0
        for knob in [*_common(), *_specific(kind)]:
            self._attach(knob)

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and not object.__getattribute__(self, "_alive"):
            raise ValueError("A PythonObject is not attached to a node")
        return object.__getattribute__(self, name)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    # Knobs.

    def _attach(self, knob: knobs.Knob) -> None:
        knob._node = self
        self._knobs[knob._name] = knob

    def __getitem__(self, name: str) -> knobs.Knob:
        if not self._alive:
            raise ValueError("A PythonObject is not attached to a node")
        if not isinstance(name, str) or name not in self._knobs:
            raise NameError(f"knob {name} does not exist")
        return self._knobs[name]

    def addKnob(self, knob: knobs.Knob) -> None:
        if knob._name in self._knobs:
            raise ValueError(f"{self._name()} has a knob {knob._name!r} already")
        knob._user = True
        self._attach(knob)

    def removeKnob(self, knob: knobs.Knob) -> None:
        if not knob._user:
            raise ValueError("only user knobs can be removed")
        del self._knobs[knob._name]

    def knob(self, p: str, follow_link: bool = True) -> knobs.Knob | None:
        return self._knobs.get(p)

    def knobs(self) -> dict[str, knobs.Knob]:
        return dict(self._knobs)

    def allKnobs(self) -> list[knobs.Knob]:
        return list(self._knobs.values())

    def numKnobs(self) -> int:
        return len(self._knobs)

    def writeKnobs(self, flags: int = 0) -> str:
        lines = []
        for knob in self._knobs.values():
            if flags & WRITE_NON_DEFAULT_ONLY and knob._value == knob._initial and not knob._expressions:
                continue
            lines.append(f"{knob._name} {knob.toScript()}" if flags & (TO_SCRIPT | TO_VALUE) else knob._name)
        return "\n".join(lines)

    def _changed(self, knob: knobs.Knob) -> None:
        if self._kind == "Write" and knob._name == "file_type":
            for name in EXR_KNOBS:
                self._knobs.pop(name, None)
            if knob._value == "exr":
                for extra in _exr_knobs():
                    self._attach(extra)

    def _resolve(self, path: str, frame: float | None = None) -> Any:
        head, _, rest = path.partition(".")
        if rest:
            if head == "parent":
                if self._parent is None:
                    raise NameError(path)
                return self._parent._resolve(rest, frame)
            if head == "this":
                return self._resolve(rest, frame)
            if head == "root":
                return host()._root._resolve(rest, frame)
            scope = self if isinstance(self, Group) and self._kind != "Group" else self._parent
            for node in scope._nodes if scope else []:
                if node._name() == head:
                    return node._resolve(rest, frame)
            raise NameError(path)
        if head not in self._knobs:
            raise NameError(f"no such knob: {path}")
        knob = self._knobs[head]
        if frame is not None:
            return knob._number(frame)
        if isinstance(knob, knobs.EvalString_Knob):
            return tcl.substitute(knob._value, self)
        return knob._text()

    # Names and wiring.

    def _name(self) -> str:
        return self._knobs["name"]._value

    def Class(self) -> str:
        return self._kind

    def name(self) -> str:
        return self._name()

    def fullName(self) -> str:
        if self._parent is None or self._parent._kind == "Root":
            return self._name()
        return f"{self._parent.fullName()}.{self._name()}"

    def setName(self, name: str, uncollide: bool = True, updateExpressions: bool = False) -> None:
        if self._parent is None:
            return
        taken = {n._name() for n in self._parent._nodes if n is not self}
        if name in taken:
            if not uncollide:
                raise ValueError(f"a node {name} exists already")
            stem = name.rstrip("0123456789")
            name = next(f"{stem}{i}" for i in range(1, 10_000) if f"{stem}{i}" not in taken)
        self._knobs["name"]._value = name

    def parent(self) -> Any:
        return self._parent

    def _slots(self) -> int:
        if self._kind == "Group":
            return len([n for n in self._nodes if n._kind == "Input"])  # type: ignore[attr-defined]
        return MAX_INPUTS.get(self._kind, 1)

    def maxInputs(self) -> int:
        return self._slots()

    def maximumInputs(self) -> int:
        return self._slots()

    def inputs(self) -> int:
        used = [i for i, wire in enumerate(self._wires) if wire is not None]
        return max(used) + 1 if used else 0

    def input(self, index: int) -> Any:
        return self._wires[index] if 0 <= index < len(self._wires) else None

    def canSetInput(self, i: int, node: Any) -> bool:
        return 0 <= i < self._slots() and (node is None or node._parent is self._parent)

    def setInput(self, i: int, node: Any) -> bool:
        if not 0 <= i < self._slots():
            return False
        if node is not None and node._parent is not self._parent:
            raise ValueError(f"{node.fullName()} and {self.fullName()} are not in the same group")
        while len(self._wires) <= i:
            self._wires.append(None)
        self._wires[i] = node
        return True

    def connectInput(self, i: int, node: Any) -> bool:
        return self.setInput(i, node)

    def dependencies(self, mask: int = INPUTS | HIDDEN_INPUTS | EXPRESSIONS) -> list[Any]:
        found = [w for w in self._wires if w is not None] if mask & INPUTS else []
        if mask & EXPRESSIONS and self._parent is not None:
            for knob in self._knobs.values():
                for text in knob._expressions.values():
                    for name in re.findall(r"([A-Za-z_]\w*)\.", text):
                        found += [n for n in self._parent._nodes if n._name() == name and n not in found]
        return found

    def dependent(self, mask: int = INPUTS, forceEvaluate: bool = True) -> list[Any]:
        return [n for n in self._parent._nodes if self in n._wires]

    # Place in the graph view.

    def setXYpos(self, x: int, y: int) -> None:
        self._knobs["xpos"]._value, self._knobs["ypos"]._value = x, y

    def xpos(self) -> int:
        return self._knobs["xpos"]._value

    def ypos(self) -> int:
        return self._knobs["ypos"]._value

    def screenWidth(self) -> int:
        return 80

    def screenHeight(self) -> int:
        return 20

    def setSelected(self, selected: bool) -> None:
        self._knobs["selected"]._value = bool(selected)

    def isSelected(self) -> bool:
        return self._knobs["selected"]._value

    def showControlPanel(self, forceFloat: bool = False) -> None:
        if not host()._gui:
            raise RuntimeError("there are no control panels in terminal mode")

    def redraw(self) -> None:
        """Ask the graph view to draw the node anew."""

    # Pictures.

    def _evaluate(self, frame: int, view: str) -> Image:
        return evaluate(self, frame, view)

    def _now(self) -> Image:
        return self._evaluate(host()._frame, host()._view)

    def format(self) -> Format_:
        return Format_(self._now().format)

    def width(self) -> int:
        return self._now().format.width

    def height(self) -> int:
        return self._now().format.height

    def pixelAspect(self) -> float:
        return self._now().format.aspect

    def bbox(self) -> Info:
        image = self._now()
        x0, y0, x1, y1 = image.box
        return Info(x0, image.format.height - y1, x1 - x0, y1 - y0)

    def channels(self) -> list[str]:
        return list(self._now().channels)

    def _range(self) -> FrameRange:
        if self._kind == "Read":
            return FrameRange(self._knobs["first"]._value, self._knobs["last"]._value)
        if self._kind == "Input" and self._parent is not None and self._parent._parent is not None:
            outer = self._parent.input(self._knobs["number"]._value)
            if outer is not None:
                return outer._range()
        if self._kind == "Group":
            out = self._output()  # type: ignore[attr-defined]
            if out is not None:
                return out._range()
        for wire in self._wires:
            if wire is not None:
                return wire._range()
        root = host()._root
        return FrameRange(root._knobs["first_frame"]._value, root._knobs["last_frame"]._value)

    def frameRange(self) -> FrameRange:
        return self._range()

    def firstFrame(self) -> int:
        return self._range().first()

    def lastFrame(self) -> int:
        return self._range().last()

    def _fails(self) -> bool:
        try:
            self._now()
        except RuntimeError:
            return True
        return False

    def error(self) -> bool:
        return self._fails()

    def hasError(self) -> bool:
        return self._fails()

    def treeHasError(self) -> bool:
        return self._fails()


@modelled
class Group(Node):
    """A node that holds nodes; ``begin``/``end`` and ``with`` make it the place where new nodes go."""

    def __init__(self, kind: str, parent: Any) -> None:
        super().__init__(kind, parent)
        self._nodes: list[Node] = []

    def begin(self) -> Any:
        host()._groups.append(self)
        return self

    def end(self) -> None:
        stack = host()._groups
        if len(stack) < 2 or stack[-1] is not self:
            raise RuntimeError(f"end() of {self.fullName()}, which is not the current group")
        stack.pop()

    def __enter__(self) -> Any:
        return self.begin()

    def __exit__(self, *error: object) -> None:
        self.end()

    def node(self, s: str) -> Any:
        head, _, rest = s.partition(".")
        for node in self._nodes:
            if node._name() == head:
                return node.node(rest) if rest and isinstance(node, Group) else (None if rest else node)
        return None

    def nodes(self) -> list[Any]:
        return list(self._nodes)

    def numNodes(self) -> int:
        return len(self._nodes)

    def _output(self) -> Any:
        return next((n for n in self._nodes if n._kind == "Output"), None)


@modelled
class Root(Group):
    """The script."""

    def name(self) -> str:
        return self._name() or "Root"

    def fps(self) -> int:
        return int(self._knobs["fps"]._value)

    def firstFrame(self) -> int:
        return self._knobs["first_frame"]._value

    def lastFrame(self) -> int:
        return self._knobs["last_frame"]._value

    def modified(self) -> bool:
        return host()._modified

    def setModified(self, modified: bool) -> None:
        host()._modified = modified

    def proxy(self) -> bool:
        return self._knobs["proxy"]._value

    def setProxy(self, proxy: bool) -> None:
        self._knobs["proxy"]._set(bool(proxy))


CLASSES.update({"Node": Node, "Group": Group})


def create(kind: str, parent: Group) -> Node:
    """A new node in a group, named as the host names it."""
    node = (Root if kind == "Root" else Group if kind in GROUPS else Node)(kind, parent)
    if parent is not None:
        node.setName(f"{kind}1")
        parent._nodes.append(node)
    return node


def delete(node: Node) -> None:
    """Take a node out of its group; what it fed loses its input."""
    for other in node._parent._nodes:
        other._wires = [None if w is node else w for w in other._wires]
    node._parent._nodes.remove(node)
    node._alive = False


# Evaluation.


def expand(text: str, frame: int, view: str) -> str:
    """Views and frame numbers in a file name."""
    text = text.replace("%V", view).replace("%v", view[:1])
    text = re.sub(r"%0?(\d*)d", lambda m: str(frame).zfill(int(m.group(1) or 1)), text)
    return re.sub(r"#+", lambda m: str(frame).zfill(len(m.group(0))), text)


def _ocio(image: Image, source: str, target: str) -> Image:
    import OpenImageIO as oiio

    rgb = np.stack([image.channels[f"rgba.{c}"] for c in ("red", "green", "blue")], axis=-1)
    buffer = oiio.ImageBuf(np.ascontiguousarray(rgb))
    path = host()._ocio_path()
    converted = oiio.ImageBufAlgo.colorconvert(buffer, source, target, unpremult=False, colorconfig=path)
    if converted.has_error:
        raise RuntimeError(f"{source} -> {target}: {converted.geterror()}")
    pixels = converted.get_pixels(oiio.FLOAT)
    return Image(
        image.format,
        image.box,
        {**image.channels, **{f"rgba.{c}": pixels[..., i] for i, c in enumerate(("red", "green", "blue"))}},
        image.metadata,
    )


def _convert(image: Image, knob: str, default: str, inward: bool) -> Image:
    space = default if knob == "default" else knob
    root = host()._root._knobs
    if root["colorManagement"]._value == "OCIO":
        working = root["workingSpaceLUT"]._value
        return _ocio(image, space, working) if inward else _ocio(image, working, space)
    if space == "linear":
        return image
    function = images.to_linear if inward else images.from_linear
    changed = {k: function(v) if k in ("rgba.red", "rgba.green", "rgba.blue") else v for k, v in image.channels.items()}
    return Image(image.format, image.box, changed, image.metadata)


def _read(node: Node, frame: int, view: str) -> Image:
    value = node._knobs
    first, last = value["first"]._value, value["last"]._value
    for limit, outside, how in ((first, frame < first, "before"), (last, frame > last, "after")):
        if outside:
            if value[how]._value == "black":
                return Image(Format(1, 1), (0, 0, 1, 1))
            if value[how]._value == "hold":
                frame = limit
    path = expand(tcl.substitute(value["file"]._value, node), frame, view)
    image = host()._load(node, path)
    if not value["raw"]._value:
        default = "linear" if path.endswith(".exr") else "sRGB"
        if value["colorspace"]._value != "default" or default != "linear" or not path.endswith(".exr"):
            image = _convert(image, value["colorspace"]._value, default, inward=True)
    if (
        host()._root._knobs["proxy"]._value
    ):  # half size: a bake that forgets to switch proxies off is seen in its pixels
        height, width = (image.format.height + 1) // 2, (image.format.width + 1) // 2
        full = image.over_box((0, 0, image.format.width, image.format.height))
        return Image(
            Format(width, height, image.format.aspect),
            (0, 0, width, height),
            {k: v[::2, ::2] for k, v in full.channels.items()},
            image.metadata,
        )
    return image


def _copy(node: Node, frame: int, view: str) -> Image:
    base, extra = (_input(node, i, frame, view) for i in (0, 1))
    if base is None or extra is None:
        raise RuntimeError(f"{node.fullName()}: missing input")
    mode = node._knobs["bbox"]._value
    box = {
        "union": images.union(base.box, extra.box),
        "A": extra.box,
        "B": base.box,
        "intersection": images.intersect(base.box, extra.box),
    }[mode]
    result = base.over_box(box)
    for index in range(4):
        source, target = node._knobs[f"from{index}"]._value, node._knobs[f"to{index}"]._value
        if source != "none" and target != "none":
            result.channels[target] = extra.plane(source, box)
    return result


def _crop(node: Node, frame: int, view: str) -> Image:
    image = _required(node, frame, view)
    x, y, r, t = node._knobs["box"]._value
    box = (round(x), image.format.height - round(t), round(r), image.format.height - round(y))
    return image.over_box(images.intersect(image.box, box))


def _grade(node: Node, frame: int, view: str) -> Image:
    image = _required(node, frame, view)
    multiply, add = (np.float32(node._knobs[k]._number(frame)) for k in ("multiply", "add"))
    rgb = ("rgba.red", "rgba.green", "rgba.blue")
    changed = {k: v * multiply + add if k in rgb else v for k, v in image.channels.items()}
    return Image(image.format, image.box, changed, image.metadata)


def _constant(node: Node, frame: int, view: str) -> Image:
    chosen = node._knobs["format"]._value or Format(64, 48)
    width, height = chosen.width, chosen.height
    plane = np.full((height, width), node._knobs["color"]._number(frame), np.float32)
    names = ("rgba.red", "rgba.green", "rgba.blue", "rgba.alpha")
    return Image(chosen, (0, 0, width, height), {n: plane.copy() for n in names})


def _merge(node: Node, frame: int, view: str) -> Image:
    if node._knobs["operation"]._value != "plus" or node._knobs["bbox"]._value != "union":
        raise RuntimeError(f"{node.fullName()}: only plus with the union of the boxes is modelled")
    base, above = _required(node, frame, view), _required(node, frame, view, 1)
    if (base.format.width, base.format.height) != (above.format.width, above.format.height):
        raise RuntimeError(f"{node.fullName()}: the inputs have different formats")
    box = images.union(base.box, above.box)
    names = [*base.channels, *(c for c in above.channels if c not in base.channels)]
    return Image(base.format, box, {c: base.plane(c, box) + above.plane(c, box) for c in names}, base.metadata)


def _input(node: Node, index: int, frame: int, view: str) -> Image | None:
    wire = node.input(index)
    return None if wire is None else evaluate(wire, frame, view)


def _required(node: Node, frame: int, view: str, index: int = 0) -> Image:
    image = _input(node, index, frame, view)
    if image is None:
        raise RuntimeError(f"{node.fullName()}: missing input")
    return image


def evaluate(node: Node, frame: int, view: str) -> Image:
    """The picture a node gives at a frame in a view; RuntimeError where the host shows an error."""
    kind = node._kind
    if kind == "Input":
        group = node._parent
        outer = group.input(node._knobs["number"]._value) if group is not None else None
        if outer is None:
            raise RuntimeError(f"{node.fullName()}: missing input")
        return evaluate(outer, frame, view)
    if node._knobs["disable"]._number(frame):
        return _required(node, frame, view)
    if kind == "Group":
        out = node._output()  # type: ignore[attr-defined]
        if out is None:
            raise RuntimeError(f"{node.fullName()}: no Output")
        return _required(out, frame, view)
    if kind == "Switch":
        return _required(node, frame, view, round(node._knobs["which"]._number(frame)))
    if kind == "JoinViews":
        return _required(node, frame, view, host()._views.index(view))
    table = {"Read": _read, "Copy": _copy, "Crop": _crop, "Grade": _grade, "Constant": _constant, "Merge2": _merge}
    return table.get(kind, _required)(node, frame, view)

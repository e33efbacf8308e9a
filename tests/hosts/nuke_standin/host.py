"""The running host: the ``nuke`` module, callbacks, rendering, threads, menus, scripts.

What it refuses, it refuses because the real host does (or, where that is not documented, because a plugin that never
needs it is the safer one): see the module's tests.
"""

from __future__ import annotations

import contextlib
import os
import queue
import runpy
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import images, knobs, nodes, script, state, tcl
from .state import CLASSES, Strict, modelled
from .stubs import SURFACE, NotModelledError, check

CALLBACKS = {
    "OnUserCreate": "*",
    "OnCreate": "*",
    "OnScriptLoad": "Root",
    "OnScriptSave": "Root",
    "OnScriptClose": "Root",
    "OnDestroy": "*",
    "KnobChanged": "*",
    "UpdateUI": "*",
    "Autolabel": "*",
    "BeforeRender": "Write",
    "BeforeFrameRender": "Write",
    "AfterFrameRender": "Write",
    "AfterRender": "Write",
}


class CancelledError(Exception):
    """What ``nuke.execute`` raises in some versions when the artist cancels."""


@modelled
class ProgressTask(Strict):
    """The progress bar with a cancel button; only where there is a GUI."""

    def __init__(self, name: str) -> None:
        if not state.host()._gui:
            raise RuntimeError("ProgressTask needs a GUI")
        self._title, self._messages, self._percent = name, [], 0
        state.host()._tasks.append(self)

    def setMessage(self, text: str) -> None:
        self._messages.append(text)

    def setProgress(self, percent: int) -> None:
        if isinstance(percent, bool) or not isinstance(percent, int) or not 0 <= percent <= 100:
            raise TypeError(f"progress is a whole number of percent, not {percent!r}")
        self._percent = percent
        if threading.current_thread() is threading.main_thread():
            state.host().on_progress(self)

    def isCancelled(self) -> bool:
        return state.host().cancel_tasks


@modelled
class Undo(Strict):
    """The undo stack; only switching it off and on again."""

    @staticmethod
    def disable() -> None:
        """From here on nothing can be undone."""
        state.host()._undo_disabled += 1

    @staticmethod
    def enable() -> None:
        """Undo works again."""
        if state.host()._undo_disabled < 1:
            raise RuntimeError("undo is not disabled")
        state.host()._undo_disabled -= 1


@modelled
class Layer(Strict):
    """A layer and its channels, known to the script from now on."""

    def __init__(self, name: str, channels: list[str]) -> None:
        for channel in channels:
            if not channel.startswith(f"{name}."):
                raise ValueError(f"channel {channel!r} is not in layer {name!r}")
        self._layer = name
        known = state.host()._layers.setdefault(name, [])
        known += [c for c in channels if c not in known]

    def name(self) -> str:
        return self._layer


class _Menu(Strict):
    _stub = "Menu"

    def __init__(self, name: str, icon: str = "") -> None:
        self._title, self._icon, self._items = name, icon, {}

    def _check_icon(self, icon: str) -> None:
        if icon and not any(Path(folder, icon).is_file() for folder in state.host()._plugin_path):
            raise RuntimeError(f"icon {icon} is in no folder of the plug-in path")

    def addMenu(self, name: str, icon: str = "", tooltip: str = "", index: int = -1) -> Any:
        self._check_icon(icon)
        return self._items.setdefault(name, _Menu(name, icon))

    def addCommand(self, name: str, command: Any = "", shortcut: str = "", icon: str = "", **more: Any) -> Any:
        unknown = set(more) - {"tooltip", "index", "readonly", "shortcutContext"}
        if unknown:
            raise TypeError(f"addCommand has no argument {sorted(unknown)}")
        self._check_icon(icon)
        parent, _, last = name.rpartition("/")
        menu = self
        for part in [p for p in parent.split("/") if p]:
            menu = menu.addMenu(part)
        menu._items[last] = _Command(last, command, shortcut, icon)
        return menu._items[last]

    def addSeparator(self) -> None:
        self._items[f"-{len(self._items)}"] = None

    def findItem(self, name: str) -> Any:
        found: Any = self
        for part in name.split("/"):
            found = found._items.get(part) if isinstance(found, _Menu) else None
        return found

    def menu(self, name: str) -> Any:
        found = self.findItem(name)
        return found if isinstance(found, _Menu) else None

    def items(self) -> list[Any]:
        return list(self._items.values())

    def name(self) -> str:
        return self._title


class _Command(Strict):
    _stub = "MenuItem"

    def __init__(self, name: str, command: Any, shortcut: str, icon: str) -> None:
        self._title, self._command, self._key, self._icon = name, command, shortcut, icon

    def name(self) -> str:
        return self._title

    def icon(self) -> str:
        return self._icon

    def script(self) -> str:
        return self._command if isinstance(self._command, str) else ""

    def invoke(self) -> None:
        if callable(self._command):
            self._command()
        else:
            exec(self._command, {"__name__": "__main__"})


class _Nodes:
    """``nuke.nodes``: makes nodes in the current group, without touching the selection."""

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        if kind.startswith("_"):
            raise AttributeError(kind)

        def make(*arguments: Any, **values: Any) -> Any:
            if arguments:
                raise TypeError("nuke.nodes takes knob values by name only")
            host = state.host()
            host._need_main_thread("nuke.nodes")
            node = nodes.create(kind, host._groups[-1])
            for name, value in values.items():
                if name == "inputs":
                    for index, wire in enumerate(value):
                        node.setInput(index, wire)
                elif name == "name":
                    node.setName(value)
                else:
                    node[name].setValue(value)
            if kind == "Group" and "name" not in values:
                node.setName("Group1")
            host._created(node)
            return node

        return make


class _Environment(dict):
    """``nuke.env``: raises KeyError on what it does not have."""


class Host:
    """A host process. Making one makes it the running host and puts its ``nuke`` into ``sys.modules``."""

    def __init__(
        self,
        gui: bool = False,
        version: tuple[int, int] = (15, 1),
        views: tuple[str, ...] = ("main",),
        arguments: tuple[str, ...] = (),
    ) -> None:
        state.start(self)
        self._gui, self._version = gui, version
        self._views = list(views)
        self._arguments = ["/opt/Nuke/Nuke15.1", *arguments]
        self._layers = {"rgba": ["rgba.red", "rgba.green", "rgba.blue", "rgba.alpha"], "depth": ["depth.Z"]}
        self._callbacks: dict[str, list[tuple[Any, tuple, dict, str]]] = {name: [] for name in CALLBACKS}
        self._context: list[dict[str, Any]] = []
        self._executing = False
        self._frame, self._view = 1, views[0]
        self._modified = False
        self._undo_disabled = 0
        self._tasks: list[ProgressTask] = []
        self._queue: queue.Queue[tuple[Callable[..., Any], tuple, dict, queue.Queue | None]] = queue.Queue()
        self._menus: dict[str, _Menu] = {}
        self._plugin_path: list[str] = []
        self._messages: list[str] = []
        self._printed: list[str] = []
        self._problems: list[str] = []
        self._clipboard = ""
        self._cache: dict[tuple[int, int, str], images.Image] = {}
        self._localized: dict[str, images.Image] = {}
        self._answers: list[bool] = []
        self._executions: list[tuple[str, list[int], list[str]]] = []
        self.cancel_tasks = False
        self.cancel_render_after: int | None = None
        self.cancel_error: type[Exception] = RuntimeError
        self.on_progress: Callable[[ProgressTask], None] = lambda task: None
        self._new_root()
        self.module = self._module()
        sys.modules["nuke"] = self.module

    def _new_root(self) -> None:
        self._root = nodes.create("Root", None)  # type: ignore[arg-type]
        self._root._knobs["first_frame"]._value, self._root._knobs["last_frame"]._value = 1, 100
        self._groups: list[nodes.Group] = [self._root]

    # What tests look at.

    @property
    def messages(self) -> list[str]:
        """Every pop-up shown to the artist."""
        return self._messages

    @property
    def printed(self) -> list[str]:
        """Every line given to tprint, warning and error."""
        return self._printed

    @property
    def executions(self) -> list[tuple[str, list[int], list[str]]]:
        """Every render: full name of the node, frames, views."""
        return self._executions

    @property
    def problems(self) -> list[str]:
        """What loading a script complained of."""
        return self._problems

    @property
    def tasks(self) -> list[ProgressTask]:
        """Every progress bar opened."""
        return self._tasks

    def answer(self, *answers: bool) -> None:
        """What the artist will answer to the next questions."""
        self._answers += answers

    def menu(self, name: str) -> _Menu:
        """A menu as the plugins left it."""
        return self._menus[name]

    def picture(self, node: nodes.Node, frame: int, view: str | None = None) -> images.Image:
        """What a node gives at a frame."""
        return nodes.evaluate(node, frame, view or self._views[0])

    def process_events(self, timeout: float = 0.0) -> int:
        """Run what other threads asked the main thread to do; returns how many calls there were."""
        count = 0
        while True:
            try:
                call, args, kwargs, answer = self._queue.get(timeout=timeout) if timeout else self._queue.get_nowait()
            except queue.Empty:
                return count
            timeout, count = 0.0, count + 1
            result = call(*args, **kwargs)
            if answer is not None:
                answer.put(result)

    def load_plugins(self, *folders: Path) -> None:
        """Start-up: ``init.py`` of every folder in every mode, then ``menu.py`` with a GUI only."""
        self._plugin_path += [str(folder) for folder in folders]
        for folder in folders:
            if str(folder) not in sys.path:
                sys.path.append(str(folder))
        for folder in folders:
            self._run_file(Path(folder, "init.py"))  # folders it adds have theirs run at once
        if self._gui:
            for added in list(self._plugin_path):
                self._run_file(Path(added, "menu.py"))

    @staticmethod
    def _run_file(path: Path) -> None:
        if path.is_file():
            runpy.run_path(str(path), run_name=f"nuke_{path.stem}")

    # Context.

    def _need_main_thread(self, what: str) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(f"{what} called outside the main thread")

    @contextlib.contextmanager
    def _in_context(self, **values: Any) -> Iterator[None]:
        depth = len(self._groups)
        self._context.append(values)
        node = values.get("node")
        if node is not None:
            self._groups.append(node if isinstance(node, nodes.Group) else node._parent)
        try:
            yield
        finally:
            del self._groups[depth:]
            self._context.pop()

    def _call(self, event: str, node: nodes.Node, **values: Any) -> None:
        for call, args, kwargs, kind in list(self._callbacks[event]):
            if kind in ("*", node._kind):
                with self._in_context(node=node, event=event, **values):
                    call(*args, **kwargs)

    def _created(self, node: nodes.Node) -> None:
        self._call("OnCreate", node)
        text = node._knobs["onCreate"]._value
        if text:
            with self._in_context(node=node, event="OnCreate"):
                exec(text, {"__name__": "__main__"})

    def _knob_changed(self, node: nodes.Node, knob: knobs.Knob) -> None:
        node._changed(knob)
        self._modified = True
        if node._parent is None or node not in node._parent._nodes:
            return
        if len([c for c in self._context if c.get("event") == "KnobChanged"]) > 20:
            raise RecursionError(f"knobChanged of {node.fullName()} calls itself")
        self._call("KnobChanged", node, knob=knob)
        text = node._knobs["knobChanged"]._value
        if text:
            with self._in_context(node=node, knob=knob, event="KnobChanged"):
                exec(text, {"__name__": "__main__"})

    def _ocio_path(self) -> str:
        root = self._root._knobs
        if os.environ.get("OCIO"):
            return os.environ["OCIO"]
        if root["OCIO_config"]._value == "custom":
            return tcl.substitute(root["customOCIOConfigPath"]._value, self._root)
        return "ocio://default"

    def _load(self, node: nodes.Node, path: str) -> images.Image:
        """A file as a Read sees it: kept until *reload*; with localization, the first copy ever made of it."""
        if node._knobs["localizationPolicy"]._value != "off" and path in self._localized:
            return self._localized[path]
        key = (id(node), node._version, path)
        if key not in self._cache:
            self._cache[key] = images.read(path)
        if node._knobs["localizationPolicy"]._value != "off":
            self._localized[path] = self._cache[key]
        for name in self._cache[key].channels:
            layer = name.partition(".")[0]
            self._layers.setdefault(layer, [])
            if name not in self._layers[layer]:
                self._layers[layer].append(name)
        return self._cache[key]

    # Rendering.

    def _execute(
        self,
        target: Any,
        start: Any = None,
        end: int | None = None,
        incr: int = 1,
        views: list[str] | None = None,
        continueOnError: bool = False,
        frameRangeSet: Any = None,
    ) -> None:
        self._need_main_thread("nuke.execute")
        if self._executing or any(c.get("event") in ("KnobChanged", "UpdateUI") for c in self._context):
            raise RuntimeError("I'm already executing something else")
        node = self._to_node(target) if isinstance(target, str) else target
        if node is None:
            raise RuntimeError(f"no such node: {target}")
        if node._kind != "Write":
            raise RuntimeError(f"{node.fullName()} is not executable")
        if node._knobs["disable"]._number(self._frame):
            raise RuntimeError(f"{node.fullName()} is disabled")
        ranges = frameRangeSet if frameRangeSet is not None else start
        frames = ranges.toFrameList() if isinstance(ranges, nodes.FrameRanges) else list(range(start, end + 1, incr))
        chosen = list(self._views) if views is None else list(views)
        for view in chosen:
            if view not in self._views:
                raise RuntimeError(f"no such view: {view}")
        self._executions.append((node.fullName(), frames, chosen))
        self._executing = True
        frame_before, view_before = self._frame, self._view
        try:
            self._render(node, frames, chosen, continueOnError)
        finally:
            self._executing = False
            self._frame, self._view = frame_before, view_before

    def _event(self, event: str, node: nodes.Node) -> None:
        self._call(event, node)
        text = node._knobs[event[0].lower() + event[1:]]._value
        if text:
            with self._in_context(node=node, event=event):
                exec(text, {"__name__": "__main__"})

    def _render(self, node: nodes.Node, frames: list[int], views: list[str], continue_on_error: bool) -> None:
        if frames:
            self._frame = frames[0]
        self._event("BeforeRender", node)
        for index, frame in enumerate(frames):
            if self.cancel_render_after is not None and index >= self.cancel_render_after:
                raise self.cancel_error("Cancelled")
            self._frame = frame
            for view in views:
                self._view = view
                self._event("BeforeFrameRender", node)
                try:
                    self._write(node, frame, view)
                except RuntimeError as error:
                    if continue_on_error:
                        self._printed.append(f"{node.fullName()}: {error}")
                        continue
                    raise
                self._event("AfterFrameRender", node)
        self._event("AfterRender", node)

    def _write(self, node: nodes.Node, frame: int, view: str) -> None:
        value = node._knobs
        kind = value["file_type"]._value
        if kind not in ("exr", "png"):
            raise RuntimeError(f"{node.fullName()}: only EXR and PNG are modelled; set file_type")
        path = nodes.expand(tcl.substitute(value["file"]._value, node), frame, view)
        image = nodes._required(node, frame, view)
        if not value["raw"]._value and value["colorspace"]._value != "default":
            image = nodes._convert(image, value["colorspace"]._value, "linear", inward=False)
        if kind == "png":
            if not Path(path).parent.is_dir():
                raise RuntimeError(f"{node.fullName()}: can't open {path} for writing: No such file or directory")
            images.write_png(path, nodes._convert(image, "sRGB", "linear", inward=False))
            return
        rgb = ["rgba.red", "rgba.green", "rgba.blue"]
        wanted = {"rgb": rgb, "rgba": [*rgb, "rgba.alpha"], "all": list(image.channels)}.get(value["channels"]._value)
        if wanted is None:
            wanted = [c for c in image.channels if c.startswith(value["channels"]._value + ".")]
        box = image.box
        if value["autocrop"]._value:
            mask = sum(abs(image.channels[c]) for c in wanted if c in image.channels) > 0
            ys, xs = mask.nonzero()
            if len(xs):
                x0, y0 = box[0], box[1]
                box = (x0 + int(xs.min()), y0 + int(ys.min()), x0 + int(xs.max()) + 1, y0 + int(ys.max()) + 1)
        image = images.Image(image.format, box, {c: image.plane(c, box) for c in wanted})
        if value["create_directories"]._value:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        if not Path(path).parent.is_dir():
            raise RuntimeError(f"{node.fullName()}: can't open {path} for writing: No such file or directory")
        compression = {"none": "none", "Zip (16 scanlines)": "zip", "Zip (1 scanline)": "zips"}
        temporary = f"{path}.tmp.exr"
        half = value["datatype"]._value == "16 bit half"
        images.write_exr(temporary, image, half, compression.get(value["compression"]._value, "zip"))
        os.replace(temporary, path)

    # Names.

    def _to_node(self, name: str) -> Any:
        if name == "root":
            return self._root
        if name.startswith("root."):
            return self._root.node(name[5:])
        return self._groups[-1].node(name) or self._root.node(name)

    # The module.

    def _module(self) -> types.ModuleType:
        module = _Module("nuke")
        names = dict(self._functions())
        for name, function in list(names.items()):
            if name not in SURFACE.functions:
                raise NotModelledError(f"the stand-in invents nuke.{name}, which types-nuke does not have")
            module.__dict__[name] = self._checked(name, function)
        for name, cls in CLASSES.items():
            if SURFACE.has(name):
                module.__dict__[name] = cls
        major, minor = self._version
        constants = {
            "GUI": self._gui,
            "INTERACTIVE": self._gui,
            "THREADS": 2,
            "NUM_CPUS": 2,
            "NUKE_VERSION_MAJOR": major,
            "NUKE_VERSION_MINOR": minor,
            "NUKE_VERSION_STRING": f"{major}.{minor}v1",
            "EXE_PATH": "/opt/Nuke/Nuke15.1",
            "STARTLINE": knobs.STARTLINE,
            "INVISIBLE": knobs.INVISIBLE,
            "DISABLED": knobs.DISABLED,
            "READ_ONLY": knobs.READ_ONLY,
            "DO_NOT_WRITE": knobs.DO_NOT_WRITE,
            "NO_ANIMATION": knobs.NO_ANIMATION,
            "INPUTS": nodes.INPUTS,
            "HIDDEN_INPUTS": nodes.HIDDEN_INPUTS,
            "EXPRESSIONS": nodes.EXPRESSIONS,
            "WRITE_ALL": nodes.WRITE_ALL,
            "WRITE_NON_DEFAULT_ONLY": nodes.WRITE_NON_DEFAULT_ONLY,
            "WRITE_USER_KNOB_DEFS": nodes.WRITE_USER_KNOB_DEFS,
            "TO_SCRIPT": nodes.TO_SCRIPT,
            "TO_VALUE": nodes.TO_VALUE,
            "TABBEGINGROUP": 1,
            "TABENDGROUP": -1,
            "TABBEGINCLOSEDGROUP": 2,
            "rawArgs": list(self._arguments),
            "nodes": _Nodes(),
            "env": _Environment(
                gui=self._gui,
                NukeVersionMajor=major,
                NukeVersionMinor=minor,
                NukeVersionString=f"{major}.{minor}v1",
                ExecutablePath="/opt/Nuke/Nuke15.1",
                interactive=self._gui,
            ),
        }
        for name, value in constants.items():
            if name not in SURFACE.constants:
                raise NotModelledError(f"the stand-in invents nuke.{name}, which types-nuke does not have")
            module.__dict__[name] = value
        module.__dict__["CancelledError"] = CancelledError
        return module

    @staticmethod
    def _checked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            check(f"nuke.{name}", SURFACE.functions[name], args, kwargs, CLASSES)
            return function(*args, **kwargs)

        call.__name__ = name
        return call

    def _functions(self) -> Iterator[tuple[str, Callable[..., Any]]]:
        for event, default in CALLBACKS.items():
            yield f"add{event}", self._adder(event, default)
            yield f"remove{event}", self._remover(event, default)
        yield "execute", self._execute
        yield "render", self._execute
        for name in dir(self):
            if name.startswith("_nuke_"):
                yield name[6:], getattr(self, name)

    def _adder(self, event: str, default: str) -> Callable[..., None]:
        def add(call: Any, args: tuple = (), kwargs: dict | None = None, nodeClass: str = default, **more: Any) -> None:
            entry = (call, tuple(args), dict(kwargs or {}), nodeClass)
            if entry in self._callbacks[event]:  # as the host does: the newest of two equal ones stays
                self._callbacks[event].remove(entry)
            self._callbacks[event].append(entry)

        return add

    def _remover(self, event: str, default: str) -> Callable[..., None]:
        def remove(call: Any, args: tuple = (), kwargs: dict | None = None, nodeClass: str = default) -> None:
            entry = (call, tuple(args), dict(kwargs or {}), nodeClass)
            if entry in self._callbacks[event]:
                self._callbacks[event].remove(entry)

        return remove

    def _nuke_root(self) -> nodes.Group:
        return self._root

    def _nuke_toNode(self, s: str) -> Any:
        return self._to_node(s)

    def _nuke_exists(self, s: str) -> bool:
        node, _, knob = s.rpartition(".")
        return self._to_node(s) is not None or (bool(node) and self._knob_exists(node, knob))

    def _knob_exists(self, node: str, knob: str) -> bool:
        found = self._to_node(node)
        return found is not None and knob in found._knobs

    def _nuke_thisNode(self) -> Any:
        for values in reversed(self._context):
            if "node" in values:
                return values["node"]
        return self._groups[-1]

    def _nuke_thisKnob(self) -> Any:
        for values in reversed(self._context):
            if "knob" in values:
                return values["knob"]
        return None

    def _nuke_thisGroup(self) -> Any:
        return self._groups[-1]

    def _nuke_thisParent(self) -> Any:
        return self._nuke_thisNode()._parent

    def _nuke_thisView(self) -> str:
        return self._view

    def _nuke_allNodes(self, filter: str | None = None, group: Any = None, recurseGroups: bool = False) -> list[Any]:
        found: list[Any] = []
        for node in (group or self._groups[-1])._nodes:
            if filter is None or node._kind == filter:
                found.append(node)
            if recurseGroups and isinstance(node, nodes.Group):
                found += self._nuke_allNodes(filter, node, True)
        return found

    def _nuke_selectedNodes(self, filter: str | None = None) -> list[Any]:
        return [n for n in self._groups[-1]._nodes if n.isSelected() and filter in (None, n._kind)]

    def _nuke_selectedNode(self) -> Any:
        selected = self._nuke_selectedNodes()
        if not selected:
            raise ValueError("no node selected")
        return selected[-1]

    def _nuke_createNode(self, typ: str, knobs: str = "", inpanel: bool = True) -> Any:
        self._need_main_thread("nuke.createNode")
        selected = self._nuke_selectedNodes()
        node = nodes.create(typ, self._groups[-1])
        script._load_knobs(node, knobs)
        if selected and node._slots():
            node.setInput(0, selected[-1])
        for other in selected:
            other.setSelected(False)
        node.setSelected(True)
        self._call("OnUserCreate", node)
        self._created(node)
        return node

    def _nuke_delete(self, n: Any) -> None:
        if n is not None:
            self._need_main_thread("nuke.delete")
            self._call("OnDestroy", n)
            nodes.delete(n)

    def _nuke_frame(self, f: int | None = None) -> int:
        if f is not None:
            self._frame = f
        return self._frame

    def _nuke_executing(self, f: float | None = None) -> bool:
        return self._executing

    def _nuke_views(self) -> list[str]:
        return list(self._views)

    def _nuke_addView(self, s: str) -> None:
        self._views.append(s)

    def _nuke_layers(self, node: Any = None) -> list[str]:
        return list(self._layers)

    def _nuke_channels(self, node: Any = None) -> list[str]:
        return node.channels() if node is not None else [c for names in self._layers.values() for c in names]

    def _nuke_sample(self, node: Any, channel: str, x: int, y: int, dx: int = 1, dy: int = 1) -> float:
        image = node._now()
        row = image.format.height - 1 - y
        return float(image.plane(channel, (int(x), row, int(x) + 1, row + 1))[0, 0])

    def _popup(self, kind: str, prompt: str) -> None:
        if not self._gui:
            raise RuntimeError(f"nuke.{kind} needs a GUI")
        self._need_main_thread(f"nuke.{kind}")
        self._messages.append(prompt)

    def _nuke_message(self, prompt: str) -> None:
        self._popup("message", prompt)

    def _nuke_alert(self, prompt: str) -> None:
        self._popup("alert", prompt)

    def _nuke_ask(self, prompt: str) -> bool:
        self._popup("ask", prompt)
        if not self._answers:
            raise AssertionError(f"the test gives no answer to: {prompt}")
        return self._answers.pop(0)

    def _nuke_tprint(self, *args: Any, sep: str = " ", end: str = "\n", file: Any = None) -> None:
        self._printed.append(sep.join(str(a) for a in args))
        print(*args, sep=sep, end=end, file=file or sys.stdout, flush=True)

    def _nuke_warning(self, message: str) -> None:
        self._nuke_tprint(f"Warning: {message}")

    def _nuke_error(self, message: str) -> None:
        self._nuke_tprint(f"Error: {message}")

    def _nuke_debug(self, message: str) -> None:
        self._printed.append(message)

    def _nuke_executeInMainThread(self, call: Any, args: Any = (), kwargs: Any = None) -> None:
        self._from_thread(call, args, kwargs, None)

    def _nuke_executeInMainThreadWithResult(self, call: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer: queue.Queue = queue.Queue()
        self._from_thread(call, args, kwargs, answer)
        return answer.get(timeout=60)

    def _from_thread(self, call: Any, args: Any, kwargs: Any, answer: queue.Queue | None) -> None:
        if threading.current_thread() is threading.main_thread():
            raise RuntimeError("executeInMainThread called from the main thread: it would wait for itself")
        if not self._gui and answer is not None:
            raise RuntimeError("nothing serves the main thread's queue in terminal mode")
        self._queue.put((call, args if isinstance(args, tuple) else (args,), dict(kwargs or {}), answer))

    def _nuke_menu(self, name: str) -> _Menu:
        if not self._gui:
            raise RuntimeError("there are no menus in terminal mode")
        return self._menus.setdefault(name, _Menu(name))

    def _nuke_toolbar(self, name: str, create: bool = True) -> _Menu:
        return self._nuke_menu(name)

    def _nuke_pluginAddPath(self, args: str, addToSysPath: bool = True) -> None:
        self._plugin_path.insert(0, str(args))
        if addToSysPath and str(args) not in sys.path:
            sys.path.insert(0, str(args))
        self._run_file(Path(args, "init.py"))

    def _nuke_pluginAppendPath(self, args: str, addToSysPath: bool = True) -> None:
        self._plugin_path.append(str(args))
        if addToSysPath and str(args) not in sys.path:
            sys.path.append(str(args))
        self._run_file(Path(args, "init.py"))

    def _nuke_pluginPath(self) -> list[str]:
        return list(self._plugin_path)

    def _nuke_scriptName(self) -> str:
        name = self._root._name()
        if not name:
            raise RuntimeError("the script has no name")
        return name

    def _nuke_script_directory(self) -> str:
        name = self._root._name()
        return "" if not name else os.path.dirname(name)

    def _nuke_scriptSaveAs(self, filename: str | None = None, overwrite: int = -1) -> None:
        if filename is None:
            raise RuntimeError("no file name")
        if os.path.exists(filename) and overwrite not in (1, True):
            raise RuntimeError(f"{filename} exists")
        self._root._knobs["name"]._value = filename
        self._call("OnScriptSave", self._root)
        Path(filename).write_text(script.write())
        self._modified = False

    def _nuke_scriptSave(self, filename: str | None = None) -> bool:
        self._nuke_scriptSaveAs(filename or self._nuke_scriptName(), 1)
        return True

    def _nuke_scriptClear(self) -> None:
        self._call("OnScriptClose", self._root)
        for node in list(self._root._nodes):
            nodes.delete(node)
        self._new_root()
        self._cache.clear()

    def _nuke_scriptOpen(self, filename: str | None = None) -> None:
        if not filename or not Path(filename).is_file():
            raise RuntimeError(f"can't read {filename}: No such file")
        self._nuke_scriptClear()
        self._root._knobs["name"]._value = filename
        script.read(Path(filename).read_text())
        self._call("OnScriptLoad", self._root)

    def _nuke_nodeCopy(self, s: str) -> None:
        if s != "%clipboard%":
            raise RuntimeError("only the clipboard is modelled")
        self._clipboard = script.write(self._nuke_selectedNodes())

    def _nuke_nodePaste(self, s: str) -> Any:
        if s != "%clipboard%":
            raise RuntimeError("only the clipboard is modelled")
        made = script.read(self._clipboard, self._groups[-1])
        return made[-1] if made else None

    def _nuke_usingOcio(self) -> bool:
        return self._root._knobs["colorManagement"]._value == "OCIO"

    def _nuke_getOcioColorSpaces(self) -> list[str]:
        import OpenImageIO as oiio

        return list(oiio.ColorConfig(self._ocio_path()).getColorSpaceNames())

    def _nuke_modified(self, state_: bool | None = None) -> bool:
        if state_ is not None:
            self._modified = state_
        return self._modified

    def _nuke_show(self, n: Any, forceFloat: bool = False) -> None:
        n.showControlPanel()


class _Module(types.ModuleType):
    """The module: a name types-nuke lacks raises AttributeError, one missing only here NotModelledError."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if SURFACE.has(name):
            raise NotModelledError(f"nuke.{name} is in types-nuke but not modelled by the stand-in")
        raise AttributeError(f"module 'nuke' has no attribute {name!r} in types-nuke")

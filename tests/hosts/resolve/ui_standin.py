"""A stand-in for Resolve's UIManager and UIDispatcher: windows of plain records, and an editor who follows a script."""

# ruff: noqa: N802 - the names are the host's
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resolve_standin import Silent


class Widget(Silent):
    """Any element; its properties are those of the constructor's dict. Unknown ones read as None."""

    def __init__(self, kind: str, properties: dict[str, Any], children: list[Widget]) -> None:
        self.kind = kind
        self.children = children
        self.entries: list[str] = []
        self.__dict__.update(properties)

    def AddItem(self, text: str) -> None:
        self.entries.append(text)


class Events(Silent):
    """``window.On.Name.Clicked = function`` and ``window.On["Name"].Close = function``."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__dict__.setdefault(name, Silent())

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


class Window:
    def __init__(self, properties: dict[str, Any], children: list[Widget]) -> None:
        self.id = properties["ID"]
        self.title = properties["WindowTitle"]
        self.visible = False
        self.On = Events()
        self._items: dict[str, Widget] = {}
        self._collect(children)

    def _collect(self, widgets: list[Widget]) -> None:
        for widget in widgets:
            if widget.ID is not None:
                self._items[widget.ID] = widget
            self._collect(widget.children)

    def GetItems(self) -> dict[str, Widget]:
        return self._items

    def Show(self) -> None:
        self.visible = True

    def Hide(self) -> None:
        self.visible = False

    def press(self, name: str, event: str = "Clicked") -> None:
        """What the editor does."""
        handler = getattr(self.On[name], event)
        assert handler is not None, f"nothing happens on {name}.{event}"
        handler({"who": name})


class Manager(Silent):
    """``ui.Label({...})``, ``ui.VGroup([...])`` and so on."""

    KINDS = ("Label", "Button", "ComboBox", "LineEdit", "TextEdit", "SpinBox", "CheckBox", "VGroup", "HGroup")

    def __getattr__(self, name: str) -> Any:
        if name not in self.KINDS:
            return super().__getattr__(name)

        def make(*args: Any) -> Widget:
            properties = next((a for a in args if isinstance(a, dict)), {})
            children = next((a for a in args if isinstance(a, list)), [])
            return Widget(name, properties, children)

        return make


class Dispatcher(Silent):
    """Plays ``script``: each RunLoop runs the next function with the newest window; each StepLoop calls ``on_step``."""

    def __init__(self, script: list[Callable[[Window], None]] | None = None, makes_windows: bool = True) -> None:
        self.script = list(script or [])
        self.windows: list[Window] = []
        self.makes_windows = makes_windows
        self.on_step: Callable[[Window], None] | None = None
        self.left = True

    def AddWindow(self, properties: dict[str, Any], children: list[Widget]) -> Window | None:
        if not self.makes_windows:
            return None
        self.windows.append(Window(properties, children))
        return self.windows[-1]

    def RunLoop(self) -> None:
        shown = [window for window in self.windows if window.visible]
        assert shown, "RunLoop without a window: Resolve would hang"
        assert self.script, f"the editor has nothing to do in {shown[-1].id}"
        self.left = False
        self.script.pop(0)(shown[-1])
        assert self.left, "the loop was not left: Resolve would hang"

    def ExitLoop(self) -> None:
        self.left = True

    def StepLoop(self) -> None:
        shown = [window for window in self.windows if window.visible]
        if self.on_step is not None and shown:
            self.on_step(shown[-1])


class FakeBmd(Silent):
    """The ``bmd`` global of a menu script."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def UIDispatcher(self, manager: Any) -> Dispatcher:
        return self._dispatcher


class FakeFusion(Silent):
    """The ``fu`` global of a menu script."""

    def __init__(self) -> None:
        self.UIManager = Manager()

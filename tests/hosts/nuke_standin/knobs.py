"""Knobs: typed values with flags, expressions, callbacks on change, and what of them survives a save."""

from typing import Any

from . import tcl
from .state import Strict, host, modelled

STARTLINE, INVISIBLE, DISABLED, READ_ONLY, DO_NOT_WRITE, NO_ANIMATION = (
    1 << 12,
    1 << 10,
    1 << 7,
    1 << 28,
    1 << 9,
    1 << 8,
)
LOST_ON_SAVE = "every flag set by a program: a script file keeps the value, the label and the tooltip of a user knob"


@modelled
class Knob(Strict):
    """Base of all knobs. ``_code`` is the number a script file gives the class."""

    _code = 0
    _default: Any = ""

    def __init__(self, name: str, label: str | None = None) -> None:
        if not isinstance(name, str) or not (label is None or isinstance(label, str)):
            raise TypeError(f"a knob takes a name and a label, not {name!r}, {label!r}")
        self._name, self._label = name, label if label is not None else name
        self._value = type(self)._default
        self._initial = self._value
        self._flags, self._tooltip, self._node = 0, "", None
        self._expressions: dict[int, str] = {}
        self._visible = self._enabled = True
        self._user = False

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def Class(self) -> str:
        return type(self)._stub

    def name(self) -> str:
        return self._name

    def label(self) -> str:
        return self._label

    def setLabel(self, label: str) -> None:
        self._label = label

    def tooltip(self) -> str:
        return self._tooltip

    def setTooltip(self, tooltip: str) -> None:
        self._tooltip = tooltip

    def node(self) -> Any:
        return self._node

    def setFlag(self, flag: int) -> None:
        self._flags |= flag

    def clearFlag(self, flag: int) -> None:
        self._flags &= ~flag

    def getFlag(self, flag: int) -> bool:
        return bool(self._flags & flag)

    def setVisible(self, visible: bool) -> None:
        self._visible = visible

    def visible(self) -> bool:
        return self._visible and not self._flags & INVISIBLE

    def setEnabled(self, enabled: bool) -> None:
        self._enabled = enabled

    def enabled(self) -> bool:
        return self._enabled and not self._flags & DISABLED

    def setExpression(self, expression: str, index: int = 0, view: str | None = None) -> bool:
        self._expressions[index] = expression
        return True

    def hasExpression(self, index: int = -1) -> bool:
        return bool(self._expressions)

    def clearAnimated(self, channel: int = -1) -> bool:
        self._expressions.clear()
        return True

    def isAnimated(self, channel: int = -1) -> bool:
        return False

    def fullyQualifiedName(self, channel: int = -1) -> str:
        return f"{self._node.fullName()}.{self._name}"

    def toScript(self, quote: bool = True, context: Any = None) -> str:
        if self._expressions:
            return "{{" + next(iter(self._expressions.values())) + "}}"
        return tcl.quote(self._text()) if quote else self._text()

    def fromScript(self, script: str) -> None:
        self._set(self._parse(script))

    # Internal.

    def _text(self) -> str:
        return str(self._value)

    def _parse(self, text: str) -> Any:
        return text

    def _set(self, value: Any) -> bool:
        changed = value != self._value
        self._value = value
        if changed and self._node is not None:
            host()._knob_changed(self._node, self)
        return changed

    def _number(self, frame: float) -> float:
        if 0 in self._expressions:
            return tcl.number(self._expressions[0], self._node, frame)
        return float(self._value)

    def _get(self) -> Any:
        return self._value

    def value(self, index: int = 0) -> Any:
        return self._get()

    def getValue(self, channel: int = 0) -> Any:
        return self._get()

    def setValue(self, val: Any, chan: int = 0) -> bool:
        return self._set(self._accept(val))

    def _accept(self, value: Any) -> Any:
        raise TypeError(f"a {type(self).__name__} takes no value")


@modelled
class Array_Knob(Knob):
    """Numbers."""

    _code = 7
    _default: Any = 0.0

    def setRange(self, low: float, high: float) -> None:
        self._range = (float(low), float(high))

    def setDefaultValue(self, values: Any) -> None:
        self._initial = self._accept(values[0])

    def defaultValue(self) -> Any:
        return self._initial

    def notDefault(self) -> bool:
        return self._value != self._initial

    def setValue(self, value: Any, channel: int = 0) -> bool:
        return self._set(self._accept(value))

    def value(self, channel: int = 0) -> Any:
        return self._get()

    def getValue(self, channel: int = 0) -> Any:
        return self._get()

    def getValueAt(self, frame: float, channel: int = 0) -> Any:
        return self._number(frame)

    def hasExpression(self, index: int = -1) -> bool:
        return bool(self._expressions)

    def setExpression(self, expression: str, channel: int = 0, view: str | None = None) -> bool:
        self._expressions[channel] = expression
        return True

    def clearAnimated(self, channel: int = -1) -> bool:
        self._expressions.clear()
        return True

    def isAnimated(self, channel: int = -1) -> bool:
        return False

    def toScript(self, quote: bool = True, context: Any = None) -> str:
        return Knob.toScript(self, quote)

    def fromScript(self, script: str) -> None:
        Knob.fromScript(self, script)

    def _accept(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{self._name}: {value!r} is not a number")
        return float(value)

    def _get(self) -> Any:
        return self._number(host()._frame) if self._expressions else self._value

    def _text(self) -> str:
        return f"{self._value:g}" if isinstance(self._value, float) else str(self._value)

    def _parse(self, text: str) -> Any:
        return float(text)


@modelled
class Double_Knob(Array_Knob):
    """A floating-point number."""


@modelled
class WH_Knob(Array_Knob):
    """A number or a pair; only equal pairs are modelled."""


@modelled
class AColor_Knob(Array_Knob):
    """A colour; only grey is modelled."""


@modelled
class BBox_Knob(Array_Knob):
    """Four numbers x, y, r, t in pixels, y upwards."""

    _default = (0.0, 0.0, 0.0, 0.0)

    def setValue(self, value: Any, channel: int | None = None) -> bool:
        if channel is not None:
            values = list(self._value)
            values[channel] = float(value)
            return self._set(tuple(values))
        if len(value) != 4:
            raise TypeError(f"{self._name}: four numbers expected, not {value!r}")
        return self._set(tuple(float(v) for v in value))

    def value(self, channel: int | None = None) -> Any:
        return self._value if channel is None else self._value[channel]

    def x(self) -> float:
        return self._value[0]

    def y(self) -> float:
        return self._value[1]

    def r(self) -> float:
        return self._value[2]

    def t(self) -> float:
        return self._value[3]

    def toScript(self, quote: bool = True, context: Any = None) -> str:
        return "{" + self._text() + "}"

    def _text(self) -> str:
        return " ".join(f"{v:g}" for v in self._value)

    def _parse(self, text: str) -> Any:
        return tuple(float(v) for v in text.strip("{}").split())


@modelled
class Int_Knob(Array_Knob):
    """A whole number."""

    _code = 3
    _default = 0

    def setValue(self, val: Any) -> bool:
        return self._set(self._accept(val))

    def value(self) -> int:
        return int(self._get())

    def _accept(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{self._name}: {value!r} is not a whole number")
        return value

    def _parse(self, text: str) -> Any:
        return int(float(text))


@modelled
class Boolean_Knob(Array_Knob):
    """A check box."""

    _code = 6
    _default = False

    def setValue(self, b: Any) -> bool:
        if not isinstance(b, (bool, int, float)):
            raise TypeError(f"{self._name}: {b!r} is not a truth value")
        return self._set(bool(b))

    def value(self) -> bool:
        return bool(self._get())

    def _text(self) -> str:
        return "true" if self._value else "false"

    def _parse(self, text: str) -> Any:
        return text in ("true", "1", "T")


@modelled
class Disable_Knob(Boolean_Knob):
    """The disable check box of every node."""

    def setValue(self, b: Any) -> bool:
        return Boolean_Knob.setValue(self, b)

    def value(self) -> bool:
        return Boolean_Knob.value(self)


@modelled
class Unsigned_Knob(Array_Knob):
    """An unsigned number, such as a tile colour."""

    _default = 0

    def setValue(self, val: Any) -> bool:
        if isinstance(val, bool) or not isinstance(val, int) or val < 0 or val > 0xFFFFFFFF:
            raise TypeError(f"{self._name}: {val!r} is not an unsigned 32-bit number")
        return self._set(val)

    def value(self) -> int:
        return self._value

    def _parse(self, text: str) -> Any:
        return int(text, 0)


@modelled
class ColorChip_Knob(Unsigned_Knob):
    """A packed 0xRRGGBBAA colour."""


@modelled
class Enumeration_Knob(Unsigned_Knob):
    """One of a list of words."""

    _code = 4

    def __init__(self, name: str, label: str | None = None, items: Any = ()) -> None:
        super().__init__(name, label)
        if isinstance(items, str):
            raise TypeError(f"{name}: a list of words expected")
        self._items = [str(item) for item in items]
        self._value = self._initial = self._items[0] if self._items else ""

    def values(self) -> list[str]:
        return list(self._items)

    def setValues(self, items: Any) -> None:
        self._items = [str(item) for item in items]

    def numValues(self) -> int:
        return len(self._items)

    def enumName(self, n: int) -> str:
        return self._items[n]

    def value(self) -> str:
        return self._value

    def getValue(self, channel: int = 0) -> float:
        return float(self._items.index(self._value))

    def setValue(self, value: Any) -> bool:
        if isinstance(value, int) and not isinstance(value, bool):
            value = self._items[value]
        if value not in self._items:
            raise ValueError(f"{self._name}: {value!r} is not one of {self._items}")
        return self._set(value)

    def _number(self, frame: float) -> float:
        return float(self._items.index(self._value))

    def _get(self) -> Any:
        return self._value

    def _parse(self, text: str) -> Any:
        if text not in self._items:
            raise ValueError(f"{self._name}: {text!r} is not one of {self._items}")
        return text


@modelled
class String_Knob(Knob):
    """A line of text."""

    _code = 1

    def __init__(self, name: str, label: str | None = None, value: str = "") -> None:
        super().__init__(name, label)
        self._value = self._accept(value)

    def value(self, oc: Any = None) -> str:
        return self._value

    def getValue(self) -> str:
        return self._value

    def getText(self, oc: Any = None) -> str:
        return self._value

    def setText(self, text: str) -> None:
        self._set(self._accept(text))

    def setValue(self, val: Any, view: str = "") -> None:
        self._set(self._accept(val))

    def _accept(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise TypeError(f"{self._name}: {value!r} is not text")
        return value


@modelled
class EvalString_Knob(String_Knob):
    """Text with ``[commands]``; backslashes are taken as escapes when it is evaluated."""

    def evaluate(self, frame: float | None = None) -> str:
        return tcl.substitute(self._value, self._node)


@modelled
class Multiline_Eval_String_Knob(EvalString_Knob):
    """Several lines of such text."""

    _code = 43


@modelled
class File_Knob(EvalString_Knob):
    """A file name."""

    _code = 2

    def value(self) -> str:
        return self._value

    def getValue(self) -> str:
        return self._value

    def setValue(self, value: Any) -> None:
        self._set(self._accept(value))

    def fromUserText(self, text: str) -> None:
        self._set(text.replace("\\", "/"))

    def getEvaluatedValue(self) -> str:
        return tcl.substitute(self._value, self._node)


@modelled
class Script_Knob(String_Knob):
    """A button with a script."""

    _code = 32

    def command(self) -> str:
        return self._value

    def setCommand(self, cmd: str) -> None:
        self._value = self._accept(cmd)

    def setValue(self, cmd: str) -> None:
        self._value = self._accept(cmd)

    def value(self) -> str:
        return self._value

    def execute(self) -> None:
        raise TypeError("TCL scripts are not modelled")


@modelled
class PyScript_Knob(Script_Knob):
    """A button that runs Python with ``nuke.thisNode()`` being its node."""

    _code = 22

    def execute(self) -> None:
        if self._node._kind == "Read" and self._name == "reload":
            self._node._version += 1
            return
        with host()._in_context(node=self._node, knob=self):
            exec(compile(self._value, f"<{self._name}>", "exec"), {"__name__": "__main__"})


@modelled
class Text_Knob(Knob):
    """Text that cannot be edited, or a divider line."""

    _code = 26

    def __init__(self, name: str, label: str | None = None, value: str = "") -> None:
        super().__init__(name, label)
        self._value = self._accept(value)

    def value(self) -> str:
        return self._value

    def setValue(self, value: Any) -> bool:
        return self._set(self._accept(value))

    def _accept(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise TypeError(f"{self._name}: {value!r} is not text")
        return value


@modelled
class Tab_Knob(Knob):
    """A tab or, with a second number, a group of knobs."""

    _code = 20

    def __init__(self, name: str, label: str | None = None, kind: int = 0) -> None:
        super().__init__(name, label)
        self._kind = kind

    def value(self) -> str:
        return ""

    def setValue(self, value: Any) -> None:
        raise TypeError("a tab has no value")


@modelled
class Channel_Knob(Knob):
    """A channel or a layer, which must exist."""

    def value(self) -> str:
        return self._value

    def setValue(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{self._name}: {name!r} is not a channel")
        known = host()._layers
        if name not in ("none", "all", "rgb", "rgba", "alpha", *known) and not any(name in c for c in known.values()):
            raise ValueError(f"{self._name}: no channel or layer {name!r}; create it with nuke.Layer first")
        self._set(name)


@modelled
class Format_Knob(Knob):
    """A format, given as a ``nuke.Format``."""

    _default: Any = None

    def setValue(self, value: Any) -> bool:
        if not hasattr(value, "pixelAspect"):
            raise TypeError(f"{self._name}: {value!r} is no format")
        return self._set(value._value)

    def value(self) -> Any:
        return self._value

    def toScript(self, quote: bool = True, context: Any = None) -> str:
        return tcl.quote(f"{self._value.width} {self._value.height} 0 0 0 0 {self._value.aspect:g}")

    def fromScript(self, script: str) -> None:
        raise TypeError("formats are not read back")


USER_CODES = {
    cls._code: cls
    for cls in (
        Double_Knob,
        Int_Knob,
        Boolean_Knob,
        Enumeration_Knob,
        String_Knob,
        File_Knob,
        PyScript_Knob,
        Text_Knob,
        Tab_Knob,
        Multiline_Eval_String_Knob,
    )
}

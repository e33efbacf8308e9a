"""Scripts as text: saving and loading, with what is lost on the way (flags set by a program)."""

from __future__ import annotations

from typing import Any

from . import knobs, nodes, tcl
from .state import host

ALWAYS_SAVED = ("name", "xpos", "ypos")
PLACEHOLDER = ("selected",)


def _user_knob(knob: knobs.Knob) -> str:
    words = [str(knob._code), knob._name, "l", tcl.quote(knob._label)]
    if knob._tooltip:
        words += ["t", tcl.quote(knob._tooltip)]
    if isinstance(knob, knobs.Enumeration_Knob):
        words += ["M", "{" + " ".join(tcl.quote(i) for i in knob._items) + "}"]
    if isinstance(knob, knobs.Tab_Knob):
        if knob._kind:
            words += ["n", str(knob._kind)]
    elif isinstance(knob, (knobs.Text_Knob, knobs.PyScript_Knob)):
        words += ["T", tcl.quote(knob._value)]
    return "addUserKnob {" + " ".join(words) + "}"


def _knob_lines(node: nodes.Node) -> list[str]:
    lines = []
    for knob in node._knobs.values():
        if knob._name in PLACEHOLDER:
            continue
        if knob._user:
            lines.append(_user_knob(knob))
            if isinstance(knob, (knobs.Tab_Knob, knobs.Text_Knob, knobs.PyScript_Knob)):
                continue
        if knob._flags & knobs.DO_NOT_WRITE:
            continue
        if knob._name in ALWAYS_SAVED or knob._value != knob._initial or knob._expressions:
            lines.append(f"{knob._name} {knob.toScript()}")
    return lines


def _ordered(group: nodes.Group, only: list[nodes.Node] | None) -> list[nodes.Node]:
    result: list[nodes.Node] = []
    wanted = group._nodes if only is None else only

    def visit(node: nodes.Node) -> None:
        if node in result:
            return
        for wire in node._wires:
            if wire is not None and wire in wanted:
                visit(wire)
        result.append(node)

    for node in wanted:
        visit(node)
    return result


def _body(group: nodes.Group, indent: str, only: list[nodes.Node] | None = None) -> list[str]:
    lines: list[str] = []
    order = _ordered(group, only)
    for node in order:
        for wire in reversed(node._wires):
            known = wire is not None and wire in order
            lines.append(f"{indent}push ${'N%x' % id(wire)}" if known else f"{indent}push 0")
        lines.append(f"{indent}{node._kind} {{")
        lines.append(f"{indent} inputs {len(node._wires)}")
        lines += [f"{indent} {line}" for line in _knob_lines(node)]
        lines.append(f"{indent}}}")
        if isinstance(node, nodes.Group):
            lines += _body(node, indent + " ")
            lines.append(f"{indent}end_group")
        lines.append(f"{indent}set N{id(node):x} [stack 0]")
    return lines


def write(only: list[nodes.Node] | None = None) -> str:
    """The script as text, or only some of its nodes (what the clipboard gets)."""
    root = host()._root
    if only is not None:
        return "\n".join(_body(root, "", only)) + "\n"
    lines = ["#! stand-in -nx", "version 15.1 v1", "Root {", " inputs 0"]
    lines += [f" {line}" for line in _knob_lines(root)]
    lines.append(f' views "{" ".join(host()._views)}"')
    lines.append("}")
    for layer, channels in host()._layers.items():
        if layer not in ("rgba",):
            lines.append(f"add_layer {{{layer} {' '.join(channels)}}}")
    return "\n".join(lines + _body(root, "")) + "\n"


def _blocks(text: str) -> list[str]:
    commands, current, depth, quoted, index = [], "", 0, False, 0
    while index < len(text):
        character = text[index]
        if character == "\\":
            current += text[index : index + 2]
            index += 2
            continue
        if character == '"':
            quoted = not quoted
        elif not quoted:
            depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "\n" and not quoted and depth == 0:
            commands.append(current.strip())
            current = ""
        else:
            current += character
        index += 1
    return [c for c in [*commands, current.strip()] if c]


def _load_user_knob(node: nodes.Node, text: str) -> None:
    words = tcl.split(text)
    code, name, options = int(words[0]), words[1], words[2:]
    values = dict(zip(options[::2], options[1::2], strict=True))
    kind = knobs.USER_CODES[code]
    label = values.get("l", name)
    if kind is knobs.Enumeration_Knob:
        knob: Any = kind(name, label, tcl.split(values["M"]))
    elif kind is knobs.Tab_Knob:
        knob = kind(name, label, int(values.get("n", 0)))
    elif kind in (knobs.Text_Knob, knobs.PyScript_Knob):
        knob = kind(name, label, values.get("T", ""))
    else:
        knob = kind(name, label)
    knob._tooltip = values.get("t", "")
    knob._user = True
    node._attach(knob)


def _load_knobs(node: nodes.Node, text: str, start: bool = True) -> tuple[int, str | None]:
    inputs, name = -1, None
    for line in _blocks(text):
        words = tcl.split(line)
        head = words[0]
        if head == "inputs":
            inputs = int(words[1])
        elif head == "addUserKnob":
            _load_user_knob(node, words[1])
        elif head == "views" and node._kind == "Root":
            host()._views[:] = words[1].split()
        elif head == "name":
            name = words[1]
        elif head in node._knobs:
            knob = node._knobs[head]
            if words[1].startswith("{") and words[1].endswith("}"):
                knob._expressions[0] = words[1][1:-1]
            else:
                knob._value = knob._parse(words[1])
                node._changed(knob)
        else:
            host()._problems.append(f"{node._kind}: no such knob {head}")
    return inputs, name


def read(text: str, group: nodes.Group | None = None) -> list[nodes.Node]:
    """Make the nodes of a script text; ``onCreate`` of a group comes after that of its inner nodes."""
    current = group or host()._root
    groups: list[tuple[nodes.Group, list[Any]]] = []
    stack: list[Any] = []
    variables: dict[str, Any] = {}
    created: list[nodes.Node] = []
    for command in _blocks(text):
        if command.startswith("#") or command.startswith("version"):
            continue
        words = tcl.split(command)
        head = words[0]
        if head == "push":
            stack.append(None if words[1] == "0" else variables[words[1][1:]])
        elif head == "set":
            variables[words[1]] = stack[-1]
        elif head == "add_layer":
            layer, *channels = words[1].split()
            host()._layers[layer] = channels
        elif head == "end_group":
            finished = current
            current, stack = groups.pop()
            stack.append(finished)
            host()._created(finished)
        elif head == "Root":
            _load_knobs(host()._root, words[1])
        else:
            node = nodes.create(head, current)
            inputs, name = _load_knobs(node, words[1])
            if name:
                node.setName(name)
            for index in range(max(0, inputs)):
                wire = stack.pop() if stack else None
                while len(node._wires) <= index:
                    node._wires.append(None)
                node._wires[index] = wire
            if not groups:
                created.append(node)
            if head == "Group":
                groups.append((current, stack))
                current, stack = node, []
            else:
                stack.append(node)
                host()._created(node)
    return created

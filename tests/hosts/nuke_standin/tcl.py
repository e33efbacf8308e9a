"""As much of the host's text language as file paths, labels and number expressions need."""

import os
import re
from typing import Any


def unescape(text: str) -> str:
    """Backslash substitution: what happens to Windows paths that were set with backslashes."""
    table = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
    return re.sub(r"\\(.)", lambda m: table.get(m.group(1), m.group(1)), text, flags=re.DOTALL)


def _words(text: str) -> list[str]:
    words, current, depth = [], "", 0
    for character in text:
        if character == "[":
            depth += 1
        elif character == "]":
            depth -= 1
        if character == " " and depth == 0:
            if current:
                words.append(current)
            current = ""
        else:
            current += character
    return [*words, current] if current else words


def _command(text: str, node: Any) -> str:
    words = [substitute(word, node, escapes=False) for word in _words(text)]
    if not words:
        return ""
    if words[0] == "value" and len(words) in (2, 3):
        try:
            return str(node._resolve(words[1]))
        except (NameError, KeyError):
            if len(words) == 3:
                return words[2]
            raise RuntimeError(f"no such knob: {words[1]}") from None
    if words[0] == "file" and len(words) == 3 and words[1] in ("dirname", "tail", "rootname"):
        path = words[2]
        if words[1] == "dirname":
            return os.path.dirname(path) or "."
        return os.path.basename(path) if words[1] == "tail" else os.path.splitext(path)[0]
    if words[0] == "getenv" and len(words) == 2:
        return os.environ.get(words[1], "")
    raise RuntimeError(f"invalid command name {words[0]!r}: {text}")


def substitute(text: str, node: Any, escapes: bool = True) -> str:
    """Evaluate every ``[command]`` and, unless told otherwise, every backslash escape."""
    result, index = "", 0
    while index < len(text):
        character = text[index]
        if character == "\\" and escapes:
            result += unescape(text[index : index + 2])
            index += 2
        elif character == "[":
            depth, end = 1, index + 1
            while end < len(text) and depth:
                depth += {"[": 1, "]": -1}.get(text[end], 0)
                end += 1
            if depth:
                raise RuntimeError(f"missing close-bracket in {text!r}")
            result += _command(text[index + 1 : end - 1], node)
            index = end
        else:
            result += character
            index += 1
    return result


_TOKEN = re.compile(r"\s*(?:(\d+\.?\d*)|([A-Za-z_][\w.]*)|(&&|\|\||==|!=|<=|>=|[-+*/()<>!?:]))")


def number(expression: str, node: Any, frame: float) -> float:
    """A knob's number expression: arithmetic, comparison, ``&&``, ``||``, ``!``, dotted knob names, ``frame``."""
    python, index = "", 0
    while index < len(expression.rstrip()):
        match = _TOKEN.match(expression, index)
        if match is None:
            raise RuntimeError(f"bad expression {expression!r} at {expression[index:]!r}")
        literal, name, operator = match.groups()
        if literal:
            python += f" {literal}"
        elif name in ("frame", "t"):
            python += f" {frame}"
        elif name:
            python += f" {float(node._resolve(name, frame))}"
        else:
            python += {"&&": " and ", "||": " or ", "!": " not "}.get(operator, operator)
        index = match.end()
    return float(eval(python, {"__builtins__": {}}))


def quote(text: str) -> str:
    """A word for a script file."""
    if text and re.fullmatch(r"[\w./%#:+@~-]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("[", "\\[").replace("]", "\\]")
    escaped = escaped.replace("$", "\\$").replace("\n", "\\n")
    return f'"{escaped}"'


def split(line: str) -> list[str]:
    """The words of one command: quoted (escapes undone), braced (verbatim) or bare."""
    words, index = [], 0
    while index < len(line):
        character = line[index]
        if character.isspace():
            index += 1
        elif character == '"':
            end = index + 1
            while line[end] != '"':
                end += 2 if line[end] == "\\" else 1
            words.append(unescape(line[index + 1 : end]))
            index = end + 1
        elif character == "{":
            depth, end = 1, index + 1
            while depth:
                if line[end] == "\\":
                    end += 1
                elif line[end] == '"' and depth >= 1:
                    end += 1
                    while line[end] != '"':
                        end += 2 if line[end] == "\\" else 1
                else:
                    depth += {"{": 1, "}": -1}.get(line[end], 0)
                end += 1
            words.append(line[index + 1 : end - 1])
            index = end
        else:
            end = index
            while end < len(line) and not line[end].isspace():
                end += 1
            words.append(unescape(line[index:end]))
            index = end
    return words

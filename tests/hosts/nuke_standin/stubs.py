"""The surface of the host as the stub package ``types-nuke`` knows it: which names exist and how they may be called.

The stand-in asks this module before every call, so a misspelt name or a wrong argument fails in a test as it would
fail in an artist's session (a MagicMock would accept both).
"""

import ast
import inspect
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILES = ("_nuke", "utils", "callbacks", "colorspaces", "_nuke_color", "executeInMain", "overrides", "scripts")


class NotModelledError(Exception):
    """The name exists in types-nuke, but this stand-in does not act it out: extend the stand-in before using it."""


def stub_folder() -> Path:
    """Where types-nuke is installed; raises FileNotFoundError when it is not."""
    folder = Path(sysconfig.get_paths()["purelib"]) / "nuke-stubs"
    if not folder.is_dir():
        raise FileNotFoundError(f"types-nuke is not installed: {folder} is missing; run: pip install types-nuke")
    return folder


@dataclass
class Call:
    """One way to call a function: its signature and the annotation of each parameter."""

    signature: inspect.Signature
    annotations: dict[str, ast.expr]


@dataclass
class ClassStub:
    """A class of the stub: its bases, methods (with overloads) and plain attributes."""

    name: str
    bases: tuple[str, ...]
    methods: dict[str, list[Call]] = field(default_factory=dict)
    attributes: set[str] = field(default_factory=set)


def _call(node: ast.FunctionDef, method: bool) -> Call:
    parameters, annotations = [], {}
    positional = list(node.args.posonlyargs) + list(node.args.args)
    defaults = [None] * (len(positional) - len(node.args.defaults)) + list(node.args.defaults)
    for index, (argument, default) in enumerate(zip(positional, defaults, strict=True)):
        if method and index == 0:
            continue
        empty = inspect.Parameter.empty
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters.append(inspect.Parameter(argument.arg, kind, default=empty if default is None else ...))
        if argument.annotation is not None:
            annotations[argument.arg] = argument.annotation
    if node.args.vararg:
        parameters.append(inspect.Parameter(node.args.vararg.arg, inspect.Parameter.VAR_POSITIONAL))
    for argument in node.args.kwonlyargs:
        parameters.append(inspect.Parameter(argument.arg, inspect.Parameter.KEYWORD_ONLY, default=...))
    if node.args.kwarg:
        parameters.append(inspect.Parameter(node.args.kwarg.arg, inspect.Parameter.VAR_KEYWORD))
    return Call(inspect.Signature(parameters), annotations)


class Surface:
    """Everything types-nuke declares in ``nuke``: functions, classes, constants."""

    def __init__(self) -> None:
        self.functions: dict[str, list[Call]] = {}
        self.classes: dict[str, ClassStub] = {}
        self.constants: set[str] = set()
        for name in FILES:
            self._read(ast.parse((stub_folder() / f"{name}.pyi").read_text()))

    def _read(self, tree: ast.Module) -> None:
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                self.functions.setdefault(node.name, []).append(_call(node, method=False))
            elif isinstance(node, ast.ClassDef):
                self.classes[node.name] = self._class(node)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                self.constants.add(node.target.id)
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
                for target in node.targets:
                    if isinstance(target, ast.Name) and node.value.id in self.functions:
                        self.functions[target.id] = self.functions[node.value.id]

    @staticmethod
    def _class(node: ast.ClassDef) -> ClassStub:
        stub = ClassStub(node.name, tuple(b.id for b in node.bases if isinstance(b, ast.Name)))
        for item in node.body:
            if isinstance(item, ast.FunctionDef):
                stub.methods.setdefault(item.name, []).append(_call(item, method=True))
            elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                stub.attributes.add(item.target.id)
        return stub

    def has(self, name: str) -> bool:
        """Whether ``nuke.name`` exists."""
        return name in self.functions or name in self.classes or name in self.constants

    def method(self, class_name: str, name: str) -> list[Call] | None:
        """The ways to call a method, looked up through the bases; None where no class of them has it."""
        stub = self.classes.get(class_name)
        if stub is None:
            return None
        if name in stub.methods:
            return stub.methods[name]
        for base in stub.bases:
            found = self.method(base, name)
            if found is not None:
                return found
        return None

    def has_member(self, class_name: str, name: str) -> bool:
        """Whether objects of the class have the name."""
        stub = self.classes.get(class_name)
        if stub is None:
            return False
        if name in stub.methods or name in stub.attributes:
            return True
        return any(self.has_member(base, name) for base in stub.bases)


def _fits(annotation: ast.expr, value: Any, classes: dict[str, type]) -> bool:
    if isinstance(annotation, ast.Constant) and annotation.value is None:
        return value is None
    if isinstance(annotation, ast.BinOp):
        return _fits(annotation.left, value, classes) or _fits(annotation.right, value, classes)
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name):
        outer, inner = annotation.value.id, annotation.slice
        if outer == "Optional":
            return value is None or _fits(inner, value, classes)
        if outer == "Union" and isinstance(inner, ast.Tuple):
            return any(_fits(item, value, classes) for item in inner.elts)
        if outer == "List":
            return isinstance(value, (list, tuple)) and all(_fits(inner, item, classes) for item in value)
        return True
    if isinstance(annotation, ast.Name):
        name = annotation.id
        if name == "str":
            return isinstance(value, str)
        if name == "bool":
            return isinstance(value, (bool, int))
        if name == "int":
            return isinstance(value, int)
        if name == "float":
            return isinstance(value, (int, float))
        if name == "Callable":
            return callable(value)
        if name in classes:
            return isinstance(value, classes[name])
    return True


def check(what: str, calls: list[Call], args: tuple, kwargs: dict, classes: dict[str, type]) -> None:
    """Raise TypeError unless one of the declared ways to call accepts these arguments."""
    reasons = []
    for call in calls:
        try:
            bound = call.signature.bind(*args, **kwargs)
        except TypeError as error:
            reasons.append(str(error))
            continue
        wrong = [
            f"{name}={bound.arguments[name]!r} is no {ast.unparse(annotation)}"
            for name, annotation in call.annotations.items()
            if name in bound.arguments
            and call.signature.parameters[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
            and not _fits(annotation, bound.arguments[name], classes)
        ]
        if not wrong:
            return
        reasons.append(", ".join(wrong))
    raise TypeError(f"{what}: {'; '.join(reasons)} (types-nuke)")


SURFACE = Surface()

"""What a method's file declares, read without running it: pages compare settings, and import no torch.

`read` follows the names in the text of a file, and of the files of this room that it imports from. What it
cannot follow it does not guess.
"""

from __future__ import annotations

import ast
import importlib
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

_ROOM = "methods"
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


@dataclass(frozen=True)
class Declared:
    """A method, as far as settings are concerned."""

    hyperparameters: Mapping[str, Any] = field(default_factory=dict)  # published defaults
    starts_from: str | None = None  # of an objective, as the three below in `methods.objective`
    first_phase: str | None = None
    trusted: bool = False
    step_name: str | None = None  # of a detector that moves images: the hyper-parameter that is the step
    ensemble: bool = False  # whether it scores by several networks


def read(family: str, name: str) -> Declared | None:
    """What the file of the method `name` declares; None without such a file, or if it cannot be followed."""
    module = f"{_ROOM}.{family}.{name}"
    try:
        known = _tree(module)
        cls = next((node for node in known.values() if _registers(node, name)), None)
        if not isinstance(cls, ast.ClassDef):
            return None
        said = _Class(module, cls)
        return Declared(
            hyperparameters=said.fields,
            starts_from=said.attributes.get("starts_from"),
            first_phase=said.attributes.get("first_phase"),
            trusted=said.attributes.get("trusted", False),
            step_name=said.attributes.get("step_name"),
            ensemble="EnsembleDetector" in said.names,
        )
    except (OSError, SyntaxError, _Unclear):
        return None


class _Unclear(Exception):  # noqa: N818
    """A default that is no plain value."""


class _Class:
    """A class and those of this room that it derives from; what stands nearer wins."""

    def __init__(self, module: str, node: ast.ClassDef) -> None:
        self.names = {node.name}
        self.fields: dict[str, Any] = {}
        self.attributes: dict[str, Any] = {}
        for base in reversed(node.bases):
            found = _find(module, base.id) if isinstance(base, ast.Name) else None
            if found is not None and isinstance(found[1], ast.ClassDef):
                above = _Class(found[0], found[1])
                self.names |= above.names
                self.fields |= above.fields
                self.attributes |= above.attributes
        decorated = any(_called(item) == "dataclass" for item in node.decorator_list)
        for line in node.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                own = line.target.id
                if ast.unparse(line.annotation).startswith("ClassVar"):
                    self._keep(module, own, line.value)
                elif decorated and _called(line.value) != "fitted":
                    self.fields[own] = _value(module, line.value)
            elif isinstance(line, ast.Assign):
                for target in line.targets:
                    if isinstance(target, ast.Name):
                        self._keep(module, target.id, line.value)

    def _keep(self, module: str, name: str, value: ast.expr | None) -> None:
        try:
            self.attributes[name] = _value(module, value)
        except _Unclear:  # such as a paper: no setting
            self.attributes.pop(name, None)


def _registers(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.ClassDef) and any(
        isinstance(item, ast.Call)
        and _called(item) == "register"
        and [arg.value for arg in item.args if isinstance(arg, ast.Constant)] == [name]
        for item in node.decorator_list
    )


def _called(node: ast.AST | None) -> str:
    """The name of what is called, or the name itself, without its module."""
    of = node.func if isinstance(node, ast.Call) else node
    return ast.unparse(of).rpartition(".")[2] if of is not None else ""


def _value(module: str, node: ast.expr | None) -> Any:
    """A plain value: a literal, arithmetic of such, or the name of one."""
    match node:
        case ast.Constant():
            return node.value
        case ast.Tuple() | ast.List():
            items = [_value(module, item) for item in node.elts]
            return tuple(items) if isinstance(node, ast.Tuple) else items
        case ast.UnaryOp(op=ast.USub()):
            return -_value(module, node.operand)
        case ast.BinOp() if type(node.op) in _ARITHMETIC:
            return _ARITHMETIC[type(node.op)](_value(module, node.left), _value(module, node.right))
        case ast.Name():
            found = _find(module, node.id)
            if found is not None and isinstance(found[1], ast.expr):
                return _value(found[0], found[1])
    raise _Unclear(f"{module}: {ast.unparse(node) if node else 'no value'}")


def _find(module: str, name: str) -> tuple[str, ast.AST] | None:
    """Where a name of a module is defined within this room, and the class or the value that it is."""
    node = _tree(module).get(name)
    if isinstance(node, ast.ImportFrom):
        origin = next(alias.name for alias in node.names if name in (alias.asname, alias.name))
        source = node.module or ""
        return _find(source, origin) if source.partition(".")[0] == _ROOM else None
    return None if node is None else (module, node)


def _tree(module: str) -> dict[str, ast.AST]:
    """The classes, values and imports at the top of a module, by name."""
    package, _, name = module.rpartition(".")
    paths = importlib.import_module(package).__path__ if package else ()
    file = next((path for folder in paths if (path := Path(folder, f"{name}.py")).is_file()), None)
    if file is None:
        raise FileNotFoundError(f"{module}: there is no such file")
    return _parsed(file, file.stat().st_mtime_ns)


@cache
def _parsed(file: Path, _changed: int) -> dict[str, ast.AST]:
    found: dict[str, ast.AST] = {}
    for node in ast.parse(file.read_bytes()).body:
        match node:
            case ast.ClassDef():
                found[node.name] = node
            case ast.ImportFrom():
                found |= dict.fromkeys((alias.asname or alias.name for alias in node.names), node)
            case ast.Assign(targets=[ast.Name() as target]):
                found[target.id] = node.value
            case ast.AnnAssign(target=ast.Name() as target) if node.value is not None:
                found[target.id] = node.value
    return found

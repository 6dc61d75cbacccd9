"""The text of methods' files, read without running it: classes with their fields and attributes, and values.

It follows names within this room and, for a method of another package, within that package. What it cannot
follow it does not guess: `Unclear`. This module must not import torch.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from methods.method import Paper

_ROOM = "methods"
_FACES = {"oodbench": "methods.base"}  # a module that hands on what another has
_MADE: Mapping[tuple[str, str], Callable[..., Any]] = {("methods.method", "Paper"): Paper}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


class Unclear(Exception):  # noqa: N818
    """What is no plain value, or a name that leads elsewhere."""


@dataclass(frozen=True)
class Written:
    """An expression where it stands; without one, what is annotated has no value."""

    module: str
    node: ast.expr | None
    annotation: ast.expr | None = None

    def value(self) -> Any:
        """What it comes to; raises `Unclear` if that is no plain value."""
        return _value(self.module, self.node)

    @property
    def text(self) -> str:
        """The expression as it is written; a name as the value that it stands for."""
        if isinstance(self.node, ast.Name):
            return repr(self.value())
        return "" if self.node is None else ast.unparse(self.node)

    @property
    def kind(self) -> str:
        """The annotation; a name of this room as what it stands for."""
        if isinstance(self.annotation, ast.Name):
            found = find(self.module, self.annotation.id)
            if found is not None and isinstance(found[1], ast.expr):
                return ast.unparse(found[1])
        return "" if self.annotation is None else ast.unparse(self.annotation)


class Class:
    """A class and those that it derives from, as far as they can be followed; what stands nearer wins."""

    def __init__(self, module: str, node: ast.ClassDef) -> None:
        self.module, self.node = module, node
        self.own: dict[str, Written] = {}  # attributes that it sets itself
        self._own_fields: dict[str, Written] = {}
        self._own_functions: dict[str, ast.FunctionDef] = {}
        self._read()
        orders = [_above(module, base) for base in node.bases]
        heads: _Order = {key: said for order in orders for key, said in list(order.items())[:1]}
        self.order: _Order = {(module, node.name): self, **_merged([*orders, heads])}
        self.names = tuple(name for _, name in self.order)  # its own and its ancestors', the nearest first
        above = [said for said in reversed(self.order.values()) if said is not None]
        # Of a dataclass, but for what `fit` sets:
        self.fields = {name: written for said in above for name, written in said._own_fields.items()}
        self.attributes = {name: written for said in above for name, written in said.own.items()}
        self.functions = {name: found for said in above for name, found in said._own_functions.items()}

    def _read(self) -> None:
        decorated = any(called(item) == "dataclass" for item in self.node.decorator_list)
        for line in self.node.body:
            match line:
                case ast.AnnAssign(target=ast.Name(id=name)):
                    written = Written(self.module, line.value, line.annotation)
                    if ast.unparse(line.annotation).startswith("ClassVar"):
                        self.own |= {} if line.value is None else {name: written}
                    elif decorated and called(line.value) != "fitted":
                        self._own_fields[name] = written
                case ast.Assign(targets=targets):
                    names = [target.id for target in targets if isinstance(target, ast.Name)]
                    self.own |= dict.fromkeys(names, Written(self.module, line.value))
                case ast.FunctionDef():
                    self._own_functions[line.name] = line

    def said(self, attribute: str, otherwise: Any = None) -> Any:
        """The value of an attribute; `otherwise` where there is none, or none that can be followed."""
        try:
            return self.attributes[attribute].value() if attribute in self.attributes else otherwise
        except Unclear:
            return otherwise


def registered(module: str) -> Iterator[tuple[str, Class]]:
    """The classes of a module that are registered, each by its name there.

    Raises
    ------
    OSError, SyntaxError
        If there is no such file, or it is no Python.
    """
    for node in tree(module).values():
        for item in node.decorator_list if isinstance(node, ast.ClassDef) else ():
            if isinstance(item, ast.Call) and called(item) == "register":
                names = [arg.value for arg in item.args if isinstance(arg, ast.Constant)]
                if len(names) == 1 and isinstance(names[0], str) and isinstance(node, ast.ClassDef):
                    yield names[0], Class(module, node)


def called(node: ast.AST | None) -> str:
    """The name of what is called, or the name itself, without its module."""
    of = node.func if isinstance(node, ast.Call) else node
    return ast.unparse(of).rpartition(".")[2] if of is not None else ""


def find(module: str, name: str) -> tuple[str, ast.AST] | None:
    """Where a name of a module is defined, and the class or value that it is; None if that is elsewhere."""
    node = tree(module).get(name)
    if isinstance(node, ast.ImportFrom):
        origin = next(alias.name for alias in node.names if name in (alias.asname, alias.name))
        source = "." * node.level + (node.module or "")
        source = importlib.util.resolve_name(source, module.rpartition(".")[0]) if node.level else source
        source = _FACES.get(source, source)
        ours = source.partition(".")[0] in (_ROOM, module.partition(".")[0])
        return find(source, origin) if ours else None
    return None if node is None else (module, node)


def tree(module: str) -> dict[str, ast.AST]:
    """The classes, values and imports at the top of a module, by name.

    Raises
    ------
    OSError, SyntaxError
        If there is no such file, or it is no Python.
    """
    file = _file(module)
    return _parsed(file, file.stat().st_mtime_ns)


_Order = dict[tuple[str, str], Class | None]
"""Classes by module and name, the nearest first; None for one that cannot be followed."""


def _above(module: str, base: ast.expr) -> _Order:
    """A base and its ancestors."""
    found = find(module, base.id) if isinstance(base, ast.Name) else None
    if found is not None and isinstance(found[1], ast.ClassDef):
        return Class(found[0], found[1]).order
    return {("", called(base)): None}


def _merged(orders: list[_Order]) -> _Order:
    """The order of all classes that keeps each of these orders: Python's own (C3)."""
    left = [list(order) for order in orders if order]
    known: _Order = {key: said for order in orders for key, said in order.items()}
    merged: _Order = {}
    while left:
        heads = [keys[0] for keys in left if not any(keys[0] in others[1:] for others in left)]
        if not heads:
            raise Unclear("there is no order of the classes")
        merged[heads[0]] = known[heads[0]]
        left = [rest for keys in left if (rest := [key for key in keys if key != heads[0]])]
    return merged


def _value(module: str, node: ast.expr | None) -> Any:
    """A plain value: a literal, arithmetic of such, the name of one, an attribute of a class, a paper."""
    match node:
        case ast.Constant():
            return node.value
        case ast.Tuple() | ast.List() | ast.Set():
            items = [_value(module, item) for item in node.elts]
            kinds: dict[type, Callable[[list[Any]], Any]] = {ast.Tuple: tuple, ast.List: list, ast.Set: set}
            return kinds[type(node)](items)
        case ast.UnaryOp(op=ast.USub()):
            return -_value(module, node.operand)
        case ast.BinOp() if type(node.op) in _ARITHMETIC:
            return _ARITHMETIC[type(node.op)](_value(module, node.left), _value(module, node.right))
        case ast.Name():
            found = find(module, node.id)
            if found is not None and isinstance(found[1], ast.expr):
                return _value(found[0], found[1])
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            found = find(module, owner)
            if found is not None and isinstance(found[1], ast.ClassDef):
                attributes = Class(found[0], found[1]).attributes
                if name in attributes:
                    return attributes[name].value()
        case ast.Call(func=ast.Name(id="frozenset"), args=args, keywords=[]) if len(args) < 2:
            return frozenset(*(_value(module, arg) for arg in args))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            found = find(module, name)
            maker = _MADE.get((found[0], getattr(found[1], "name", ""))) if found is not None else None
            if maker is not None and all(keyword.arg for keyword in keywords):
                given = {str(keyword.arg): _value(module, keyword.value) for keyword in keywords}
                return maker(*(_value(module, arg) for arg in args), **given)
    raise Unclear(f"{module}: {ast.unparse(node) if node else 'no value'}")


def _file(module: str) -> Path:
    """The file of a module; of what holds it, only the package is imported."""
    package, _, name = module.rpartition(".")
    if package:
        places = [Path(folder) for folder in importlib.import_module(package).__path__]
    else:
        spec = importlib.util.find_spec(name)
        places = [Path(spec.origin).parent] if spec is not None and spec.origin else []
        places += [place.parent for place in places if place.name == name]
    names = (f"{name}.py", f"{name}/__init__.py")
    file = next((path for place in places for n in names if (path := place / n).is_file()), None)
    if file is None:
        raise FileNotFoundError(f"{module}: there is no such file")
    return file


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

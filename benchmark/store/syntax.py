"""Our modules as syntax: what each defines and imports, and where a name of it leads.

Nothing is imported: source is found and parsed. This module must not know what a fingerprint is.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

OURS = {"benchmark", "methods"}
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
IMPORTS = (ast.Import, ast.ImportFrom)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_CAPTURES = (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)


class Definition(NamedTuple):
    """A name that a module of ours defines."""

    module: str
    name: str


@dataclass(frozen=True)
class Source:
    """What a module defines and imports, by name."""

    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)  # name → module, and what of it or ""
    loose: list[ast.stmt] = field(default_factory=list)  # statements that define nothing


@cache
def parsed(module: str) -> Source:
    """What a module defines and imports."""
    path, source = find_source(module), Source()
    if path is None:  # a package without `__init__`
        return source
    for statement in ast.parse(path.read_bytes()).body:
        if isinstance(statement, IMPORTS):
            source.imports.update(imported(statement, module))
        elif isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test):
            continue
        elif names := bound([statement]):
            for name in names:
                source.definitions.setdefault(name, []).append(statement)
            for inner in () if isinstance(statement, SCOPES) else ast.walk(statement):
                if isinstance(inner, IMPORTS):
                    source.imports.update(imported(inner, module))
        elif not is_text(statement):
            source.loose.append(statement)
    return source


def imported(node: ast.Import | ast.ImportFrom, module: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Each name that an import of a module binds: the module that it is from, and what of it or ""."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.partition(".")[0]
            yield alias.asname or top, (alias.name if alias.asname else top, "")
        return
    base = node.module or ""
    if node.level:
        package = module if _is_package(module) else module.rpartition(".")[0]
        base = importlib.util.resolve_name("." * node.level + base, package)
    for alias in node.names:
        yield alias.asname or alias.name, (base, alias.name)


def bound(nodes: Sequence[ast.AST]) -> set[str]:
    """Names that statements bind in their own scope, but for imports."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                found.add(node.id)
        elif isinstance(node, _DEFINITIONS):
            found.add(node.name)
            waiting += node.decorator_list
        elif isinstance(node, _CAPTURES) and node.name:
            found.add(node.name)
            waiting += ast.iter_child_nodes(node)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            found.add(node.rest)
            waiting += ast.iter_child_nodes(node)
        elif not isinstance(node, (ast.Lambda, *COMPREHENSIONS)):
            waiting += ast.iter_child_nodes(node)
    return found


def own_statements(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """The statements of a scope, but for those of scopes within."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if not isinstance(node, ast.expr):
            yield node
            if not isinstance(node, SCOPES):
                waiting += ast.iter_child_nodes(node)


def is_text(node: ast.AST) -> bool:
    """Whether a statement is text alone: a docstring."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def follow(module: str, name: str, rest: list[str], asking: str) -> tuple[Definition | str, list[str]]:
    """Where an imported name leads, through packages that pass it on; `rest` are attributes of it."""
    if module.partition(".")[0] not in {*OURS, asking.partition(".")[0]}:
        return ".".join(filter(None, [module, name, *rest])), []
    names = [*filter(None, [name]), *rest]
    while names and find_source(f"{module}.{names[0]}") is not None:
        if names[0] in parsed(module).definitions:
            break
        module, names = f"{module}.{names[0]}", names[1:]
    if not names:
        return Definition(module, ""), []
    source = parsed(module)
    if names[0] in source.definitions:
        return Definition(module, names[0]), names[1:]
    if names[0] in source.imports:
        return follow(*source.imports[names[0]], names[1:], asking)
    return ".".join(names), []  # such as __name__


def forget() -> None:
    """Read source anew: a file has changed since it was parsed."""
    for cached in (parsed, find_source):
        cached.cache_clear()
    importlib.invalidate_caches()


@cache
def find_source(module: str) -> Path | None:
    """The file of a module, found without importing its parents (as `find_spec` would)."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    places = [Path(spec.origin)] if spec.origin else []
    if rest:  # below a package, which may lie in several folders
        below = [Path(folder, *rest) for folder in spec.submodule_search_locations or ()]
        places = [p / "__init__.py" if p.is_dir() else p.with_suffix(".py") for p in below]
    return next((path for path in places if path.is_file()), None)


def _is_package(module: str) -> bool:
    source = find_source(module)
    return source is not None and source.name == "__init__.py"

"""What code made a result: hashes of the definitions that compute it, and the versions of its libraries.

A definition is a function, a class or a constant of a module of ours. Its hash covers every definition that
it reaches by reference, directly or not, and nothing else: neither the names of modules and of what they
define, nor imports, comments, docstrings, annotations and layout. So code may be moved, split and renamed.

What is marked `methods.neutral.neutral` cannot change a number; it is not followed.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from benchmark.store import syntax
from benchmark.store.syntax import (
    COMPREHENSIONS,
    IMPORTS,
    SCOPES,
    Definition,
    bound,
    find_source,
    follow,
    imported,
    is_text,
    own_statements,
    parsed,
)

_NEUTRAL = "neutral"  # the decorator, whatever module it is imported from
_DESCRIPTIVE = {"paper", "aliases", "small", "transductive"}  # attributes of methods that compute nothing
_SKIPPED = {"annotation", "returns", "type_comment", "type_params", "ctx", "kind", "simple"}


@cache
def code_fingerprint(*roots: str) -> str:
    """Hash what computes the results of `roots`.

    A root is a definition (``"methods.detectors.energy:Energy"``), or a module: all that it defines counts.

    Raises
    ------
    ModuleNotFoundError
        If there is no source of a module.
    LookupError
        If a module does not define a name.
    """
    texts = sorted({_text(root) for root in roots})
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:32]


def definition_of(thing: Any) -> str:
    """The root that stands for a class or function; its module, where that is no definition of a module."""
    nested = "." in thing.__qualname__
    return thing.__module__ if nested else f"{thing.__module__}:{thing.__qualname__}"


def forget() -> None:
    """Read source anew: a file has changed since it was parsed."""
    for cached in (code_fingerprint, reached, _text, _described, _neutral):
        cached.cache_clear()
    syntax.forget()


@cache
def library_versions(*names: str) -> dict[str, str]:
    """Installed version of each distribution."""
    return {name: version(name) for name in names}


def installed_version(name: str) -> str | None:
    """Version of a distribution that need not be there; None if it is not."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def reached(root: str) -> dict[Definition, int]:
    """All that a root reaches, itself included, numbered in the order in which it is met; errors as above."""
    module, _, name = root.partition(":")
    if find_source(module) is None:
        raise ModuleNotFoundError(f"no source for module {module!r}")
    known = parsed(module).definitions
    if name and name not in known:
        raise LookupError(f"module {module!r} defines no {name!r}")
    waiting = [Definition(module, one) for one in ([name] if name else sorted(known))]
    numbers = {definition: number for number, definition in enumerate(waiting)}
    for definition in waiting:
        for reference in _described(definition)[1]:
            if reference not in numbers:
                numbers[reference] = len(numbers)
                waiting.append(reference)
    return numbers


@cache
def _text(root: str) -> str:
    """Hash of the text of all that a root reaches, in which references are numbers."""
    numbers = reached(root)
    digest = hashlib.sha256()
    for definition in numbers:
        text, references = _described(definition)
        for reference in dict.fromkeys(references):
            text = text.replace(_token(reference), f"@{numbers[reference]}")
        digest.update(f"{text}\n".encode())
    return digest.hexdigest()


class _Scope(NamedTuple):
    """Names of a function, a class or a comprehension: local ones, and what is imported there."""

    names: set[str]
    imports: Mapping[str, tuple[str, str]]
    of_class: bool = False  # functions in it do not see them


@cache
def _described(definition: Definition) -> tuple[str, tuple[Definition, ...]]:
    """The text of a definition with tokens in place of what it refers to, and those, in order."""
    source = parsed(definition.module)
    writer = _Writer(definition.module)
    parts = [writer.text(node, ()) for node in (*source.definitions[definition.name], *source.loose)]
    return "\n".join(parts), tuple(writer.references)


class _Writer:
    """Writes the syntax trees of a module as text in which only meaning counts."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.references: list[Definition] = []

    def text(self, node: object, scopes: tuple[_Scope, ...]) -> str:
        """Write a node, a list of nodes or a plain value."""
        if isinstance(node, list):
            return f"[{','.join(filter(None, (self.text(item, scopes) for item in node)))}]"
        if not isinstance(node, ast.AST):
            return repr(node)
        if isinstance(node, IMPORTS) or is_text(node) or self._unfollowed(node, scopes):
            return ""
        if isinstance(node, (ast.Name, ast.Attribute)):
            return self._path(node, scopes)
        if isinstance(node, SCOPES):
            return self._scope(node, scopes)
        if isinstance(node, COMPREHENSIONS):
            targets = {n for part in node.generators for n in bound([part.target])}
            return self._fields(node, (*scopes, _Scope(targets, {})))
        if isinstance(node, ast.AnnAssign):
            return self._annotated(node, scopes)
        return self._fields(node, scopes)

    def _fields(self, node: ast.AST, scopes: tuple[_Scope, ...]) -> str:
        parts = []
        for name, value in ast.iter_fields(node):
            if name in _SKIPPED or value is None or value == []:
                continue
            parts.append(f"{name}={self.text(value, scopes)}")
        return f"{type(node).__name__}({','.join(parts)})"

    def _scope(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef,
        scopes: tuple[_Scope, ...],
    ) -> str:
        """A function or class: what stands outside of its own scope, then its body."""
        body: Sequence[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else node.body
        of_class = isinstance(node, ast.ClassDef)
        names = bound(body)
        imports: dict[str, tuple[str, str]] = {}
        outer = ""
        seen = tuple(scope for scope in scopes if not scope.of_class)
        if not isinstance(node, ast.ClassDef):
            given = node.args
            every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            names |= {one.arg for one in every if one is not None}
            for inner in own_statements(body):
                if isinstance(inner, ast.Global | ast.Nonlocal):
                    names -= set(inner.names)
                elif isinstance(inner, IMPORTS):
                    imports |= dict(imported(inner, self.module))
            outer = self.text(given, scopes)
        else:
            outer = self.text(node.bases, scopes) + self.text(node.keywords, scopes)
            body = [one for one in node.body if not _DESCRIPTIVE & _targets(one)]
        if not isinstance(node, ast.Lambda):
            decorators = [d for d in node.decorator_list if not self._is_neutral(d, scopes)]
            outer += self.text(decorators, scopes)
        inside = (*(scopes if of_class else seen), _Scope(names - imports.keys(), imports, of_class))
        name = "" if isinstance(node, ast.Lambda) or not scopes else node.name
        return f"{type(node).__name__}({name}{outer}{self.text([*body], inside)})"

    def _annotated(self, node: ast.AnnAssign, scopes: tuple[_Scope, ...]) -> str:
        """In a class an annotation makes a field of a name; elsewhere it says nothing."""
        if scopes and scopes[-1].of_class:
            kind = "ClassVar" if "ClassVar" in ast.dump(node.annotation) else "field"
            value = "" if node.value is None else self.text(node.value, scopes)
            return f"{kind}({self.text(node.target, scopes)},{value})"
        if node.value is None:
            return ""
        return self.text(ast.Assign([node.target], node.value), scopes)

    def _path(self, node: ast.Name | ast.Attribute, scopes: tuple[_Scope, ...]) -> str:
        """A name, or attributes of one: a token if it leads to a definition of ours."""
        rest: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            rest.insert(0, inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name):
            return f"{self.text(inner, scopes)}.{'.'.join(rest)}"
        found, rest = self._resolve(inner.id, rest, scopes)
        if isinstance(found, Definition):
            found = self._refer(found)
        return ".".join([found, *rest])

    def _refer(self, found: Definition) -> str:
        if _neutral(found):
            return f"<neutral {found.name}>"
        if not found.name:  # a module as a value: anything of it may be used
            names = sorted(parsed(found.module).definitions)
            return "".join(self._refer(Definition(found.module, name)) for name in names)
        self.references.append(found)
        return _token(found)

    def _unfollowed(self, node: ast.AST, scopes: tuple[_Scope, ...]) -> bool:
        """Whether it is a function within a class that is marked neutral."""
        if not scopes or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return False
        return any(isinstance(mark, ast.Name) and mark.id == _NEUTRAL for mark in node.decorator_list)

    def _is_neutral(self, decorator: ast.expr, scopes: tuple[_Scope, ...]) -> bool:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if not isinstance(called, ast.Name):
            return False
        found, _ = self._resolve(called.id, [], scopes)
        return isinstance(found, Definition) and _neutral(found)

    def _resolve(
        self, name: str, rest: list[str], scopes: tuple[_Scope, ...]
    ) -> tuple[Definition | str, list[str]]:
        """Where a name leads: a definition of ours, the dotted name of another library's, or a local name."""
        for scope in reversed(scopes):
            if name in scope.names:
                return name, rest
            if name in scope.imports:
                return follow(*scope.imports[name], rest, self.module)
        source = parsed(self.module)
        if name in source.definitions:
            return Definition(self.module, name), rest
        if name in source.imports:
            return follow(*source.imports[name], rest, self.module)
        return name, rest


@cache
def _neutral(definition: Definition) -> bool:
    """Whether a definition is marked as one that changes no number; so is the mark itself."""
    if definition.name == _NEUTRAL:
        return True
    statements = parsed(definition.module).definitions.get(definition.name, [])
    return any(
        isinstance(mark, ast.Name) and mark.id == _NEUTRAL
        for statement in statements
        if isinstance(statement, ast.FunctionDef | ast.ClassDef)
        for mark in statement.decorator_list
    )


def _token(definition: Definition) -> str:
    return f"\x00{definition.module}:{definition.name}\x00"


def _targets(statement: ast.stmt) -> set[str]:
    return bound([statement]) if isinstance(statement, ast.Assign | ast.AnnAssign) else set()

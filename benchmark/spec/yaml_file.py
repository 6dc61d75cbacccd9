"""Reading a YAML file into typed models. An error names file, line and key.

Only plain data is taken, see `benchmark.spec.yaml_tree`. This module must not import torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from benchmark.errors import SpecError
from benchmark.spec.yaml_tree import Keys, LinedDict, LinedList, compose, cut, dotted, told
from benchmark.store.files import NotRegular, open_regular

M = TypeVar("M", bound=BaseModel)


def read_tree(path: Path, what: str, content: str) -> LinedDict:
    """Read a file that is expected to be `what` and to hold `content`.

    Raises
    ------
    SpecError
        If it cannot be read, is no regular file, not YAML, has a duplicate key, is too large, or holds more
        than plain data.
    """
    try:
        with TextIOWrapper(open_regular(path), encoding="utf-8") as file:
            text = file.read()
    except NotRegular as error:
        raise SpecError(f"{path}: is {error.kind}; expected {what}") from error
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SpecError(f"{path}: cannot be read: {why}; expected {what}") from error
    tree = compose(path, text)
    if not isinstance(tree, LinedDict):
        seen = "nothing" if tree is None else "a list" if isinstance(tree, LinedList) else cut(repr(tree))
        raise SpecError(f"{path}:1: expected {content}, got {seen}")
    return tree


def validated(path: Path, tree: LinedDict, model: type[M]) -> M:
    """Make a model of a tree; raises `SpecError` with a line for each mistake."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise SpecError(told(_describe(path, tree, item) for item in error.errors())) from error


def refuse(path: Path, tree: LinedDict, problems: Iterable[tuple[Keys, str]]) -> None:
    """Raise `SpecError` with a line for each problem, a place in the tree and what is wrong there."""
    if lines := told(f"{place(path, tree, loc)}: {problem}" for loc, problem in problems):
        raise SpecError(lines)


def _describe(path: Path, tree: LinedDict, item: Any) -> str:
    loc, message, context = tuple(item["loc"]), item["msg"], item.get("ctx", {})
    seen = f"; got {cut(repr(item['input']))}"
    match item["type"]:
        case "unknown_key":
            loc, seen = (*loc, context["key"]), ""
        case "value_error":
            message, seen = str(context["error"]), ""
        case "missing":
            seen = ""
        case "union_tag_invalid":
            loc, seen = (*loc, context["discriminator"].strip("'")), f"; got {cut(repr(context['tag']))}"
            message = f"Input should be one of {context['expected_tags']}"
        case "union_tag_not_found":
            loc, message, seen = (*loc, context["discriminator"].strip("'")), "Field required", ""
    if loc[-1] == "[key]":
        loc = loc[:-1]
    return f"{place(path, tree, loc)}: {message}{seen}"


def holds(tree: LinedDict, loc: Keys) -> bool:
    """Whether the tree has every step of a place."""
    node: Any = tree
    for step in loc:
        if not _has(node, step):
            return False
        node = node[step]
    return True


def _has(node: Any, step: Any) -> bool:
    if isinstance(node, LinedList):
        return isinstance(step, int) and step < len(node)
    return isinstance(node, LinedDict) and step in node


def place(path: Path, tree: LinedDict, loc: Keys) -> str:
    """File, line and dotted key of a place in the tree; pydantic's own steps (union tags) are skipped."""
    node: Any = tree
    line, keys = 1, []
    for step in loc:
        if not _has(node, step):
            continue
        # A merged key has no line of its own.
        line = node.lines.get(step, line) if isinstance(node, LinedDict) else node.lines[step]
        node = node[step]
        keys.append(step)
    if loc and (not keys or keys[-1] != loc[-1]) and isinstance(loc[-1], str):
        keys.append(loc[-1])
    return f"{path}:{line}: {dotted(tuple(keys))}" if keys else f"{path}:{line}"

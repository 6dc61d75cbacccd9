"""Reading a YAML file into typed models. An error names file, line and key.

Only plain data is taken: no tags, no dates, no numbers that are not finite.
This module must not import torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from benchmark.errors import SpecError

M = TypeVar("M", bound=BaseModel)


def read_tree(path: Path, what: str, content: str) -> CommentedMap:
    """Read a file that is expected to be `what` and to hold `content`.

    Raises
    ------
    SpecError
        If it cannot be read, is not YAML, has a duplicate key, or holds more than plain data.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SpecError(f"{path}: cannot be read: {why}; expected {what}") from error
    try:
        tree = YAML(typ="rt", pure=True).load(text)
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        key = re.search(r'duplicate key "(.*?)"', str(error.problem))
        raise SpecError(f"{path}:{line}: duplicate key {key[1] if key else ''!r}") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        problem = ", ".join(filter(None, (error.context, error.problem)))
        raise SpecError(f"{path}:{line}: not valid YAML: {problem}") from error
    except RecursionError as error:
        raise SpecError(f"{path}: not valid YAML: nested too deeply") from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpecError(f"{path}:{line}: not valid YAML: {error.reason}") from error
    if not isinstance(tree, CommentedMap):
        seen = {CommentedSeq: "a list", type(None): "nothing"}.get(type(tree), repr(tree))
        raise SpecError(f"{path}:1: expected {content}, got {seen}")
    refuse(path, tree, _foreign(tree))
    return tree


def validated(path: Path, tree: CommentedMap, model: type[M]) -> M:
    """Make a model of a tree; raises `SpecError` with a line for each mistake."""
    try:
        return model.model_validate(_plain(tree))
    except ValidationError as error:
        details = "\n".join(_describe(path, tree, item) for item in error.errors())
        raise SpecError(details) from error


def _plain(node: Any) -> Any:
    if isinstance(node, CommentedMap):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):  # ruamel's scalars are subclasses that keep the file's formatting
        if isinstance(node, kind):
            return kind(node)
    return node


def _foreign(node: Any, loc: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """What YAML can say and a leaderboard cannot: tags, dates, bytes, sets, numbers that are not finite."""
    tag = getattr(getattr(node, "tag", None), "value", None)
    if tag is not None:
        yield loc, f"got the tag {tag!r}; expected plain data"
    elif isinstance(node, CommentedMap):
        for key, value in node.items():
            yield from _foreign(value, (*loc, key))
    elif isinstance(node, CommentedSeq):
        for i, value in enumerate(node):
            yield from _foreign(value, (*loc, i))
    elif isinstance(node, float) and not math.isfinite(node):
        yield loc, f"got {node}; expected a finite number"
    elif not isinstance(node, str | int | float | None):
        yield loc, f"got {node!r}; expected text (in quotes) or a number"


def refuse(path: Path, tree: CommentedMap, problems: Iterable[tuple[tuple[Any, ...], str]]) -> None:
    """Raise `SpecError` with a line for each problem, a place in the tree and what is wrong there."""
    lines = [f"{place(path, tree, loc)}: {problem}" for loc, problem in problems]
    if lines:
        raise SpecError("\n".join(lines))


def _describe(path: Path, tree: CommentedMap, item: Any) -> str:
    loc, message, context = tuple(item["loc"]), item["msg"], item.get("ctx", {})
    seen = f"; got {item['input']!r}"
    match item["type"]:
        case "unknown_key":
            loc, seen = (*loc, context["key"]), ""
        case "value_error":
            message, seen = str(context["error"]), ""
        case "missing":
            seen = ""
        case "union_tag_invalid":
            loc, seen = (*loc, context["discriminator"].strip("'")), f"; got {context['tag']!r}"
            message = f"Input should be one of {context['expected_tags']}"
        case "union_tag_not_found":
            loc, message, seen = (*loc, context["discriminator"].strip("'")), "Field required", ""
    if loc[-1] == "[key]":
        loc = loc[:-1]
    return f"{place(path, tree, loc)}: {message}{seen}"


def holds(tree: CommentedMap, loc: tuple[Any, ...]) -> bool:
    """Whether the tree has every step of a place."""
    node: Any = tree
    for step in loc:
        if not _has(node, step):
            return False
        node = node[step]
    return True


def _has(node: Any, step: Any) -> bool:
    if isinstance(node, CommentedSeq):
        return isinstance(step, int) and step < len(node)
    return isinstance(node, CommentedMap) and step in node


def place(path: Path, tree: CommentedMap, loc: tuple[Any, ...]) -> str:
    """File, line and dotted key of a place in the tree; pydantic's own steps (union tags) are skipped."""
    node: Any = tree
    line, keys = 1, []
    for step in loc:
        if not _has(node, step):
            continue
        if isinstance(node, CommentedMap):
            line = (node.lc.data or {}).get(step, (line - 1,))[0] + 1  # a merged key has no line of its own
        else:
            line = node.lc.item(step)[0] + 1
        node = node[step]
        keys.append(str(step))
    if loc and (not keys or keys[-1] != str(loc[-1])) and isinstance(loc[-1], str):
        keys.append(loc[-1])
    return f"{path}:{line}: {'.'.join(keys)}" if keys else f"{path}:{line}"

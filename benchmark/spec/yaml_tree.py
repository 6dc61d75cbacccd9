"""The values of a YAML file, each with its line: plain data only, of a bounded size.

YAML is composed by ruamel.yaml, but no value is made by it: tags, dates, numbers of any length, aliases that
refer to themselves or multiply each other, and keys that are no single value are refused here, each with its
place. This module must not import torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import Reader, ReaderError

from benchmark.errors import SpecError
from benchmark.spec.limits import LONGEST_NUMBER, LONGEST_SEEN, MOST_CHARACTERS, MOST_MISTAKES, MOST_NESTED

_CORE = "tag:yaml.org,2002:"
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0o(?P<octal>[0-7]+)|0x(?P<hexadecimal>[0-9a-fA-F]+)|(?P<decimal>\d+))"
)
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?\.inf|\.nan", re.IGNORECASE)
_UNREADABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # controls, halves of characters
_NULLS = ("", "~", "null", "Null", "NULL")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}

Keys = tuple[Any, ...]


class LinedDict(dict[Any, Any]):
    """A mapping of a YAML file; `lines` has the line of each key but for those that are merged in."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[Any, int] = {}


class LinedList(list[Any]):
    """A list of a YAML file; `lines` has the line of each item."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []


def compose(path: Path, text: str) -> Any:
    """The plain value of a YAML text: `LinedDict`, `LinedList`, str, int, float, bool or None.

    Raises
    ------
    SpecError
        If it is not YAML 1.2, holds more than plain data, or is too large; names file, line and key.
    """
    return built(path, nodes(path, text))


def nodes(path: Path, text: str) -> Node | None:
    """What a YAML text is written as: nodes, each with the place where it stands; errors as of `compose`."""
    if len(text) > MOST_CHARACTERS:
        raise SpecError(f"{path}:1: has {len(text):,} characters; expected at most {MOST_CHARACTERS:,}")
    yaml = YAML(typ="rt", pure=True)
    yaml.Reader = _Reader
    yaml.max_depth = MOST_NESTED
    yaml.composer.warn_double_anchors = False  # an anchor may be set anew: an alias means the last one
    try:
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = ", ".join(filter(None, (error.context, error.problem)))
        if getattr(yaml.composer, "depth", 0) > MOST_NESTED:
            problem = f"nested more than {MOST_NESTED} deep"
        raise SpecError(f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {problem}") from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpecError(f"{path}:{line}: not valid YAML: {error.reason}") from error
    except Exception as error:  # what ruamel.yaml does not expect, such as "\U99999999"
        raise SpecError(f"{path}:{yaml.reader.reached + 1}: not valid YAML: {error}") from error
    for number, written in enumerate(text.splitlines(), 1):
        if written.startswith("%YAML") and written.split()[1:2] != ["1.2"]:
            raise SpecError(
                f"{path}:{number}: got the directive {written!r}; expected YAML 1.2, or no directive"
            )
        if written.startswith("---"):
            break
    found: Node | None = root
    return found


def built(path: Path, root: Node | None) -> Any:
    """The plain value of nodes; errors as of `compose`."""
    if root is None:
        return None
    builder = _Builder(path)
    value, _, _ = builder.build(root, ())
    if builder.problems:
        raise SpecError(told(builder.problems))
    return value


def told(problems: Iterable[str]) -> str:
    """The problems of a file, a line each; of very many the first ones."""
    lines = list(islice(problems, MOST_MISTAKES + 1))
    return "\n".join(lines if len(lines) <= MOST_MISTAKES else [*lines[:MOST_MISTAKES], "… and more"])


def cut(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= LONGEST_SEEN else f"{text[:LONGEST_SEEN]}…"


def dotted(keys: Keys) -> str:
    """The way to a value, as messages name it: keys that cannot be read are told as Python writes them."""
    return ".".join(cut(str(key) if str(key).isprintable() else repr(key)) for key in keys)


class _Reader(Reader):
    """Knows how far it came when ruamel.yaml has put it back to the beginning."""

    reached = 0

    def reset_reader(self) -> None:
        self.reached = getattr(self, "line", 0)
        super().reset_reader()


class _Builder:
    """Makes values of nodes; an alias is its anchor's value, made once and counted wherever it stands."""

    def __init__(self, path: Path) -> None:
        self.problems: list[str] = []
        self._path = path
        self._made: dict[int, tuple[Any, int, int]] = {}
        self._open: set[int] = set()  # what is being made: an alias of it would hold itself

    def build(self, node: Node, keys: Keys) -> tuple[Any, int, int]:
        """The value of a node at `keys`, its characters written out, and how deep it is nested."""
        if isinstance(node, ScalarNode):
            return self._scalar(node, keys), len(node.value) + 1, 0
        if id(node) in self._made:
            return self._made[id(node)]
        if id(node) in self._open:
            self._refuse(node, keys, "is an alias of a value that holds it; expected an end")
            return None, 1, 0
        self._open.add(id(node))
        value, size, depth = (
            self._list(node, keys) if isinstance(node, SequenceNode) else self._dict(node, keys)
        )
        self._open.remove(id(node))
        if size > MOST_CHARACTERS:
            problem = (
                f"is more than {MOST_CHARACTERS:,} characters with its aliases written out; expected fewer"
            )
            raise SpecError(self._place(node, keys, problem))
        if depth > MOST_NESTED:
            problem = f"is nested more than {MOST_NESTED} deep with its aliases written out; expected less"
            raise SpecError(self._place(node, keys, problem))
        self._made[id(node)] = value, size, depth
        return self._made[id(node)]

    def _list(self, node: SequenceNode, keys: Keys) -> tuple[LinedList, int, int]:
        self._check_tag(node, keys, "seq")
        found, size, depth = LinedList(), 1, 0
        for i, child in enumerate(node.value):
            value, more, below = self.build(child, (*keys, i))
            found.append(value)
            found.lines.append(child.start_mark.line + 1)
            size, depth = size + more, max(depth, below)
        return found, size, depth + 1

    def _dict(self, node: Node, keys: Keys) -> tuple[LinedDict, int, int]:
        self._check_tag(node, keys, "map")
        found, size, depth = LinedDict(), 1, 0
        merged: list[dict[Any, Any]] = []
        merges = False
        for key_node, child in node.value:
            if not isinstance(key_node, ScalarNode):
                self._refuse(key_node, keys, "got a list or mapping as a key; expected text")
                continue
            merge = key_node.tag == f"{_CORE}merge"
            key = "<<" if merge else self._scalar(key_node, keys)
            if key in found or (merge and merges):
                self.problems.append(
                    f"{self._path}:{key_node.start_mark.line + 1}: duplicate key {cut(repr(key))}"
                )
                continue
            value, more, below = self.build(child, keys if merge else (*keys, key))
            size, depth = size + len(key_node.value) + 1 + more, max(depth, below)
            if merge:
                merges = True
                merged = value if isinstance(value, LinedList) else [value]
                if not all(isinstance(one, LinedDict) for one in merged):
                    self._refuse(child, keys, "got '<<' of something else; expected a mapping or several")
                    merged = []
            else:
                found[key] = value
                found.lines[key] = key_node.start_mark.line + 1
        for one in merged:
            for key, value in one.items():
                found.setdefault(key, value)
        return found, size, depth + 1

    def _check_tag(self, node: Node, keys: Keys, expected: str) -> None:
        if node.tag != f"{_CORE}{expected}":
            self._refuse(node, keys, f"got the tag {cut(repr(node.tag))}; expected plain data")

    def _scalar(self, node: ScalarNode, keys: Keys) -> Any:
        try:
            # Where a folded text (">") was folded, the round-trip scanner leaves a bell.
            text = str(node.value).replace("\a", "") if node.style == ">" else str(node.value)
            return _plain(str(node.tag), text)
        except ValueError as error:
            self._refuse(node, keys, str(error))
            return None

    def _refuse(self, node: Node, keys: Keys, problem: str) -> None:
        self.problems.append(self._place(node, keys, problem))

    def _place(self, node: Node, keys: Keys, problem: str) -> str:
        at = f"{self._path}:{node.start_mark.line + 1}"
        return f"{at}: {dotted(keys)}: {problem}" if keys else f"{at}: {problem}"


def _plain(tag: str, text: str) -> Any:
    """The value of a scalar; raises ValueError for what is no plain data."""
    kind = tag.removeprefix(_CORE)
    if kind in ("int", "float") and len(text) > LONGEST_NUMBER:
        raise ValueError(f"got a number of {len(text):,} characters; expected at most {LONGEST_NUMBER}")
    match kind:
        case "str" | "value" | "merge":  # the last two are '=' and '<<' where they mean nothing
            if bad := _UNREADABLE.search(text):
                raise ValueError(f"got text with U+{ord(bad[0]):04X}; expected characters that can be read")
            return text
        case "null" if text in _NULLS:
            return None
        case "bool" if text in _BOOLS:
            return _BOOLS[text]
        case "int" if (found := _INTEGER.fullmatch(text.replace("_", ""))) is not None:
            digits = found["octal"] or found["hexadecimal"] or found["decimal"]
            base = 8 if found["octal"] else 16 if found["hexadecimal"] else 10
            return int(found["sign"] + digits, base)
        case "float" if _FLOAT.fullmatch(text.replace("_", "")) is not None:
            number = float(re.sub(r"\.(inf|nan)", r"\1", text.lower().replace("_", "")))
            if not math.isfinite(number):
                raise ValueError(f"got {number}; expected a finite number")
            return number
        case "null" | "bool" | "int" | "float":
            expected = {"null": "null", "bool": "true or false", "int": "an integer", "float": "a number"}[
                kind
            ]
            raise ValueError(f"got {cut(repr(text))}; expected {expected}")
        case "timestamp":
            raise ValueError(f"got the date {cut(text)}; expected text (in quotes) or a number")
    raise ValueError(f"got the tag {cut(repr(tag))}; expected plain data")

"""Adding to a YAML file without touching what stands there: comments, layout and all other lines stay.

A value is added as text, where ruamel.yaml says that its neighbour ends; the file is then read again, and
must say what it said before and the addition, and nothing else. This module must not import torch.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from benchmark.errors import SpecError
from benchmark.spec.yaml_tree import Keys, LinedDict, built, compose, dotted, nodes

INDENT = 2  # columns, of a level


class Editor:
    """The text of a YAML file that grows by one addition after another.

    Parameters
    ----------
    path : of the file, for messages; it is not read.
    text : what it says.

    Raises
    ------
    SpecError
        If the text is no YAML that `benchmark.spec.yaml_tree` takes.
    """

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self.text = text
        self._root = nodes(path, text)
        self._says = built(path, self._root)

    @property
    def tree(self) -> LinedDict:
        """What the file says with all that was added.

        Raises
        ------
        SpecError
            If it is no mapping.
        """
        if not isinstance(self._says, LinedDict):
            raise SpecError(f"{self._path}:1: expected keys, got something else")
        return self._says

    def add_item(self, keys: Keys, item: str, after: str | None = None) -> None:
        """Add a name to the list at `keys`: after the item `after`, or at the end.

        Raises
        ------
        SpecError
            If there is no list that is written there: it may be another one's, by an alias or a merge.
        """
        node = self._written_at(keys)
        if not isinstance(node, SequenceNode) or not node.value:
            raise self._wrong(keys, "is no list with items; expected one")
        place = _index(node.value, after)
        line_ends = [i for i, one in enumerate(node.value[:-1]) if self._ends_line(one)]
        if not node.flow_style:
            text = self._with_lines(node.value[place], [f"{self._margin(node.value[place])}- {item}"])
        elif line_ends:
            place = next((i for i in line_ends if i >= place), line_ends[-1])
            column = node.value[place + 1].start_mark.column
            text = self._with_lines(node.value[place], [f"{' ' * column}{item},"])
        else:
            text = self._with(node.value[place], f", {item}")
        expected, grown = self._copied(keys)
        grown.insert(place + 1, item)
        self._accept(text, expected, (*keys, item))

    def add_key(
        self,
        keys: Keys,
        key: str,
        value: Mapping[str, Any],
        after: str | None = None,
        *,
        apart: bool = False,
    ) -> None:
        """Add a key with a mapping to the mapping at `keys`: after the key `after`, or at the end.

        What is in the mapping are texts, numbers, and lists and mappings of them; a `Block` is written over
        several lines, `apart` from its neighbour by an empty one.

        Raises
        ------
        SpecError
            If there is no mapping that is written there, or it has that key already.
        """
        node = self._written_at(keys)
        if not isinstance(node, MappingNode) or not node.value:
            raise self._wrong(keys, "is no mapping with keys; expected one")
        names = [name for name, _ in node.value]
        if key in [name.value for name in names]:
            raise self._wrong((*keys, key), "is there already; expected another name")
        before = _last(node.value[_index(names, after)], self.text)
        if not node.flow_style:
            column = names[0].start_mark.column
            lines = [f"{' ' * column}{line}" for line in _lines(key, value)]
            text = self._with_lines(before, [*([""] if apart else []), *lines])
        elif isinstance(value, Block):
            raise self._wrong(keys, "is written in braces; expected a key on each line, to add to")
        else:
            text = self._with(before, f", {key}: {flow(value)}")
        expected, grown = self._copied(keys)
        grown[key] = _plain(value)
        self._accept(text, expected, (*keys, key))

    def _written_at(self, keys: Keys) -> Node:
        """The node at `keys`; refuses one that is written elsewhere, or nowhere."""
        node = self._root
        if node is None:
            raise self._wrong((), "is empty; expected keys")
        for depth, key in enumerate(keys):
            pairs = node.value if isinstance(node, MappingNode) else []
            found = next((pair for pair in pairs if pair[0].value == key), None)
            at = keys[: depth + 1]
            if found is None:
                raise self._wrong(
                    at, "is not written here; expected it below this key, not merged from another"
                )
            name, value = found
            if value.start_mark.index < name.end_mark.index:
                where = f"line {value.start_mark.line + 1}"
                raise self._wrong(at, f"is an alias of {where}; expected what is written here, to add to")
            node = value
        return node

    def _wrong(self, keys: Keys, problem: str) -> SpecError:
        line, tree = 1, self._says
        for key in keys:
            if not isinstance(tree, LinedDict) or key not in tree:
                break
            line, tree = tree.lines.get(key, line), tree[key]
        return SpecError(f"{self._path}:{line}: {dotted(keys)}: {problem}")

    def _copied(self, keys: Keys) -> tuple[Any, Any]:
        """A copy of what the file says, and of that what is at `keys`; what is one value stays one."""
        copied = found = copy.deepcopy(self._says)
        for key in keys:
            found = found[key]
        return copied, found

    def _accept(self, text: str, expected: Any, added: Keys) -> None:
        """Read the text anew: it must say what it said and what was added, and nothing else."""
        root = nodes(self._path, text)
        says = built(self._path, root)
        if says != expected:
            raise self._wrong(added, "cannot be added by itself; expected plainer YAML around it")
        self.text, self._root, self._says = text, root, says

    def _margin(self, node: Node) -> str:
        """What stands before the dash of an item in a block."""
        start = self.text.rfind("\n", 0, node.start_mark.index) + 1
        return self.text[start : self.text.rindex("-", start, node.start_mark.index)]

    def _ends_line(self, node: Node) -> bool:
        """Whether an item in brackets is the last one on its line, with its comma."""
        rest = self.text[_end(node, self.text) :].partition("\n")[0]
        return rest.strip() == ","

    def _with_lines(self, after: Node, lines: Sequence[str]) -> str:
        """The text with lines below the one on which a node ends."""
        text = self.text if self.text.endswith("\n") else f"{self.text}\n"
        end = text.index("\n", _end(after, text))
        ending = "\r\n" if text[:end].endswith("\r") else "\n"
        return text[: end + 1] + "".join(f"{line}{ending}" for line in lines) + text[end + 1 :]

    def _with(self, node: Node, added: str) -> str:
        """The text with more behind a node, on its line."""
        end = _end(node, self.text)
        return self.text[:end] + added + self.text[end:]


class Block(dict[str, Any]):
    """A mapping that is written over several lines, one for each key."""


def flow(value: Any) -> str:
    """A value on one line: texts that YAML would read otherwise are in quotes."""
    match value:
        case Mapping():
            return "{" + ", ".join(f"{key}: {flow(one)}" for key, one in value.items()) + "}"
        case str():
            return value if _is_plain(value) else _quoted(value)
        case list() | tuple():
            return "[" + ", ".join(map(flow, value)) + "]"
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case _:
            return repr(value)


def _lines(key: str, value: Any) -> list[str]:
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        return [f"{key}:", *(f"{' ' * INDENT}- {flow(one)}" for one in value)]
    if not isinstance(value, Block):
        return [f"{key}: {flow(value)}"]
    inner = [line for name, one in value.items() for line in _lines(name, one)]
    return [f"{key}:", *(f"{' ' * INDENT}{line}" for line in inner)]


def _plain(value: Any) -> Any:
    """The value as a file says it."""
    if isinstance(value, Mapping):
        found = LinedDict()
        found.update({key: _plain(one) for key, one in value.items()})
        return found
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _is_plain(text: str) -> bool:
    """Whether a text may stand without quotes, in brackets too."""
    if not text or text != text.strip() or any(c in text for c in ":#,[]{}\"'\n&*!|>%@`\\"):
        return False
    try:
        return bool(compose(Path("value"), f"a: {text}\n") == {"a": text})
    except SpecError:
        return False


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _index(items: Sequence[Node], after: str | None) -> int:
    """The place of the item with that text; the last one, if it is not there."""
    return next((i for i, item in enumerate(items) if item.value == after), len(items) - 1)


def _last(pair: tuple[Node, Node], text: str) -> Node:
    """Of a key and its value what is written last: the value of an alias stands elsewhere."""
    name, value = pair
    empty = _end(value, text) <= name.end_mark.index
    return name if empty or value.start_mark.index < name.end_mark.index else value


def _end(node: Node, text: str) -> int:
    """Where the last character of a value stands; what follows it are blanks and comments."""
    if isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
        child = node.value[-1]
        return _end(_last(child, text) if isinstance(child, tuple) else child, text)
    end: int = node.end_mark.index
    return len(text[:end].rstrip())

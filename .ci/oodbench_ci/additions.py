"""What a pull request adds to leaderboard.yaml, and what else it changes there.

A contributor adds entries, ways of training, and names in the lists of entries of tracks. Whatever else
differs changes by what others are measured: seeds, sets, settings of other entries. Values are compared as
they are read, so that neither layout nor anchors, merges or comments hide anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.errors import SpecError
from benchmark.spec.limits import LONGEST_NAME, MOST_CHARACTERS
from benchmark.spec.yaml_tree import Keys, LinedDict, compose, cut, dotted
from oodbench_ci.bounded import HIDDEN, shown

FILE = "leaderboard.yaml"
NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.+-]{{0,{LONGEST_NAME - 1}}}")  # safe on a command line too
ADDED = "is added"
_NOTHING = object()


@dataclass
class Additions:
    """What was added by name, and the places where anything else differs."""

    entries: list[str] = field(default_factory=list)
    objectives: list[str] = field(default_factory=list)
    tracks: dict[str, list[str]] = field(default_factory=dict)  # entries that a track lists now
    full: dict[str, list[str]] = field(default_factory=dict)  # those that only a full run measures
    others: list[tuple[str, str]] = field(default_factory=list)  # the dotted key, and what happened there

    @property
    def names(self) -> Iterator[str]:
        """Every name that was added."""
        yield from (*self.entries, *self.objectives)
        for listed in (self.tracks, self.full):
            for track, entries in listed.items():
                yield from (track, *entries)


def read_leaderboard(data: bytes | None) -> LinedDict:
    """The values of a leaderboard file.

    Raises
    ------
    SpecError
        If there is none, it is no YAML that is taken, or has characters that hide what it says.
    """
    if data is None:
        raise SpecError(f"{FILE}: is not there, or no plain file; expected one")
    if len(data) > 4 * MOST_CHARACTERS:
        raise SpecError(f"{FILE}: {len(data):,} bytes; expected at most {MOST_CHARACTERS:,} characters")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise SpecError(f"{FILE}: not UTF-8 text") from error
    if (bad := HIDDEN.search(text)) is not None:
        line = text.count("\n", 0, bad.start()) + 1
        raise SpecError(f"{FILE}:{line}: the hidden character U+{ord(bad[0]):04X}; expected none")
    tree = compose(Path(FILE), text)
    if not isinstance(tree, LinedDict):
        raise SpecError(f"{FILE}: expected keys (version, tracks, …)")
    return tree


def additions(before: LinedDict, after: LinedDict) -> Additions:
    """What the second leaderboard has that the first has not, and all else in which they differ."""
    found = Additions()
    _compare(before, after, (), found)
    for name in found.names:
        if NAME.fullmatch(name) is None:
            found.others.append((shown(name), "is no name that can be taken"))
    return found


def _compare(before: Any, after: Any, keys: Keys, found: Additions) -> None:
    if before is _NOTHING and keys in (("entries",), ("objectives",)) and isinstance(after, dict):
        before = {}
    if before is _NOTHING and keys[:-1] == ("entries",):
        found.entries.append(str(keys[-1]))
    elif before is _NOTHING and keys[:-1] == ("objectives",):
        found.objectives.append(str(keys[-1]))
    elif (listed := _listed(keys, found)) is not None and _more_names(before, after):
        more = list(after)
        for name in before:
            more.remove(name)
        if more:
            listed[str(keys[1])] = more
    elif isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            _compare(before.get(key, _NOTHING), after.get(key, _NOTHING), (*keys, key), found)
    elif type(before) is not type(after) or before != after or repr(before) != repr(after):
        # `repr` tells true from 1 within lists, which compare equal
        found.others.append((shown(dotted(keys)), _what(before, after)))


def _listed(keys: Keys, found: Additions) -> dict[str, list[str]] | None:
    """Where names go that a list at these keys has more; None where it is no list of a track's entries."""
    if len(keys) == 3 and keys[0] == "tracks" and keys[2] == "entries":
        return found.tracks
    if len(keys) == 4 and keys[0] == "tracks" and keys[2:] == ("full", "entries"):
        return found.full
    return None


def _more_names(before: Any, after: Any) -> bool:
    """Whether both are lists of names, and the second has those of the first in their order."""
    if not (isinstance(before, list) and isinstance(after, list)):
        return False
    if not all(isinstance(name, str) for name in (*before, *after)) or len({*after}) < len(after):
        return False
    rest = iter(after)
    return all(name in rest for name in before)


def _what(before: Any, after: Any) -> str:
    if before is _NOTHING:
        return ADDED
    if after is _NOTHING:
        return "is taken away"
    return f"is changed from {shown(cut(repr(before)))} to {shown(cut(repr(after)))}"

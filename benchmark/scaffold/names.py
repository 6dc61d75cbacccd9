"""Names that something new may have: as it is spelt, and whether anything bears it already."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.spec.leaderboard import Spec
from methods.cards import FAMILIES, cards
from methods.names import borne_by

LONGEST = 40  # characters: an entry of an objective has the name of a detector behind it
_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_YAMLS = frozenset({"true", "false", "null"})  # that YAML reads as something else than text


def check_name(name: str, what: str) -> None:
    """Refuse what is no plain name, such as a path.

    Raises
    ------
    UsageError
        Says what was expected.
    """
    if not _SNAKE.fullmatch(name):
        raise UsageError(
            f"{what} name {name!r:.80}: expected lower_snake_case, letters and digits, such as 'max_logit'"
        )
    if len(name) > LONGEST:
        raise UsageError(f"{what} name {name!r:.80}: has {len(name)} characters; expected at most {LONGEST}")
    if keyword.iskeyword(name) or name in _YAMLS:
        of = "Python" if keyword.iskeyword(name) else "YAML"
        raise UsageError(f"{what} name {name!r}: is a word of {of}; expected another")


def check_method_name(name: str, root: Path, spec: Spec) -> None:
    """Refuse the name of a method, of any family, of an entry or of a row of a study.

    A file of the name counts, be it broken or not, and what other libraries and papers call a method of ours.

    Raises
    ------
    UsageError
        Says whose name it is.
    """
    for family in FAMILIES:
        if (root / "methods" / family / f"{name}.py").exists():
            raise _taken(name, f"methods/{family}/{name}.py")
        aliases = {ours: card.aliases for ours, card in cards(family).items()}
        for ours in borne_by(name, aliases):
            if ours == name:
                raise _taken(name, cards(family)[ours].source)
            raise UsageError(f"{name!r} is what others call {ours!r} of {family}; expected another name")
    rows = {
        row
        for track in spec.tracks.values()
        for s in track.studies.chosen(full=True).values()
        for row in s.rows
    }
    _refuse(name, spec.entries, f"entries.{name} of leaderboard.yaml")
    _refuse(name, spec.objectives, f"objectives.{name} of leaderboard.yaml")
    _refuse(name, rows, "a row of a study in leaderboard.yaml")


def check_dataset_name(name: str, known: Iterable[str]) -> None:
    """Refuse the name of a known dataset; raises `UsageError`."""
    _refuse(name, known, "a dataset: `oodbench show` it")


def check_track_name(name: str, spec: Spec) -> None:
    """Refuse the name of a track or a board; raises `UsageError`. A dataset may have it."""
    _refuse(name, spec.tracks, f"tracks.{name} of leaderboard.yaml")
    _refuse(name, spec.boards, f"boards.{name} of leaderboard.yaml")


def class_name(name: str, text: str, kind: str) -> str:
    """The name of a class, in CamelCase; with its kind where the text of the file has that name already."""
    camel = "".join(part.capitalize() for part in name.split("_"))
    if keyword.iskeyword(camel) or re.search(rf"\b{camel}\b", text):
        camel += "".join(part.capitalize() for part in kind.split("_"))
    return camel


def _refuse(name: str, taken: Iterable[str], of: str) -> None:
    if name in taken:
        raise _taken(name, of)


def _taken(name: str, of: str) -> UsageError:
    return UsageError(f"{name!r} is taken, by {of}; expected another name")

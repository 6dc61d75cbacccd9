"""What the command line lists and shows, as data; and how it is printed.

A `Listing` has rows under named columns, a `Card` is all that is known of one thing. Both are printed in one
of three ways: in a terminal as tables; in a pipe or a file an item a line, tab-separated, without titles; as
JSON. Where several listings are printed in a pipe, each line begins with the name of its listing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reports.console.docstrings import Block
from reports.console.terminal import answer, console, printable
from reports.console.terminal import as_json as to_json


class Cell(NamedTuple):
    """A value that reads otherwise than JSON has it."""

    value: Any
    text: str


class Column(NamedTuple):
    """A column of a listing; `whole` is never broken over lines, `most` is cut off there in a terminal."""

    name: str
    whole: bool = False
    most: int | None = None


@dataclass(frozen=True)
class Listing:
    """Rows under named columns; values are JSON's, or a `Cell`."""

    name: str  # what JSON calls it, and lines in a pipe where several listings are printed
    columns: Sequence[str | Column]
    rows: Sequence[Sequence[Any]]
    title: str = ""
    notes: Sequence[str] = field(default=())  # below the table
    parted: bool = False  # a terminal shows a table for each value of the first column

    def __rich__(self) -> RenderableType:
        notes = [Text(printable(note)) for note in self.notes]
        tables = [_table(part) for part in self._parts()]
        return Group(*tables, *notes, Text(""))

    def _parts(self) -> list[Listing]:
        if not self.parted:
            return [self]
        parts: dict[str, list[Sequence[Any]]] = {}
        for row in self.rows:
            parts.setdefault(_text(row[0]), []).append(row[1:])
        first = _column(self.columns[0]).name
        return [
            Listing(self.name, self.columns[1:], rows, f"{first} {value}") for value, rows in parts.items()
        ]


@dataclass(frozen=True)
class Card:
    """All that is known of one thing."""

    kind: str
    name: str
    blocks: Sequence[Block] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    listings: Sequence[Listing] = ()

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = [Text(f"{self.kind} {printable(self.name)}", style="bold")]
        for kind, text in _card_lines(self):
            parts.append(Padding(Text(text), (kind == "first", 0, 0, 6 if kind == "formula" else 2)))
        parts += [Padding(_table(listing), (1, 0, 0, 2)) for listing in self.listings]
        return Group(*parts, Text(""))


Page = Listing | Card


def present(pages: Sequence[Page], *, as_json: bool = False) -> None:
    """Print listings and cards as an answer.

    Raises
    ------
    OSError
        If standard output cannot be written.
    """
    if as_json:
        answer(to_json(_merged(_json(page) for page in pages)))
    elif sys.stdout.isatty():
        console().print(*pages)
    else:
        listings = sum(isinstance(page, Listing) for page in pages)
        answer("\n".join(line for page in pages for line in _lines(page, named=listings > 1)))


def _card_lines(card: Card) -> Iterator[tuple[Literal["first", "next", "formula"], str]]:
    """Lines of text; those that are the first of something have an empty line before them."""
    before: str = ""
    for block in card.blocks:
        kind: Literal["first", "formula"] = "formula" if block.formula else "first"
        if "formula" == kind != before:
            yield "next", ""
        yield kind, printable(block.text)
        before = kind
    known = [(key, value) for key, value in card.facts.items() if value not in (None, "", [], (), {})]
    for i, (key, value) in enumerate(known):
        yield "next" if i else "first", f"{key}: {_text(value)}"


def _lines(page: Page, *, named: bool) -> Iterator[str]:
    if isinstance(page, Listing):
        for row in page.rows:
            yield "\t".join(([page.name] if named else []) + [_field(value) for value in row])
        return
    yield f"{page.kind} {printable(page.name)}"
    for kind, text in _card_lines(page):
        if kind == "first":
            yield ""
        yield f"    {text}" if kind == "formula" else text
    for listing in page.listings:
        yield from ("", f"{listing.title or listing.name.capitalize()}:")
        yield from _lines(listing, named=False)
    yield ""


def _json(page: Page) -> dict[str, Any]:
    if isinstance(page, Listing):
        keys = [_key(_column(column).name) for column in page.columns]
        return {page.name: [dict(zip(keys, map(_value, row), strict=True)) for row in page.rows]}
    text = "\n".join(f"    {block.text}" if block.formula else block.text for block in page.blocks)
    facts = {_key(key): _value(value) for key, value in page.facts.items()}
    return {_key(page.kind): {"name": page.name, "text": text, **facts, **_merged(map(_json, page.listings))}}


def _merged(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part.items()}


def _table(listing: Listing) -> Table:
    columns = [_column(column) for column in listing.columns]
    title = printable(listing.title) or None
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for i, column in enumerate(columns):
        kinds = {type(_value(row[i])) for row in listing.rows} - {type(None)}
        right = bool(kinds) and kinds <= {int, float}
        table.add_column(
            column.name, justify="right" if right else "left", no_wrap=column.whole or i == 0 or right,
            max_width=column.most, overflow="fold",
        )  # fmt: skip
    for row in listing.rows:
        table.add_row(*map(_shown, columns, row))
    return table


def _shown(column: Column, value: Any) -> Text:
    if column.most:
        return Text(_text(value), no_wrap=True, overflow="ellipsis")
    return Text(_text(value))


def _column(column: str | Column) -> Column:
    return Column(column) if isinstance(column, str) else column


def _key(name: str) -> str:
    return "_".join(name.lower().replace("@", " ").replace("-", "").split())


def _value(value: Any) -> Any:
    return value.value if isinstance(value, Cell) else value


def _text(value: Any) -> str:
    """A value as a person reads it."""
    if isinstance(value, Cell):
        return printable(value.text)
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(printable(str(item)) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{printable(str(key))} {_text(item)}" for key, item in value.items())
    return printable(str(value))


def _field(value: Any) -> str:
    """A value for a program that reads lines: numbers bare, nothing for None."""
    bare = _value(value)
    if bare is None and not isinstance(value, Cell):
        return ""
    text = str(bare) if isinstance(bare, int | float) and not isinstance(bare, bool) else _text(value)
    return " ".join(text.split())

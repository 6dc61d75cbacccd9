"""A page as data: sections of text, tables and plots, which the renderers show as HTML and as Markdown.

Everything here is text, number or name, and none of it is markup: what a record says cannot become any. A new
part of a page is one function that returns a `Section`. This module must not know what a page is about.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from benchmark.records.record import NAME
from reports.console.formulas import formula_text
from reports.site.numbers import fixed, signed

Look = Literal["strong", "italic", "code", "soft", "better", "worse", "supported", "refuted"]
Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Span:
    """Text that looks different from what is around it."""

    text: str
    look: Look


@dataclass(frozen=True)
class Link:
    """A link to another page of the site or a file of it, within the page, or to the outside.

    Raises
    ------
    ValueError
        If a page or a file is not named by plain names with ``/`` between them, or an address is not https.
    """

    text: str
    page: str | None = None  # such as ``boards/digits``; None: this one
    anchor: str = ""  # id of a section
    file: str = ""  # of the site, such as ``data/digits.csv``
    url: str = ""

    def __post_init__(self) -> None:
        for path in (self.page, self.file or None):
            if path is not None:
                checked_path(path)
        if self.url and not _URL.fullmatch(self.url):
            raise ValueError(f"expected an address that starts with https://, got {self.url!r}")


_URL = re.compile(r"https://[^\s\"'<>`]+")


def checked_path(path: str) -> str:
    """A path below the folder of the site, made of plain names with ``/`` or ``~`` between them.

    Raises
    ------
    ValueError
        If a part of it is anything else.
    """
    for part in re.split("[/~]", path):  # no name has these
        if not NAME.fullmatch(part):
            raise ValueError(f"{path!r} cannot be a path of the site: {part!r} is not a plain name")
    return path


@dataclass(frozen=True)
class Formula:
    """A formula within a sentence, in LaTeX."""

    latex: str


Piece = str | Span | Link | Formula
Text = str | tuple[Piece, ...]


def strong(text: str) -> Span:
    """Text that stands out."""
    return Span(text, "strong")


def italic(text: str) -> Span:
    """A symbol, or a word that is explained."""
    return Span(text, "italic")


def code(text: str) -> Span:
    """A command or the name of a file."""
    return Span(text, "code")


def soft(text: str) -> Span:
    """Text that stands back."""
    return Span(text, "soft")


def pieces(text: Text) -> tuple[Piece, ...]:
    """The pieces of a text."""
    return (text,) if isinstance(text, str) else text


def plain(text: Text) -> str:
    """A text without its looks."""
    return "".join(map(_plain, pieces(text)))


def _plain(piece: Piece) -> str:
    match piece:
        case str():
            return piece
        case Formula(latex=latex):
            return formula_text(latex)
        case _:
            return piece.text


# What stands in a table


@dataclass(frozen=True)
class Number:
    """A measured number in its own unit, with half the width of its interval."""

    value: float
    percent: bool = True  # a share, shown ×100
    half: float = math.nan  # NaN: there is no interval
    signed: bool = False
    best: bool = False

    @property
    def text(self) -> str:
        """The number in the unit of the pages."""
        return (signed if self.signed else fixed)(self.value, percent=self.percent)

    @property
    def spread(self) -> str:
        """Half the interval in the unit of the pages, or nothing."""
        return "" if math.isnan(self.half) else fixed(self.half, percent=self.percent)


@dataclass(frozen=True)
class Range:
    """An interval of a difference."""

    low: float
    high: float
    percent: bool = True

    @property
    def texts(self) -> tuple[str, str]:
        """Both bounds in the unit of the pages."""
        return signed(self.low, percent=self.percent), signed(self.high, percent=self.percent)


@dataclass(frozen=True)
class Count:
    """How many there are, of how many there should be."""

    n: int
    of: int

    @property
    def text(self) -> str:
        """The second number only where it is another."""
        return str(self.n) if self.n >= self.of else f"{self.n} of {self.of}"


@dataclass(frozen=True)
class Position:
    """Where a row stands, with the interval of its position."""

    n: int
    low: int
    high: int
    leads: bool  # not significantly worse than the first

    @property
    def texts(self) -> tuple[str, str]:
        """The position, and its interval."""
        return str(self.n), f"[{self.low}–{self.high}]"


@dataclass(frozen=True)
class Labels:
    """What a row is, from the most to the least important part."""

    parts: tuple[str, ...]


@dataclass(frozen=True)
class Metric:
    """A name of a measured number, and which way is better."""

    title: str
    better: Better


@dataclass(frozen=True)
class Scale:
    """The axis that strips of dots share, in the numbers' own unit; zero lies on it."""

    low: float
    high: float
    band: float  # half the width of the band around zero
    percent: bool = True


@dataclass(frozen=True)
class Dots:
    """Numbers as a strip of dots, with their mean and its interval."""

    title: str
    values: tuple[float, ...]
    mean: float
    interval: tuple[float, float] | None
    scale: Scale

    @property
    def texts(self) -> list[str]:
        """The numbers in the unit of the pages."""
        return [signed(value, percent=self.scale.percent) for value in self.values]

    @property
    def alt(self) -> str:
        """What the strip shows."""
        listed = (fixed(value, percent=self.scale.percent) for value in self.values)
        return f"{self.title}: {', '.join(listed)}"


@dataclass(frozen=True)
class Noted:
    """Something with a remark."""

    what: Text | Labels
    note: str


Content = (
    Text | int | None | Number | Range | Count | Position | Labels | Metric | Dots | Noted
)  # None: a dash


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: Text
    kind: Literal["number", "text", "prose", "statement", "dots"] = "number"
    better: Better | None = None
    largest_first: bool = False  # when a reader sorts by it
    scale: Scale | None = None  # of strips: drawn in place of the title


@dataclass(frozen=True)
class Row:
    """A row of a table; the first cell says what it is."""

    cells: tuple[Content, ...]
    parted: bool = False  # another group begins


@dataclass(frozen=True)
class Table:
    """A table with what is said above it.

    Raises
    ------
    ValueError
        If a row does not have a cell for each column.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    id: str = ""  # empty: it is known by its section's title
    title: Text = ""
    about: Text = ""
    aside: Text = ""  # below title and about
    sortable: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                titles = [plain(column.title) for column in self.columns]
                raise ValueError(
                    f"a row has {len(row.cells)} cells, expected {len(titles)} ({titles}): {row.cells}"
                )


# What stands in a section


@dataclass(frozen=True)
class Plot:
    """One figure of the site."""

    file: str  # name within the folder of the plots
    title: str
    alt: str  # what it shows, for those who do not see it
    svg: str
    width: int  # CSS pixels
    height: int


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; small for notes."""

    text: Text
    small: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list; small for notes."""

    items: tuple[Text, ...]
    small: bool = False


@dataclass(frozen=True)
class Facts:
    """Names with what they stand for."""

    items: tuple[tuple[str, Text], ...]


@dataclass(frozen=True)
class Command:
    """A command to copy, on a line of its own."""

    text: str


@dataclass(frozen=True)
class Gallery:
    """Plots beside each other."""

    plots: tuple[Plot, ...]


@dataclass(frozen=True)
class Maths:
    """A formula that stands by itself, in LaTeX."""

    latex: str


@dataclass(frozen=True)
class Fold:
    """What is shown when the reader asks for it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Live:
    """What a script of ours makes of data; without it, other blocks stand in its place.

    The data is written into the page: numbers, texts, lists and mappings.
    """

    script: Literal["board", "compare"]
    data: Mapping[str, Any]
    otherwise: tuple[Block, ...]


Block = Paragraph | Bullets | Facts | Command | Table | Gallery | Maths | Fold | Live


@dataclass(frozen=True)
class Section:
    """A part of a page: what stands in it, in this order, and then the sections within it."""

    id: str  # empty: nothing leads to it
    title: Text
    body: tuple[Block, ...]
    sections: tuple[Section, ...] = ()
    subtitle: str = ""
    short: str = ""  # of the title, in lists of sections
    track: str = ""  # that it is about, where it is about one

    @property
    def link(self) -> Link:
        """A link that leads to it."""
        return Link(self.short or plain(self.title), anchor=self.id)


@dataclass(frozen=True)
class Page:
    """A page of the site."""

    name: str  # path without the suffix, such as ``boards/digits``
    title: str  # of the window
    heading: str
    intro: Text
    nav: tuple[Link, ...]
    body: tuple[Block, ...]
    sections: tuple[Section, ...]
    footer: Text
    files: Mapping[str, str] = field(default_factory=dict)  # to download, by path below the site


def of_track(section: Section | None, name: str) -> Section | None:
    """A section with those parts alone that are about a track; None where there are none."""
    parts = () if section is None else tuple(part for part in section.sections if part.track == name)
    return replace(section, sections=parts) if section is not None and parts else None


def present(*sections: Section | None) -> tuple[Section, ...]:
    """The sections that there are; a function gives None where a part has nothing to show."""
    return tuple(section for section in sections if section is not None)


def blocks_of(sections: Sequence[Section]) -> Iterator[Block]:
    """All blocks of some sections, those within others too."""
    for section in sections:
        yield from within(section.body)
        yield from blocks_of(section.sections)


def within(blocks: Sequence[Block]) -> Iterator[Block]:
    """Blocks, each followed by those that stand within it."""
    for block in blocks:
        yield block
        if isinstance(block, Fold):
            yield from within(block.blocks)
        if isinstance(block, Live):
            yield from within(block.otherwise)


def plots_of(sections: Sequence[Section]) -> Iterator[Plot]:
    """All plots of some sections."""
    for block in blocks_of(sections):
        if isinstance(block, Gallery):
            yield from block.plots


def notes(texts: Sequence[str]) -> tuple[Paragraph, ...]:
    """Small paragraphs."""
    return tuple(Paragraph(text, small=True) for text in texts)

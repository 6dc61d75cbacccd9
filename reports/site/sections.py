"""A page as data: sections of text, tables and plots, which the renderers show as HTML and as Markdown.

Everything here is text, number or name, and none of it is markup: what a record says cannot become any. A new
part of a page is one function that returns a `Section`. This module must not know what a page is about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from reports.site.cells import Better, Content, Scale
from reports.site.text import Link, Text, checked_path, plain


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
    data: str  # what is drawn, as CSV; empty where it is a picture

    @property
    def data_file(self) -> str:
        """Where its data lies below the site."""
        return f"plots/{self.file.removesuffix('.svg')}.csv"


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
class Picture:
    """Pixels, as a PNG or JPEG file.

    Raises
    ------
    ValueError
        If its file is not named by plain names with ``/`` between them.
    """

    file: str  # of the site, such as ``samples/digits.png``
    alt: str  # what it shows, for those who do not see it
    data: bytes
    width: int  # CSS pixels
    height: int
    smooth: bool = False  # where it is scaled; else its pixels are seen as such

    def __post_init__(self) -> None:
        checked_path(self.file)


@dataclass(frozen=True)
class Pictures:
    """Small pictures beside each other, each with what is said below it."""

    items: tuple[tuple[Picture, Text], ...]


@dataclass(frozen=True)
class Warnings:
    """What a reader must know before anything else."""

    items: tuple[Text, ...]


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


Block = (
    Paragraph
    | Bullets
    | Facts
    | Command
    | Table
    | Gallery
    | Picture
    | Pictures
    | Warnings
    | Maths
    | Fold
    | Live
)


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
    mark: str = ""  # above all else, where the page is not what it looks like
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


def pictures_of(page: Page) -> Iterator[Picture]:
    """All pictures of a page."""
    for block in (*within(page.body), *blocks_of(page.sections)):
        if isinstance(block, Picture):
            yield block
        if isinstance(block, Pictures):
            yield from (picture for picture, _ in block.items)


def notes(texts: Sequence[str]) -> tuple[Paragraph, ...]:
    """Small paragraphs."""
    return tuple(Paragraph(text, small=True) for text in texts)

"""Text of a page as data: spans that look different, links and formulas; none of it is markup.

This module must not know where a text stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from benchmark.records.record import NAME
from reports.console.formulas import formula_text

Look = Literal["strong", "italic", "code", "soft", "better", "worse", "supported", "refuted"]


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

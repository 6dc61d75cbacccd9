"""Docstrings (reStructuredText, numpydoc sections, LaTeX), as they are marked and as text for a terminal."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import NamedTuple

from reports.console.formulas import formula_lines, formula_text

_MATH = re.compile(r"^\.\. math::")
_UNDERLINE = re.compile(r"-{3,}")


class Block(NamedTuple):
    """A paragraph, or a line of a formula, which stands apart."""

    text: str
    formula: bool = False


class Doc(NamedTuple):
    """What a docstring says."""

    summary: str
    body: tuple[Block, ...]  # without the summary
    parameters: dict[str, str]  # name → what it says of it


class Marked(NamedTuple):
    """A paragraph with its markup, or the LaTeX of a formula that stands apart."""

    text: str
    formula: bool = False


class MarkedDoc(NamedTuple):
    """What a docstring says, with its markup."""

    summary: str
    body: tuple[Marked, ...]  # without the summary
    parameters: dict[str, str]


def read_docstring(raw: str | None) -> Doc:
    """Read the docstring of a method as plain text."""
    marked, parameters = _read(raw)
    blocks: list[Block] = []
    for text, formula in marked:
        if formula:
            blocks += [Block(line, formula=True) for line in formula_lines(text)]
        else:
            blocks.append(Block(plain_text(text)))
    summary = blocks.pop(0).text if blocks and not blocks[0].formula else ""
    return Doc(summary, tuple(blocks), {name: plain_text(said) for name, said in parameters.items()})


def read_marked(raw: str | None) -> MarkedDoc:
    """Read the docstring of a method with its markup, formulas in LaTeX."""
    blocks, parameters = _read(raw)
    summary = blocks.pop(0).text if blocks and not blocks[0].formula else ""
    return MarkedDoc(summary, tuple(blocks), parameters)


def _read(raw: str | None) -> tuple[list[Marked], dict[str, str]]:
    """The paragraphs and formulas, and what is said of the parameters."""
    lines = inspect.cleandoc(raw or "").splitlines()
    parameters: dict[str, str] = {}
    blocks: list[Marked] = []
    while lines:
        if len(lines) > 1 and _UNDERLINE.fullmatch(lines[1]):
            title = lines.pop(0)
            lines.pop(0)
            entries = dict(_entries(lines))
            if title == "Parameters":
                parameters |= entries
            else:
                blocks += [Marked(f"{title}: {name}: {said}") for name, said in entries.items()]
        elif _MATH.match(lines[0]):
            first = lines.pop(0).removeprefix(".. math::")
            blocks.append(Marked("\n".join([first, *_indented(lines)]).strip(), formula=True))
        else:
            paragraph = []
            while lines and lines[0].strip() and not _MATH.match(lines[0]):
                paragraph.append(lines.pop(0))
            if paragraph:
                blocks.append(Marked(" ".join(paragraph)))
            while lines and not lines[0].strip():
                lines.pop(0)
    return blocks, parameters


def plain_text(marked: str) -> str:
    """Text of one line without its markup: roles, literals, emphasis; formulas in Unicode."""
    text = re.sub(r":math:`([^`]*)`", lambda found: formula_text(found[1]), marked)
    text = re.sub(r":[a-z:]+:`~?([^`]*)`", r"\1", text)
    text = re.sub(r"``(.+?)``", r"\1", text)
    text = re.sub(r"`([^`]+)`(?:_+)?", r"\1", text)
    text = re.sub(r"\*\*(\S(?:.*?\S)?)\*\*", r"\1", text)
    return " ".join(text.split())


def _indented(lines: list[str]) -> list[str]:
    """Take the indented lines that come next, and the empty ones between them."""
    taken = []
    while lines and (not lines[0].strip() or lines[0].startswith(" ")):
        taken.append(lines.pop(0))
    return taken


def _entries(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Take the entries of a section: a line with names, and what is said of them, indented."""
    while len(lines) > 1 and lines[0].strip() and lines[1].startswith(" "):
        names = lines.pop(0)
        said = []
        while lines and lines[0].startswith(" "):
            said.append(lines.pop(0))
        for name in names.partition(" : ")[0].split(","):
            yield name.strip(), " ".join(" ".join(said).split())
    while lines and not lines[0].strip():
        lines.pop(0)

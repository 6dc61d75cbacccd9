"""A page as Markdown: the same sections, tables and plots as text.

Every text is escaped here, so that it shows as it is. Nothing is ever removed. Links within the page and
italics are left to HTML; formulas are written in Unicode.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from reports.console.formulas import formula_lines, formula_text
from reports.site.cells import (
    Better,
    Content,
    Count,
    Dots,
    Estimate,
    Labels,
    Metric,
    Noted,
    Number,
    Position,
    Range,
)
from reports.site.sections import (
    Block,
    Bullets,
    Command,
    Facts,
    Fold,
    Gallery,
    Live,
    Maths,
    Page,
    Paragraph,
    Picture,
    Pictures,
    Section,
    Table,
    Warnings,
)
from reports.site.text import Formula, Link, Piece, Span, Text, pieces

_SPECIAL = re.compile(r"[\\`*\[\]|~<>&!$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_BLOCK = re.compile(r"^(\d*)(?=[#=]|[-+](?:[\s-]|$)|(?<=\d)[.)](?:\s|$))")  # what would start a block
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_BARE_PIPE = re.compile(r"(?<!\\)\|")  # of code, within a table
_ARROWS: dict[Better, str] = {"higher": "↑", "lower": "↓"}
_DASH = "–"
_IN_URL = {"(": "%28", ")": "%29"}  # what would end a link


def markdown_of(page: Page) -> str:
    """Render a page; equal pages give equal text."""
    writer = _Writer("../" * page.name.count("/"))
    outward = tuple((link,) for link in page.nav if not within_page(link))
    parts = [f"**Preview.** {escape_markdown(page.mark)}"] if page.mark else []
    parts += [f"# {escape_markdown(page.title)}", writer.line(page.intro)]
    if outward:
        parts += writer.block(Bullets(outward))
    parts += [part for block in page.body for part in writer.block(block)]
    parts += [part for section in page.sections for part in writer.section(section, 2)]
    return "\n\n".join([*parts, writer.line(page.footer)]) + "\n"


def within_page(link: Link) -> bool:
    """Whether a link leads to a place on its own page."""
    return not (link.page or link.file or link.url)


def escape_markdown(value: object) -> str:
    """Escape a value so that Markdown shows it as it is, on one line, also within a table."""
    return _Writer("").line(str(value))


@dataclass(frozen=True)
class _Writer:
    """What writes the parts of a page."""

    root: str  # leads from the page's folder to the site's

    def section(self, section: Section, level: int) -> Iterator[str]:
        yield f"{'#' * level} {self.line(section.title)}"
        if section.subtitle:
            yield escape_markdown(section.subtitle)
        for block in section.body:
            yield from self.block(block)
        for inner in section.sections:
            yield from self.section(inner, level + 1)

    def block(self, block: Block) -> Iterator[str]:
        """The parts of a block, with an empty line between them."""
        match block:
            case Paragraph(text=text):
                yield self.line(text)
            case Bullets(items=items):
                yield "\n".join(f"- {self.line(item)}" for item in items)
            case Facts(items=items):
                yield "\n".join(f"- {self.line((f'{name}: ', *pieces(text)))}" for name, text in items)
            case Command(text=text):
                yield "\n".join(f"    {line}" for line in text.splitlines())
            case Gallery(plots=plots):
                for plot in plots:
                    yield f"![{escape_markdown(plot.alt)}]({self.root}plots/{plot.file})"
            case Picture(file=file, alt=alt):
                yield f"![{escape_markdown(alt)}]({self.root}{file})"
            case Pictures(items=items):
                for picture, text in items:
                    yield f"![{escape_markdown(picture.alt)}]({self.root}{picture.file}) {self.line(text)}"
            case Warnings(items=items):
                yield "\n".join(f"- **Warning.** {self.line(item)}" for item in items)
            case Maths(latex=latex):
                yield "\n".join(f"    {line}" for line in formula_lines(latex))
            case Fold(title=title, blocks=blocks):
                yield f"**{escape_markdown(title)}**"
                for inner in blocks:
                    yield from self.block(inner)
            case Live(otherwise=blocks):
                for inner in blocks:
                    yield from self.block(inner)
            case Table():
                yield from self.table(block)

    def table(self, table: Table) -> Iterator[str]:
        if table.title:
            yield f"**{self.line(table.title)}**"
        yield from (self.line(text) for text in (table.about, table.aside) if text)
        heads = [
            self.cell(column.title) + (f" {_ARROWS[column.better]}" if column.better else "")
            for column in table.columns
        ]
        rules = ["---:" if column.kind == "number" else ":---" for column in table.columns]
        rows = [[self.cell(cell) for cell in row.cells] for row in table.rows]
        lines = (f"| {' | '.join(row)} |" for row in rows)
        yield "\n".join([f"| {' | '.join(heads)} |", f"|{'|'.join(rules)}|", *lines])

    def cell(self, content: Content) -> str:
        match content:
            case None:
                return _DASH
            case int():
                return str(content)
            case Number(best=best):
                text = f"**{content.text}**" if best else content.text
                return f"{text} ± {content.spread}" if content.spread else text
            case Estimate(text=text, interval=interval):
                return f"{text} {escape_markdown(interval)}"
            case Range(texts=(low, high)):
                return f"{low} to {high}"
            case Count(text=text):
                return text
            case Position(texts=(position, interval), leads=leads):
                return f"{position} {escape_markdown(interval)}{' ●' if leads else ''}"
            case Labels(parts=parts):
                return escape_markdown(" · ".join(parts))
            case Metric(title=title, better=better):
                return f"{escape_markdown(title)} {_ARROWS[better]}"
            case Dots(texts=texts):
                return ", ".join(texts)
            case Noted(what=what, note=note):
                return f"{self.cell(what)} ({escape_markdown(note)})"
            case _:
                return _BARE_PIPE.sub(r"\|", self.line(content))

    def line(self, text: Text) -> str:
        """A text on one line, which starts no block."""
        return _BLOCK.sub(r"\1\\", "".join(map(self.piece, pieces(text))).strip())

    def piece(self, piece: Piece) -> str:
        match piece:
            case Span(text=text, look="strong"):
                return f"**{_escape(text)}**"
            case Span(text=text, look="code"):
                return _code(text)
            case Span(text=text):
                return _escape(text)
            case Formula(latex=latex):
                return _escape(formula_text(latex))
            case Link(text=text):
                return _escape(text) if within_page(piece) else f"[{_escape(text)}]({self.target(piece)})"
            case str():
                return _escape(piece)

    def target(self, link: Link) -> str:
        if link.url:
            return "".join(_IN_URL.get(character, character) for character in link.url)
        return f"{self.root}{link.file or f'{link.page}.md'}"


def _escape(text: str) -> str:
    line = re.sub(r"\s+", " ", text)
    return _SPECIAL.sub(lambda match: _ENTITIES.get(match[0], f"\\{match[0]}"), line)


def _code(text: str) -> str:
    """Text as code, between more backticks than it has in a row."""
    line = " ".join(text.split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if "`" in line else ""
    return f"{ticks}{space}{line}{space}{ticks}"

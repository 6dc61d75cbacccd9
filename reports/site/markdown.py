"""A page as Markdown: the same sections, tables and plots as text.

Every text is escaped here, so that it shows as it is. Nothing is ever removed. Links within the page and
italics are left to HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from reports.site.sections import (
    Better,
    Block,
    Bullets,
    Command,
    Content,
    Count,
    Dots,
    Facts,
    Gallery,
    Labels,
    Link,
    Metric,
    Noted,
    Number,
    Page,
    Paragraph,
    Range,
    Section,
    Span,
    Table,
    Text,
    pieces,
)

_SPECIAL = re.compile(r"[\\`*\[\]|~<>&!$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_BLOCK = re.compile(r"^(\d*)(?=[#=]|[-+](?:[\s-]|$)|(?<=\d)[.)](?:\s|$))")  # what would start a block
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_BARE_PIPE = re.compile(r"(?<!\\)\|")  # of code, within a table
_ARROWS: dict[Better, str] = {"higher": "↑", "lower": "↓"}
_DASH = "–"


def markdown_of(page: Page) -> str:
    """Render a page; equal pages give equal text."""
    outward = tuple((link,) for link in page.nav if link.page is not None)
    parts = [f"# {escape_markdown(page.title)}", _line(page.intro)]
    if outward:
        parts += _block(Bullets(outward))
    parts += [part for block in page.body for part in _block(block)]
    parts += [part for section in page.sections for part in _section(section, 2)]
    return "\n\n".join([*parts, _line(page.footer)]) + "\n"


def escape_markdown(value: object) -> str:
    """Escape a value so that Markdown shows it as it is, on one line, also within a table."""
    return _line(str(value))


def _section(section: Section, level: int) -> Iterator[str]:
    yield f"{'#' * level} {_line(section.title)}"
    if section.subtitle:
        yield escape_markdown(section.subtitle)
    for block in section.body:
        yield from _block(block)
    for inner in section.sections:
        yield from _section(inner, level + 1)


def _block(block: Block) -> Iterator[str]:
    """The parts of a block, with an empty line between them."""
    match block:
        case Paragraph(text=text):
            yield _line(text)
        case Bullets(items=items):
            yield "\n".join(f"- {_line(item)}" for item in items)
        case Facts(items=items):
            yield "\n".join(f"- {_line((f'{name}: ', *pieces(text)))}" for name, text in items)
        case Command(text=text):
            yield "\n".join(f"    {line}" for line in text.splitlines())
        case Gallery(plots=plots):
            for plot in plots:
                yield f"![{escape_markdown(plot.alt)}](plots/{plot.file})"
        case Table():
            yield from _table(block)


def _table(table: Table) -> Iterator[str]:
    if table.title:
        yield f"**{_line(table.title)}**"
    yield from (_line(text) for text in (table.about, table.aside) if text)
    heads = [
        _cell(column.title) + (f" {_ARROWS[column.better]}" if column.better else "")
        for column in table.columns
    ]
    rules = ["---:" if column.kind == "number" else ":---" for column in table.columns]
    rows = [[_cell(cell) for cell in row.cells] for row in table.rows]
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join(rules)}|", *(f"| {' | '.join(row)} |" for row in rows)]
    yield "\n".join(lines)


def _cell(content: Content) -> str:
    match content:
        case None:
            return _DASH
        case int():
            return str(content)
        case Number(best=best):
            text = f"**{content.text}**" if best else content.text
            return f"{text} ± {content.spread}" if content.spread else text
        case Range(texts=(low, high)):
            return f"{low} to {high}"
        case Count(text=text):
            return text
        case Labels(parts=parts):
            return escape_markdown(" · ".join(parts))
        case Metric(title=title, better=better):
            return f"{escape_markdown(title)} {_ARROWS[better]}"
        case Dots(texts=texts):
            return ", ".join(texts)
        case Noted(what=what, note=note):
            return f"{_cell(what)} ({escape_markdown(note)})"
        case _:
            return _BARE_PIPE.sub(r"\|", _line(content))


def _line(text: Text) -> str:
    """A text on one line, which starts no block."""
    return _BLOCK.sub(r"\1\\", "".join(map(_piece, pieces(text))).strip())


def _piece(piece: str | Span | Link) -> str:
    match piece:
        case Span(text=text, look="strong"):
            return f"**{_escape(text)}**"
        case Span(text=text, look="code"):
            return _code(text)
        case Span(text=text):
            return _escape(text)
        case Link(text=text, page=None):
            return _escape(text)
        case Link(text=text, page=page):
            return f"[{_escape(text)}]({page}.md)"
        case str():
            return _escape(piece)


def _escape(text: str) -> str:
    line = re.sub(r"\s+", " ", text)
    return _SPECIAL.sub(lambda match: _ENTITIES.get(match[0], f"\\{match[0]}"), line)


def _code(text: str) -> str:
    """Text as code, between more backticks than it has in a row."""
    line = " ".join(text.split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if "`" in line else ""
    return f"{ticks}{space}{line}{space}{ticks}"

"""A page as HTML, readable from disk and offline; autoescape escapes every text."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.site.sections import (
    Block,
    Content,
    Count,
    Labels,
    Link,
    Noted,
    Number,
    Page,
    PageName,
    Section,
    Table,
    pieces,
    plain,
)
from reports.site.strips import HEIGHT, WIDTH, axis_of, strip_of

FILES: dict[PageName, str] = {"leaderboard": "index.html", "claims": "claims.html"}
LAST = 1_000_000  # where a number is missing: no table has as many rows


def html_of(page: Page) -> str:
    """Render a page; equal pages give equal text."""
    css, script = _static("page.css"), _static("sort.js")
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            page=page,
            text=f"{page.name}.md",
            css=Markup(css),  # noqa: S704 our file
            script=Markup(script) if _sortable(page) else None,  # noqa: S704 our file
            policy=_policy(css, script),
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("reports.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "axis": axis_of,
        "href": _href,
        "kind": _kind,
        "pieces": pieces,
        "plain": plain,
        "sorted_by": _sorted_by,
        "strip": strip_of,
    }
    environment.globals |= {"strip_width": WIDTH, "strip_height": HEIGHT}
    return environment


def _kind(thing: Block | Content) -> str:
    """The macro that shows something is called like its class."""
    return type(thing).__name__


def _href(link: Link) -> str:
    file = "" if link.page is None else FILES[link.page]
    return f"{file}#{link.anchor}" if link.anchor else file


def _sorted_by(content: Content) -> str | float:
    """What a cell stands for when the reader sorts by its column."""
    match content:
        case Number(value=value):
            return value
        case Count(n=n):
            return n
        case Labels(parts=parts):
            return " ".join(parts)
        case Noted(what=what):
            return _sorted_by(what)
        case None:
            return LAST
        case int() | str():
            return content
    raise TypeError(f"nothing to sort by in {content!r}")


def _sortable(page: Page) -> bool:
    def found(section: Section) -> bool:
        tables = [block for block in section.body if isinstance(block, Table)]
        return any(table.sortable for table in tables) or any(map(found, section.sections))

    return any(map(found, page.sections))


def _static(name: str) -> str:
    return (files("reports") / "site" / "static" / name).read_text(encoding="utf-8")


def _policy(css: str, script: str) -> str:
    """Content security policy: our style, our script, images from beside the page, and nothing else."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, script)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "img-src 'self' file:; base-uri 'none'; form-action 'none'"
    )

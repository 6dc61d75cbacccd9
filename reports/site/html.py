"""A page as HTML, readable from disk and offline; autoescape escapes every text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from reports.site.cells import Content, Count, Estimate, Labels, Noted, Number, Position
from reports.site.mathml import mathml
from reports.site.sections import Block, Live, Page, Table, blocks_of, within
from reports.site.strips import HEIGHT, WIDTH, axis_of, strip_of
from reports.site.text import Link, pieces, plain

LAST = 1_000_000  # where a number is missing: no table has as many rows
LONG = 16  # characters of a name that fit into the first column on a phone; common.js has the same
_JOINT = re.compile(r"[_+](?=\w)")


def html_of(page: Page, menu: Sequence[Link] = ()) -> str:
    """Render a page with the menu of the site; equal pages give equal text."""
    css, scripts = _static("page.css"), [_static(f"{name}.js") for name in _scripts(page)]
    return (
        _environment("../" * page.name.count("/"))
        .get_template("page.html.j2")
        .render(
            page=page,
            menu=menu,
            css=Markup(css),  # noqa: S704 our file
            scripts=[Markup(script) for script in scripts],  # noqa: S704 our files
            policy=_policy(css, scripts),
        )
    )


@cache
def _environment(root: str) -> Environment:
    """What renders pages that lie in a folder from which `root` leads to the site's."""
    environment = Environment(
        loader=PackageLoader("reports.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "axis": axis_of,
        "href": lambda link: _href(link, root),
        "json": _json,
        "kind": _kind,
        "mathml": mathml,
        "pieces": pieces,
        "plain": plain,
        "shade": lambda content: content.shade if isinstance(content, Number) else None,
        "sorted_by": _sorted_by,
        "strip": strip_of,
        "breakable": _breakable,
    }
    environment.globals |= {"root": root, "strip_width": WIDTH, "strip_height": HEIGHT}
    return environment


def _kind(thing: Block | Content) -> str:
    """The macro that shows something is called like its class."""
    return type(thing).__name__


def _breakable(text: str) -> Markup:
    """A long name, that may be broken after what its parts are joined by."""
    whole = str(escape(text))
    return Markup(_JOINT.sub(r"\g<0><wbr>", whole) if len(text) > LONG else whole)  # noqa: S704 is escaped


def _href(link: Link, root: str) -> str:
    if link.url:
        return link.url
    file = f"{root}{link.file}" if link.file else "" if link.page is None else f"{root}{link.page}.html"
    return f"{file}#{link.anchor}" if link.anchor else file


def _json(data: Mapping[str, Any]) -> Markup:
    """Data within a page, for a script of ours: no text in it can end the element that it stands in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c"))  # noqa: S704 cannot be markup


def _sorted_by(content: Content) -> str | float:
    """What a cell stands for when the reader sorts by its column."""
    match content:
        case Number(value=value) | Estimate(value=value):
            return value
        case Count(n=n) | Position(n=n):
            return n
        case Labels(parts=parts):
            return " ".join(parts)
        case Noted(what=what):
            return _sorted_by(what)
        case None:
            return LAST
        case int() | str():
            return content
        case tuple():
            return plain(content)
    raise TypeError(f"nothing to sort by in {content!r}")


def _scripts(page: Page) -> list[str]:
    """Our scripts that a page needs."""
    blocks = [*within(page.body), *blocks_of(page.sections)]
    sortable = any(isinstance(block, Table) and block.sortable for block in blocks)
    live = dict.fromkeys(block.script for block in blocks if isinstance(block, Live))
    return [*(["sort"] if sortable else []), *(["common"] if live else []), *live]


def _static(name: str) -> str:
    return (files("reports") / "site" / "static" / name).read_text(encoding="utf-8")


def _policy(css: str, scripts: Sequence[str]) -> str:
    """Content security policy: our style, our scripts, images from beside the page, and nothing else."""
    (style,), ours = _hashes([css]), _hashes(scripts) or ["'none'"]
    return (
        f"default-src 'none'; style-src {style}; script-src {' '.join(ours)}; "
        "img-src 'self' file:; base-uri 'none'; form-action 'none'"
    )


def _hashes(texts: Sequence[str]) -> list[str]:
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]

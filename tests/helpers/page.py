"""Pages of the site, taken apart."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == tag]


def pages_of(site: Path) -> dict[str, Page]:
    """All pages of a site, by their paths without the suffix."""
    paths = sorted(site.rglob("*.html"))
    return {path.relative_to(site).with_suffix("").as_posix(): Page(path.read_text()) for path in paths}


def words(text: str) -> str:
    """A text with one space in place of any white space."""
    return " ".join(text.split())


def broken_links(site: Path) -> list[str]:
    """All links of a site that lead to no file of it, or to no place on a page.

    Of HTML, of the data of scripts, and of Markdown.
    """
    root, pages = site.resolve(), pages_of(site)
    ids = {name: {a["id"] for _, a in page.elements if "id" in a} for name, page in pages.items()}

    def leads(name: str, link: str) -> bool:
        path, _, anchor = link.partition("#")
        target = (root / name).parent / path if path else root / f"{name}.html"
        if not target.is_file() or not target.resolve().is_relative_to(root):
            return False
        return not anchor or anchor in ids[target.resolve().relative_to(root).with_suffix("").as_posix()]

    broken = []
    for name, page in pages.items():
        html = (site / f"{name}.html").read_text()
        data = re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
        of_scripts = [link for text in data for link in _pages_in(json.loads(text))]
        links = [*(str(a["href"]) for a in page.all("a")), *of_scripts]
        inward = [link for link in links if not link.startswith("https://")]
        broken += [f"{name}.html: {link}" for link in inward if not leads(name, link)]
    for path in site.rglob("*.md"):
        markdown = Page(MarkdownIt("commonmark").enable("table").render(path.read_text()))
        links = [str(a["href"]) for a in markdown.all("a")] + [str(a["src"]) for a in markdown.all("img")]
        inward = [link for link in links if not link.startswith("https://")]
        broken += [
            f"{path.relative_to(site)}: {link}" for link in inward if not (path.parent / link).is_file()
        ]
    return broken


def _pages_in(data: Any) -> Iterator[str]:
    """The pages that data of a script leads to."""
    if isinstance(data, dict):
        if isinstance(data.get("page"), str):
            yield data["page"]
        data = list(data.values())
    if isinstance(data, list):
        for one in data:
            yield from _pages_in(one)

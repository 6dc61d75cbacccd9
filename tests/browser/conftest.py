"""A real browser, and the site of the published records, as a reader finds them on a disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from once import once
from undrawn import draw_nothing

from benchmark.records.files import iterate
from benchmark.spec.load import load_spec
from reports.site.build import build_site

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONE, TABLET, DESKTOP = 390, 800, 1400


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium; skips where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of the published records, without drawing what takes long; made once for all processes."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            draw_nothing(patch)
            spec = load_spec(ROOT / "leaderboard.yaml")
            build_site(spec, iterate(ROOT / "results"), folder, generated=datetime(2026, 12, 1, tzinfo=UTC))

    return once(tmp_path_factory, "published_site", make)


class Reader:
    """Someone with a browser: what they click is counted, and what goes wrong on the pages is kept."""

    def __init__(self, page: Any, site: Path) -> None:
        self.page, self.site = page, site
        self.clicks = 0
        self.wrong: list[str] = []
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("dialog", lambda dialog: (self.wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("console", lambda said: said.type == "error" and self.wrong.append(said.text))

    def open(self, name: str = "index", state: str = "") -> None:
        """Go to a page, with what stands behind the # of its address."""
        self.page.goto("about:blank")
        self.page.goto(f"{(self.site / name).as_uri()}.html{'#' if state else ''}{state}")

    def click(self, *names: str) -> None:
        """Click links, each by its whole text, and wait for the page that each leads to."""
        for name in names:
            with self.page.expect_navigation():
                self.page.get_by_role("link", name=name, exact=True).first.click()
            self.clicks += 1

    def choose(self, label: str, value: str) -> None:
        """Choose in a list."""
        self.page.get_by_label(label, exact=False).first.select_option(value)
        self.clicks += 1

    def rows(self, table: str = ".live table.board") -> list[list[str]]:
        """The shown cells of a table's body."""
        script = "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))"
        rows = self.page.locator(f"{table} tbody tr")
        rows.first.wait_for()
        found: list[list[str]] = rows.evaluate_all(script)
        return found

    def heads(self) -> list[str]:
        """The heads of the board's columns."""
        found: list[str] = self.page.locator(".live table.board thead th").all_inner_texts()
        return [" ".join(head.split()) for head in found]


@pytest.fixture
def reader(browser: Any, site: Path) -> Iterator[Callable[..., Reader]]:
    """Makes readers of the site; fails where a page had an error."""
    contexts, readers = [], []

    def make(width: int = DESKTOP, folder: Path = site, **options: Any) -> Reader:
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        readers.append(Reader(context.new_page(), folder))
        return readers[-1]

    yield make
    for context in contexts:
        context.close()
    assert [wrong for one in readers for wrong in one.wrong] == []

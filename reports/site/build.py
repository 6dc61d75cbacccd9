"""The site: leaderboards and claims as HTML and as Markdown, and the plots; readable from disk, offline.

A page is data (`reports.site.sections`), and this module writes it in each format.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmark.records.record import RecordFile
from benchmark.spec.leaderboard import Spec
from benchmark.store.files import write_changed
from benchmark.verify.ledger import Ledger
from reports.claims.register import Register, load_register
from reports.diff.history import Tagged, history_of
from reports.pages.changes import shown_today
from reports.pages.parts import parts_of
from reports.pages.site import Made, pages_of
from reports.plots.memo import Memo
from reports.select import select
from reports.site.forked import all_of
from reports.site.frame import is_empty
from reports.site.html import html_of
from reports.site.leaderboard import leaderboard_page
from reports.site.manifest import REPORT, write_manifest
from reports.site.markdown import markdown_of
from reports.site.reproduction import Reproduction
from reports.site.sections import Page, pictures_of, plots_of
from reports.site.text import Link

AT_ONCE = 16  # lots of pages that are written out together


@contextmanager
def _kept() -> Iterator[None]:
    """See to it that what is made here is not searched for garbage, until `_released`."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _released() -> Iterator[None]:
    """Let go of what was `_kept` when the block ends."""
    try:
        yield
    finally:
        gc.unfreeze()


@_released()
def build_site(
    spec: Spec,
    results: Iterable[RecordFile],
    out: Path,
    *,
    generated: datetime,
    register: Register | None = None,
    made_of: str = "",
    source: str = "results",
    report: Reproduction | None = None,
    versions: Tagged | None = None,
    preview: str = "",
    ledger: Ledger | None = None,
    incremental: bool = False,
    workers: int = 1,
) -> list[Path]:
    """Write the pages, `plots/*.svg` and `samples/*.png` below `out`; equal input gives equal bytes.

    Every page is there as HTML and as Markdown, from `index.html` on; `leaderboard.md` has all in one text.

    Parameters
    ----------
    results : the records, read once and let go.
    generated : when the page is made, printed at its foot; with a time zone.
    register : the claims; those that come with oodbench if absent.
    made_of : a hash of all input, kept beside the pages.
    source : name of the folder that the records lie in.
    report : how they compare with the published ones, where they are not these.
    versions : earlier versions of the records, for the page of changes; None: there is none.
    preview : what every page says of itself above all else, where it shows what is not published; else empty.
    ledger : which records were verified; None: none.
    incremental : take from `out` the plots of an earlier build that would come out the same.
    workers : processes at a time.

    Returns
    -------
    The files written.

    Raises
    ------
    DataError
        If a board or a claim asks for a metric that a record lacks, or records contradict each other.
    StorageError
        If `out` cannot be written.
    """
    with _kept():
        counted = select(spec, results, ledger)
    claims = load_register() if register is None else register
    memo = Memo(out if incremental else None)
    made_at = generated.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts = None if is_empty(counted) else parts_of(spec, counted, claims, report, source, memo, workers)
    history = None if versions is None or parts is None else history_of(versions, shown_today(parts))
    pages, menu = pages_of(spec, counted, claims, parts, Made(source, made_at), history, workers)
    everything = leaderboard_page(spec, counted, parts, source=source, generated=made_at)
    everything, *pages = (replace(page, mark=preview) for page in (everything, *pages))
    files: dict[Path, str | bytes] = {out / f"{everything.name}.md": markdown_of(everything)}
    hands = [partial(_texts, pages[i::AT_ONCE], menu) for i in range(AT_ONCE)]
    texts = {name: text for hand in all_of(hands, workers) for name, text in hand.items()}
    for page in pages:
        files |= {out / name: texts[name] for name in _names(page)}
        files |= {out / file: text for file, text in page.files.items()}
    for page in (everything, *pages):
        for plot in plots_of(page.sections):
            files[out / "plots" / plot.file] = plot.svg
            files |= {out / plot.data_file: plot.data} if plot.data else {}
    files |= {out / picture.file: picture.data for page in pages for picture in pictures_of(page)}
    if report is not None:
        files[out / REPORT] = report.model_dump_json(indent=1) + "\n"
    for path, text in files.items():
        write_changed(path, text, durable=False)  # what a crash spoils the manifest shows, and is made again
    memo.keep()
    return [*files, write_manifest(out, made_of, files)]


def _names(page: Page) -> tuple[str, str]:
    return f"{page.name}.html", f"{page.name}.md"


def _texts(pages: Sequence[Page], menu: Sequence[Link]) -> dict[str, str]:
    """The texts of pages by the names of their files."""
    return {
        name: text
        for page in pages
        for name, text in zip(_names(page), (html_of(page, menu), markdown_of(page)), strict=True)
    }

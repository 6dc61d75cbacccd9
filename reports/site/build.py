"""The site: leaderboards and claims as HTML and as Markdown, and the plots; readable from disk, offline.

A page is data (`reports.site.sections`), and this module writes it in each format.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from benchmark.records.record import RecordFile
from benchmark.spec.leaderboard import Spec
from benchmark.store.files import write_atomically
from reports.claims.register import Register, load_register
from reports.diff.history import Tagged, history_of
from reports.pages.changes import shown_today
from reports.pages.parts import parts_of
from reports.pages.site import Made, pages_of
from reports.plots.memo import Memo
from reports.select import select
from reports.site.frame import is_empty
from reports.site.html import html_of
from reports.site.leaderboard import leaderboard_page
from reports.site.manifest import REPORT, write_manifest
from reports.site.markdown import markdown_of
from reports.site.reproduction import Reproduction
from reports.site.sections import pictures_of, plots_of


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
    incremental: bool = False,
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
    incremental : take from `out` the plots of an earlier build that would come out the same.

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
    counted = select(spec, results)
    claims = load_register() if register is None else register
    memo = Memo(out if incremental else None)
    made_at = generated.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts = None if is_empty(counted) else parts_of(spec, counted, claims, report, source, memo)
    history = None if versions is None or parts is None else history_of(versions, shown_today(parts))
    pages, menu = pages_of(spec, counted, claims, parts, Made(source, made_at), history)
    everything = leaderboard_page(spec, counted, parts, source=source, generated=made_at)
    files: dict[Path, str | bytes] = {out / f"{everything.name}.md": markdown_of(everything)}
    for page in pages:
        files[out / f"{page.name}.html"] = html_of(page, menu)
        files[out / f"{page.name}.md"] = markdown_of(page)
        files |= {out / file: text for file, text in page.files.items()}
    for page in (everything, *pages):
        for plot in plots_of(page.sections):
            files[out / "plots" / plot.file] = plot.svg
            files |= {out / plot.data_file: plot.data} if plot.data else {}
    files |= {out / picture.file: picture.data for page in pages for picture in pictures_of(page)}
    if report is not None:
        files[out / REPORT] = report.model_dump_json(indent=1) + "\n"
    for path, text in files.items():
        write_atomically(path, text)
    memo.keep()
    return [*files, write_manifest(out, made_of, files)]

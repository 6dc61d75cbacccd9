"""The site: leaderboards and claims as HTML and as Markdown, and the plots; readable from disk, offline.

A page is data (`reports.site.sections`), and this module writes it in each format where it is not there yet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from benchmark.records.files import iterate, paths_below
from benchmark.records.record import RecordFile
from benchmark.spec.leaderboard import Spec
from benchmark.store.files import read_model, read_regular, write_atomically
from benchmark.store.fingerprints import code_fingerprint, library_versions
from benchmark.studies.registry import study_names
from reports.claims.page import claims_page
from reports.claims.register import Register, load_register
from reports.select import select
from reports.site.html import FILES, html_of
from reports.site.leaderboard import leaderboard_page
from reports.site.markdown import markdown_of
from reports.site.reproduction import Reproduction, reproduction
from reports.site.sections import plots_of

MANIFEST = "site.json"  # what the pages were made of
REPORT = "reproduction.json"  # how the records compare with the published ones


def publish(spec: Spec, results: Path, site: Path, published: Path | None = None) -> list[Path]:
    """Build the site from all that lies below `results`, unless it is of just that already.

    Parameters
    ----------
    published : the folder of the published records, with which others are compared (`read_report` says how);
        None: with nothing.

    Returns
    -------
    The files written; none if the pages are up to date.

    Raises
    ------
    DataError
        If a file of the results cannot be read.
    StorageError
        If `site` cannot be written.
    """
    claims = load_register()
    compared = published if published is not None and published.resolve() != results.resolve() else None
    others = {} if compared is None else {"published": compared.name, **_content(compared)}
    made_of = _fingerprint(spec, claims, {"results": results.name, **_content(results)}, others)
    if _up_to_date(site, made_of):
        return []  # of records that were read and checked then
    report = None
    if compared is not None and next(iterate(results), None) is not None:
        report = reproduction(spec, lambda: iterate(results), lambda: iterate(compared), compared.name)
    return build_site(
        spec,
        iterate(results),
        site,
        generated=datetime.now(UTC),
        register=claims,
        made_of=made_of,
        source=results.name,
        report=report,
    )


def read_report(site: Path) -> Reproduction | None:
    """How the records of a site compare with the published ones; None where they were not compared.

    Raises
    ------
    DataError
        If the report cannot be read.
    """
    made = json.loads((site / MANIFEST).read_bytes())["files"]
    return read_model(site / REPORT, Reproduction, "a reproduction report") if REPORT in made else None


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
) -> list[Path]:
    """Write the pages and `plots/*.svg` below `out`; equal input gives equal bytes.

    The pages are `index.html` and `claims.html`, and `leaderboard.md` and `claims.md` with the same tables.

    Parameters
    ----------
    results : the records, read once and let go.
    generated : when the page is made, printed at its foot; with a time zone.
    register : the claims; those that come with oodbench if absent.
    made_of : a hash of all input, kept beside the pages; `publish` leaves pages of the same input alone.
    source : name of the folder that the records lie in.
    report : how they compare with the published ones, where they are not these.

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
    foot = {"source": source, "generated": generated.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")}
    claims = load_register() if register is None else register
    pages = (
        leaderboard_page(spec, counted, report, **foot),
        claims_page(claims, spec, counted, **foot),
    )
    texts = {}
    for page in pages:
        texts[out / FILES[page.name]] = html_of(page)
        texts[out / f"{page.name}.md"] = markdown_of(page)
        texts |= {out / "plots" / plot.file: plot.svg for plot in plots_of(page.sections)}
    if report is not None:
        texts[out / REPORT] = report.model_dump_json(indent=1) + "\n"
    for path, text in texts.items():
        write_atomically(path, text)
    checksums = {path.relative_to(out).as_posix(): _sha256(text.encode()) for path, text in texts.items()}
    write_atomically(out / MANIFEST, json.dumps({"made_of": made_of, "files": checksums}, indent=1))
    return [*texts, out / MANIFEST]


def _content(results: Path) -> dict[str, str]:
    """Hash of every file that pages are made of, by its path below `results`."""
    paths = paths_below(results)
    return {path.relative_to(results).as_posix(): _sha256(read_regular(path)) for path in paths}


def _fingerprint(spec: Spec, claims: Register, *content: Mapping[str, str]) -> str:
    """Hash of all that the pages are made of, besides the date."""
    here = Path(__file__).parent
    shared = sorted([*(here / "templates").iterdir(), *(here / "static").iterdir()])
    parts = [
        code_fingerprint(
            *("reports.site.build", "benchmark.records.files", "benchmark.records.text"), *_of_studies()
        ),
        library_versions("jinja2", "matplotlib", "numpy", "scipy"),
        [path.read_text(encoding="utf-8") for path in shared],
        spec.model_dump_json(),
        claims.model_dump_json(),
        content,
    ]
    return _sha256(json.dumps(parts).encode())


def _of_studies() -> Iterator[str]:
    """The modules of studies that pages come from: found by name, so that no other module refers to them."""
    for name in study_names():
        yield f"benchmark.studies.{name}.settings"
        yield f"reports.studies.{name}.numbers"
        yield f"reports.studies.{name}.plots"


def _up_to_date(out: Path, made_of: str) -> bool:
    """Whether `out` holds what a build from the same input wrote, unchanged."""
    try:
        manifest = json.loads((out / MANIFEST).read_bytes())
        return bool(manifest["made_of"] == made_of) and all(
            _sha256((out / name).read_bytes()) == checksum for name, checksum in manifest["files"].items()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False  # none, or damaged: it is written again


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

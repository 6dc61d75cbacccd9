"""A folder's site: built of all that lies in a folder of results, where it is not there yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmark.records.files import iterate, paths_below
from benchmark.spec.leaderboard import Spec
from benchmark.store.files import read_model, read_regular
from benchmark.store.fingerprints import code_fingerprint, library_versions
from benchmark.studies.registry import study_folders
from benchmark.verify.ledger import LEDGER, read_ledger
from methods.cards import FAMILIES, cards
from reports.claims.register import Register, load_register
from reports.diff.history import tagged
from reports.openood.published import load_published
from reports.pages.dataset_samples import sample_files
from reports.site.manifest import REPORT, checksum, read_manifest, up_to_date
from reports.site.reproduction import Reproduction, reproduction


def publish(
    spec: Spec,
    results: Path,
    site: Path,
    published: Path | None = None,
    *,
    preview: str = "",
    workers: int = 1,
) -> list[Path]:
    """Build the site from all that lies below `results`, unless it is of just that already.

    Parameters
    ----------
    published : the folder of the published records, with which others are compared (`read_report` says how);
        None: with nothing.
    preview : what every page says of itself, where it shows what is not published; else empty.
    workers : processes at a time.

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
    versions = tagged(results)
    content = {"results": results.name, **_content(results)}
    earlier = [] if versions is None else versions.made_of
    made_of = _fingerprint(spec, claims, content, others, earlier, preview)
    if up_to_date(site, made_of):
        return []  # of records that were read and checked then
    from reports.site.build import build_site  # with all that draws

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
        versions=versions,
        preview=preview,
        ledger=read_ledger(results),
        incremental=True,
        workers=workers,
    )


def read_report(site: Path) -> Reproduction | None:
    """How the records of a site compare with the published ones; None where they were not compared.

    Raises
    ------
    DataError
        If the report cannot be read.
    """
    made = read_manifest(site)["files"]
    return read_model(site / REPORT, Reproduction, "a reproduction report") if REPORT in made else None


def _content(results: Path) -> dict[str, str]:
    """Hash of every file that pages are made of, by its path below `results`."""
    ledger = results / LEDGER
    paths = [*paths_below(results), *([ledger] if ledger.exists() else [])]
    return {path.relative_to(results).as_posix(): checksum(read_regular(path)) for path in paths}


def _fingerprint(spec: Spec, claims: Register, *content: Any) -> str:
    """Hash of all that the pages are made of, besides the date."""
    here = Path(__file__).parent
    shared = sorted([*(here / "templates").iterdir(), *(here / "static").iterdir()])
    parts = [
        code_fingerprint(
            *("reports.site.publish", "benchmark.records.files", "benchmark.records.text"), *_of_studies()
        ),
        library_versions("jinja2", "math-core", "matplotlib", "numpy", "pillow", "scikit-learn", "scipy"),
        [path.read_text(encoding="utf-8") for path in shared],
        spec.model_dump_json(),
        claims.model_dump_json(),
        load_published().model_dump_json(),
        [card.text for family in FAMILIES for _, card in sorted(cards(family).items())],
        sample_files(spec),
        content,
    ]
    return checksum(json.dumps(parts).encode())


def _of_studies() -> Iterator[str]:
    """The modules of studies that pages come from: found by name, so that no other module refers to them."""
    for name in study_folders():
        for room, modules in (("benchmark", ("settings", "records")), ("reports", ("numbers", "plots"))):
            folder = f"{room}.studies.{name}"
            there = (f"{folder}.{module}" for module in modules) if find_spec(folder) else ()
            yield from (module for module in there if find_spec(module))

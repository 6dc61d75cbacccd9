"""A folder's site: built of all that lies in a folder of results, where it is not there yet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from benchmark.records.files import NETWORKS
from benchmark.records.results import iter_records
from benchmark.records.studies import STUDIES, read_studies
from benchmark.records.text import files_of, tracks_of
from benchmark.records.trainings import FOLDER, read_trainings
from benchmark.spec.leaderboard import Spec
from benchmark.store.files import read_model, read_regular
from benchmark.store.fingerprints import code_fingerprint, library_versions
from benchmark.studies.boundary import FILE, read_boundary
from reports.claims.register import Register, load_register
from reports.site.manifest import REPORT, checksum, read_manifest, up_to_date
from reports.site.reproduction import Records, Reproduction, reproduction

SUBFOLDERS = (NETWORKS, FOLDER, *STUDIES)  # of a track's folder of results, with files that pages are made of


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
    if up_to_date(site, made_of):
        return []  # of records that were read and checked then
    from reports.site.build import build_site  # with all that draws

    studies = read_studies(results)
    report = None
    if compared is not None and (studies or next(iter_records(results), None) is not None):
        own = Records(lambda: iter_records(results), studies)
        published_too = Records(lambda: iter_records(compared), read_studies(compared))
        report = reproduction(spec, own, published_too, compared.name)
    return build_site(
        spec,
        iter_records(results),
        site,
        generated=datetime.now(UTC),
        register=claims,
        trainings=read_trainings(results),
        boundary=read_boundary(results / FILE) if (results / FILE).exists() else None,
        studies=studies,
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
    made = read_manifest(site)["files"]
    return read_model(site / REPORT, Reproduction, "a reproduction report") if REPORT in made else None


def _content(results: Path) -> dict[str, str]:
    """Hash of every file that pages are made of, by its path below `results`."""
    folders = [
        folder for track in tracks_of(results) for folder in (track, *(track / name for name in SUBFOLDERS))
    ]
    paths = [path for folder in folders for path in files_of(folder)]
    return {path.relative_to(results).as_posix(): checksum(read_regular(path)) for path in paths}


def _fingerprint(spec: Spec, claims: Register, *content: Mapping[str, str]) -> str:
    """Hash of all that the pages are made of, besides the date."""
    here = Path(__file__).parent
    shared = sorted([*(here / "templates").iterdir(), *(here / "static").iterdir()])
    parts = [
        code_fingerprint("reports.site.publish", "benchmark.records.files", "benchmark.records.text"),
        library_versions("jinja2", "matplotlib", "numpy", "scipy"),
        [path.read_text(encoding="utf-8") for path in shared],
        spec.model_dump_json(),
        claims.model_dump_json(),
        content,
    ]
    return checksum(json.dumps(parts).encode())

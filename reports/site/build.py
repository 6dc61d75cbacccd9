"""The site: leaderboards and claims as HTML and as Markdown, and the plots; readable from disk, offline.

Everything that a record or leaderboard.yaml says is text and is escaped, in HTML by autoescape and in
Markdown by the environment's `finalize`, so that a template cannot forget it. Nothing is ever removed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from benchmark.records.files import NETWORKS
from benchmark.records.results import RecordFile, iter_records
from benchmark.records.studies import STUDIES, StudyFile, read_studies
from benchmark.records.text import files_of, tracks_of
from benchmark.records.trainings import FOLDER, TrainingFile, read_trainings
from benchmark.spec.leaderboard import Column, Spec
from benchmark.store.files import read_model, read_regular, write_atomically
from benchmark.store.fingerprints import code_fingerprint, library_versions
from benchmark.studies.boundary import FILE, BoundaryFile, read_boundary
from reports.boards.coverage import coverage, unmeasured_groups
from reports.boards.pretraining import CONDITIONAL, CONFIRMATORY, compare_inits
from reports.boards.provenance import entry_settings, facts, ranges
from reports.boards.summary import Gains, gain_plots, gains
from reports.boards.tables import Value, board_tables
from reports.boards.training import first_weights, training_plots
from reports.claims.page import claims_page
from reports.claims.register import Register, load_register
from reports.plots.cells import SECTIONS
from reports.plots.figures import Plot
from reports.select import Selection, select
from reports.site.reproduction import Records, Reproduction, reproduction
from reports.studies.boundary import boundary_plots, boundary_table
from reports.studies.robustness import STUDY_SECTIONS, remarks

SUBFOLDERS = (NETWORKS, FOLDER, *STUDIES)  # of a track's folder of results, with files that pages are made of
ALL_SECTIONS = SECTIONS | STUDY_SECTIONS
MANIFEST = "site.json"  # what the pages were made of
REPORT = "reproduction.json"  # how the records compare with the published ones
RUN = "oodbench run --all"  # what an empty page tells the reader to do
_MARKDOWN = re.compile(r"[\\`*\[\]|~<>&!$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_BLOCK = re.compile(r"^(\d*)(?=[#=]|[-+](?:[\s-]|$)|(?<=\d)[.)](?:\s|$))")  # what would start a block


@dataclass(frozen=True)
class Section:
    """One kind of plot: for each track, its plots."""

    name: str
    tracks: tuple[tuple[str, tuple[Plot, ...]], ...]


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
    made = json.loads((site / MANIFEST).read_bytes())["files"]
    return read_model(site / REPORT, Reproduction, "a reproduction report") if REPORT in made else None


def build_site(
    spec: Spec,
    results: Iterable[RecordFile],
    out: Path,
    *,
    generated: datetime,
    register: Register | None = None,
    trainings: Sequence[TrainingFile] = (),
    boundary: BoundaryFile | None = None,
    studies: Sequence[StudyFile] = (),
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
    trainings : how the networks were trained.
    boundary : the experiment in two dimensions.
    studies : what is measured of networks besides OOD detection.
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
    claims = load_register() if register is None else register
    selection = select(spec, results, studies, trainings, boundary)
    trainings, boundary = selection.trainings, selection.boundary
    gained = gains(spec, selection)
    sections = [_section(name, spec, selection) for name in SECTIONS] if selection.measured else []
    sections += [_section(name, spec, selection) for name in STUDY_SECTIONS]
    sections.append(_summary_section(spec, gained))
    sections.append(_training_section(spec, trainings))
    if boundary is not None:
        sections.append(
            Section("boundary", (("Two classes in two dimensions", tuple(boundary_plots(boundary))),))
        )
    page = {
        "spec": spec,
        "tables": [table for name in spec.boards for table in board_tables(name, spec, selection)],
        "boundary": boundary_table(boundary) if boundary else None,
        "first_weights": first_weights(trainings),
        "comparisons": compare_inits(spec, selection),
        "gains": gained,
        "remarks": remarks(spec, selection),
        "sections": {section.name: section.tracks for section in sections},
        "unmeasured": unmeasured_groups(selection),
        "coverage": coverage(spec, selection),
        "facts": facts(selection),
        "settings": entry_settings(selection),
        "notes": selection.notes,
        "reproduction": report,
        "source": source,
        "empty": not (selection.measured or selection.unmeasured or selection.studies.measured),
        "run": RUN,
        "conditional": CONDITIONAL,
        "confirmatory": CONFIRMATORY,
        "generated": generated.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    css, claims_css, script = (_static(name) for name in ("page.css", "claims.css", "sort.js"))
    own = {"css": Markup(css), "script": Markup(script), "policy": _policy(css, script)}  # noqa: S704 our files
    of_claims = page | claims_page(claims, spec, selection, trainings, boundary)
    wider = own | {"css": Markup(css + claims_css), "policy": _policy(css + claims_css, script)}  # noqa: S704
    texts = {
        out / "index.html": _html().get_template("index.html.j2").render(page | own),
        out / "leaderboard.md": _markdown().get_template("leaderboard.md.j2").render(page),
        out / "claims.html": _html().get_template("claims.html.j2").render(of_claims | wider),
        out / "claims.md": _markdown().get_template("claims.md.j2").render(of_claims),
    }
    plots = [plot for section in sections for _, plots in section.tracks for plot in plots]
    texts |= {out / "plots" / plot.file: plot.svg for plot in plots}
    if report is not None:
        texts[out / REPORT] = report.model_dump_json(indent=1) + "\n"
    for path, text in texts.items():
        write_atomically(path, text)
    checksums = {path.relative_to(out).as_posix(): _sha256(text.encode()) for path, text in texts.items()}
    write_atomically(out / MANIFEST, json.dumps({"made_of": made_of, "files": checksums}, indent=1))
    return [*texts, out / MANIFEST]


def _content(results: Path) -> dict[str, str]:
    """Hash of every file that pages are made of, by its path below `results`."""
    folders = [
        folder for track in tracks_of(results) for folder in (track, *(track / name for name in SUBFOLDERS))
    ]
    paths = [path for folder in folders for path in files_of(folder)]
    return {path.relative_to(results).as_posix(): _sha256(read_regular(path)) for path in paths}


def _fingerprint(spec: Spec, claims: Register, *content: Mapping[str, str]) -> str:
    """Hash of all that the pages are made of, besides the date."""
    here = Path(__file__).parent
    shared = sorted([*(here / "templates").iterdir(), *(here / "static").iterdir()])
    parts = [
        code_fingerprint("reports.site.build", "benchmark.records.files", "benchmark.records.text"),
        library_versions("jinja2", "matplotlib", "numpy", "scipy"),
        [path.read_text(encoding="utf-8") for path in shared],
        spec.model_dump_json(),
        claims.model_dump_json(),
        content,
    ]
    return _sha256(json.dumps(parts).encode())


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


def escape_markdown(value: object) -> Markup:
    """Escape a value so that Markdown shows it as it is, on one line, also within a table."""
    if isinstance(value, Markup):
        return value
    line = " ".join(str(value).split())
    entities = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
    escaped = _MARKDOWN.sub(lambda match: entities.get(match[0], f"\\{match[0]}"), line)
    return Markup(_BLOCK.sub(r"\1\\", escaped))  # noqa: S704 escaped above


def _section(name: str, spec: Spec, selection: Selection) -> Section:
    found = []
    for key, track in spec.tracks.items():
        shown = track.model_copy(update={"entries": track.drawn or track.entries})
        measured = {c: m for c, m in selection.measured.items() if c.track != key or c.entry in shown.entries}
        plots = ALL_SECTIONS[name](key, shown, replace(selection, measured=measured))
        found.append((track.title, tuple(plots)))
    return Section(name, tuple((title, plots) for title, plots in found if plots))


def _summary_section(spec: Spec, gained: list[Gains]) -> Section:
    plots = ((track.title, tuple(gain_plots(name, gained))) for name, track in spec.tracks.items())
    return Section("summary", tuple((title, found) for title, found in plots if found))


def _training_section(spec: Spec, trainings: Sequence[TrainingFile]) -> Section:
    plots = (
        (track.title, tuple(training_plots(name, track, trainings))) for name, track in spec.tracks.items()
    )
    return Section("training", tuple((title, found) for title, found in plots if found))


def _html() -> Environment:
    return _with_filters(
        Environment(
            loader=PackageLoader("reports.site"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
    )


def _markdown() -> Environment:
    return _with_filters(
        Environment(  # noqa: S701 HTML's escapes are not Markdown's; `finalize` escapes every expression
            loader=PackageLoader("reports.site"),
            finalize=escape_markdown,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
    )


def _with_filters(environment: Environment) -> Environment:
    environment.filters |= {"fixed": _fixed, "half": _half, "signed": _signed, "p": _p, "ranges": ranges}
    environment.filters |= {"effect": _effect, "code": _code}
    return environment


def _fixed(number: float, column: Column) -> str:
    """A number of a column: ×100 with two decimals, or three decimals as it is."""
    text = f"{100 * number:.2f}" if column.percent else f"{number:.3f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def _half(value: Value, column: Column) -> str:
    """Half the width of the interval, or nothing where one seed gives none."""
    half = (value.interval.high - value.interval.low) / 2
    return "" if math.isnan(half) else _fixed(half, column)


def _signed(number: float, column: Column) -> str:
    text = _fixed(number, column)
    return text if text.startswith("−") or not float(text) else f"+{text}"


def _p(number: float) -> str:
    return "< 0.001" if number < 0.001 else f"{number:.3f}"


def _effect(number: float) -> str:
    """A standardised effect; infinite where the seeds do not differ at all."""
    return f"{number:+.2f}".replace("-", "−").replace("inf", "∞")


def _code(folder: str) -> Markup:
    """The name of a folder as Markdown shows code."""
    return Markup(f"`{' '.join(folder.replace('`', '').split())}/`")  # noqa: S704 nothing ends the code early


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

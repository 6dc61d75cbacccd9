"""The start page: what was measured, which detector to take, and where the rest stands."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from benchmark.metrics.statistics import Interval
from benchmark.spec.leaderboard import Spec
from reports.boards.recommend import BUDGET, Pick, picks
from reports.claims.central import central_sentences
from reports.claims.decide import Verdict
from reports.claims.page import said
from reports.claims.register import Register
from reports.costs import FORWARDS
from reports.diff.history import History
from reports.pages.changes import latest_changes
from reports.pages.method_text import path_of
from reports.pages.overall import NAME as OVERALL
from reports.pages.overall import answer, heat_section
from reports.pages.parts import Parts
from reports.pages.tracks import FOLDER
from reports.select import Counted
from reports.site.cells import Content, Number
from reports.site.leaderboard import INTRO
from reports.site.sections import (
    Bullets,
    Column,
    Fold,
    Gallery,
    Page,
    Paragraph,
    Row,
    Section,
    Table,
    plots_of,
    present,
)
from reports.site.text import Link, Text

HEADING = "Which method tells familiar images from unfamiliar ones?"
SHOWN = 15  # entries of the heat map
DECIDED = ("supported", "refuted")


def start_page(
    spec: Spec, counted: Counted, parts: Parts | None, register: Register, history: History | None = None
) -> Page:
    """The page that a reader sees first; `parts` is None where no record counts."""
    title = "oodbench: leaderboards of out-of-distribution detection"
    if parts is None:
        return Page("index", title, HEADING, INTRO, (), (), (), "")
    sections = present(
        _picks(spec, picks(spec, parts.explored)),
        _overall(spec, parts),
        _pretraining(parts, register),
        _claims(parts.verdicts),
        latest_changes(history),
    )
    nav = tuple(section.link for section in sections)
    return Page("index", title, HEADING, (INTRO, " ", _measured(spec, counted)), nav, (), sections, "")


def _measured(spec: Spec, counted: Counted) -> str:
    """What was measured, in numbers."""
    cells = counted.measured
    networks = {(cell.track, cell.backbone, cell.init, cell.seed) for cell in cells}
    detectors = {spec.entries[cell.entry].detector for cell in cells}
    objectives = {spec.entries[cell.entry].objective for cell in cells}
    tracks = {cell.track for cell in cells}
    datasets = {spec.tracks[name].id.dataset for name in tracks}
    studied = sum(len(found) for found in counted.studies.measured.values())
    return (
        f"Measured so far: {_many(detectors, 'detector')} and {_many(objectives, 'training objective')} in "
        f"{_many(cells, 'cell')} on {_many(tracks, 'track')} ({_many(datasets, 'ID dataset')}), with "
        f"{_many(networks, 'combination')} of backbone, first weights and seed; and {studied:,} cells of "
        "studies of the networks themselves."
    )


def _many(things: Collection[object], name: str) -> str:
    return f"{len(things):,} {name}{'s' * (len(things) != 1)}"


def _picks(spec: Spec, found: Sequence[Pick]) -> Section | None:
    if not found:
        return None
    rows = []
    for i, pick in enumerate(found):
        track = Link(spec.tracks[pick.track].title, f"{FOLDER}/{pick.track}")
        same = i > 0 and found[i - 1].track == pick.track
        cells: list[Content] = [(track, f" · {pick.init}")]
        for line in (pick.cheap, pick.best):
            cells.append(None if line is None else _detector(spec, line.entry))
            cells.append(None if line is None else _number(pick.number(line, pick.metric)))
            cells.append(None if line is None else _number(pick.number(line, FORWARDS), percent=False))
        rows.append(Row(tuple(cells), parted=not same))
    three = (Column("Near AUROC", better="higher"), Column("Forward passes", better="lower"))
    table = Table(
        columns=(
            Column("Track · init", "text"),
            Column(f"At most {BUDGET:g} passes", "text"),
            *three,
            Column("At any cost", "text"),
            *three,
        ),
        rows=tuple(rows),
        about="The detector with the highest mean near AUROC; ± half the 95 % interval over seeds",
    )
    rule: Text = (
        "The rule: among detectors with published hyper-parameters on networks of cross-entropy, the highest "
        f"mean near AUROC of those that cost at most {BUDGET:g} forward passes of the network, the pass "
        "itself included; over OOD sets that no weights of the track were trained on. Often several are not "
        "told apart by the seeds: the board says which. – where none costs so little: on a small network the "
        "scoring alone is more.",
    )
    return Section(
        "one", "If you need one detector", (table, Paragraph(rule, small=True)), short="One detector"
    )


def _detector(spec: Spec, entry: str) -> Text:
    return (Link(entry, path_of("detectors", spec.entries[entry].detector)),)


def _number(interval: Interval | None, *, percent: bool = True) -> Number | None:
    if interval is None:
        return None
    half = (interval.high - interval.low) / 2
    return Number(interval.mean, percent, half) if percent else Number(interval.mean, percent, digits=2)


def _overall(spec: Spec, parts: Parts) -> Section | None:
    if parts.overall is None:
        return None
    text: Text = (answer(parts.overall), " ", Link("All ranks, and who beats whom", OVERALL), ".")
    heat = heat_section(spec, parts.overall, SHOWN)
    return Section("best", "Best on the whole", (Paragraph(text), *heat.body))


def _pretraining(parts: Parts, register: Register) -> Section | None:
    """The figure of what pre-training gives, after its verdicts."""
    drawn = [plot for section in present(parts.growth, parts.gains) for plot in plots_of([section])]
    sentences = central_sentences(register, parts.verdicts)
    if not drawn and not sentences:
        return None
    listed = (Bullets(tuple(sentences)),) if sentences else ()
    figure = (Gallery(tuple(drawn[:1])),) if drawn else ()
    link = Paragraph((Link("All figures and tables of pre-training", "pretraining"), "."))
    return Section("gain", "What pre-training gives", (*listed, *figure, link), short="Pre-training")


def _claims(verdicts: Sequence[Verdict]) -> Section | None:
    run = [verdict for verdict in verdicts if verdict.overall != "not run"]
    if not run:
        return None
    rows = tuple(
        Row(
            (
                (Link(verdict.claim.id, verdict.claim.page, verdict.claim.id),),
                verdict.claim.statement,
                (said(verdict.overall),),
            ),
            parted=i > 0 and verdict.claim.family != run[i - 1].claim.family,
        )
        for i, verdict in enumerate(run)
    )
    decided = tuple(row for row, verdict in zip(rows, run, strict=True) if verdict.overall in DECIDED)
    others = tuple(row for row in rows if row not in decided)
    counts = {word: sum(one.overall == word for one in run) for word in dict.fromkeys(v.overall for v in run)}
    told = ", ".join(f"{n} {word}" for word, n in counts.items())
    columns = (Column("Claim", "text"), Column("Statement", "statement"), Column("Overall", "text"))
    text: Text = (f"Of {len(run)} published claims that were tested: {told}. ", Link("How", "claims"), ".")
    body = (
        Paragraph(text),
        *((Table(columns, decided),) if decided else ()),
        *((Fold(f"The other {len(others)}", (Table(columns, others),)),) if others else ()),
    )
    return Section("claims", "Published claims, tested", body, short="Claims")

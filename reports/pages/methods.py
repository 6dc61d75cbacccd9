"""A page for each method: what it says of itself, what was measured of it, and how to use it; and a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmark.records.record import BOUNDARY
from benchmark.spec.leaderboard import Entry, Spec
from benchmark.verify.ledger import Verification
from methods.cards import FAMILIES, MethodCard, cards, kind_of
from reports.boards import tables
from reports.boards.sections import position_of
from reports.boards.verified import last_of, verified_of
from reports.claims.decide import Verdict
from reports.pages.method_list import list_page
from reports.pages.method_results import TrackResults, figures, results_section, unmeasured
from reports.pages.method_text import (
    FOLDER,
    body_of,
    doc_of,
    marked,
    needs_of,
    paper_of,
    path_of,
    spoken,
    summary_of,
    use_of,
)
from reports.pages.parts import Parts
from reports.select import Counted
from reports.site.cells import Content, Labels, Noted
from reports.site.sections import (
    Block,
    Column,
    Command,
    Facts,
    Fold,
    Page,
    Paragraph,
    Row,
    Section,
    Table,
    present,
)
from reports.site.text import Link, Piece, Span, Text, code, soft
from reports.uses import TRAINING, entries_of, objective_of, rows_of, studies_of, tracks_of, used

MANY = 24  # entries of an objective of which nothing is said but the best results: it is what others build on
COMMIT = 12  # characters


def method_pages(spec: Spec, counted: Counted, parts: Parts, results: Sequence[TrackResults]) -> list[Page]:
    """The list of all methods, and a page for each that is registered or that the leaderboard uses."""
    world = _World(spec, counted, parts, results)
    pages = [_page(world, card) for family in FAMILIES for card in world.methods[family].values()]
    return [list_page(spec, world.methods, world.results), *pages]


@dataclass(frozen=True)
class _World:
    """What all pages draw on, each part worked out once."""

    spec: Spec
    counted: Counted
    parts: Parts
    results: Sequence[TrackResults]

    @cached_property
    def methods(self) -> Mapping[str, Mapping[str, MethodCard]]:
        """By family and name; of those whose file could not be read nothing but the name."""
        found = {}
        for family in FAMILIES:
            names = used(family, self.spec) if family != "corrections" else set()  # which are objectives too
            names -= cards("corrections").keys()
            blank = {name: MethodCard(family, name) for name in names}
            found[family] = dict(sorted({**blank, **cards(family)}.items()))
        return found

    @cached_property
    def unmeasured(self) -> Mapping[tuple[str, str], list[str]]:
        return unmeasured(self.spec, self.counted)

    @cached_property
    def commits(self) -> Mapping[str, tuple[str, str]]:
        """By entry: when its newest record was measured, and the commit, where both are recorded."""
        newest: dict[str, tuple[str, str]] = {}
        for cell, found in self.counted.measured.items():
            made = found.record.provenance
            where = found.file.environments.get(made.measured_in or "") if made is not None else None
            if made is not None and where is not None and made.date and where.commit:
                newest[cell.entry] = max(newest.get(cell.entry, ("", "")), (made.date, where.commit))
        return newest

    @cached_property
    def stood(self) -> Mapping[str, list[Verification | None]]:
        """By entry: in which verification each of its records stood."""
        found: dict[str, list[Verification | None]] = {}
        for cell, one in self.counted.measured.items():
            found.setdefault(cell.entry, []).extend(one.verifications)
        return found

    @cached_property
    def tested(self) -> list[tuple[Verdict, set[tuple[str | None, str]]]]:
        """Each claim with the entries, and the rows of studies, that its tests compare."""
        return [(verdict, set(_arms(verdict))) for verdict in self.parts.verdicts]

    def link(self, family: str, name: str) -> Piece:
        """A link to a method's page; its name where there is none."""
        if family in TRAINING:
            family = next((one for one in TRAINING if name in self.methods[one]), family)
        return Link(name, path_of(family, name)) if name in self.methods.get(family, ()) else name


def _arms(verdict: Verdict) -> Iterator[tuple[str | None, str]]:
    for finding in verdict.findings:
        settings = [outcome.setting for outcome in finding.outcomes]
        settings += [setting for gap in finding.missing for setting in gap.settings]
        for setting in settings:
            if setting.track != BOUNDARY:  # whose arms are no entries
                for _, entry, _ in finding.trial.series(setting):
                    yield finding.metric.study, entry


# A method


def _page(world: _World, card: MethodCard) -> Page:
    entries = entries_of(card.family, card.name, world.spec)
    studies = studies_of(card.family, card.name, world.spec)
    broad = len(entries) > MANY and card.family in TRAINING
    summary = summary_of(card).removesuffix(".")
    sections = present(
        _about(card),
        _hyperparameters(world, card, entries),
        _entries(world, card, entries),
        _results(world, card, entries),
        None if broad else _positions(world, entries),
        None if broad else _claims(world, card, entries),
        _use(card, entries, studies),
    )
    facts = tuple(_facts(world, card, entries, studies))
    return Page(
        name=path_of(card.family, card.name),
        title=f"{card.name} · {spoken(card.family, several=False)} · oodbench",
        heading=f"{card.name}: {summary}" if summary else card.name,
        intro=paper_of(card),
        nav=tuple(section.link for section in sections),
        body=(Facts(facts),),
        sections=sections,
        footer="",
    )


def _facts(
    world: _World, card: MethodCard, entries: Sequence[str], studies: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, Text]]:
    said = card.attributes
    yield "Family", (Link(spoken(card.family, several=True), FOLDER, card.family),)
    if needs := needs_of(card):
        yield "Needs", needs
    if card.family == "detectors" and card.source:
        yield "Filed under", kind_of(card)
    if card.family in TRAINING:
        for title, attribute in (("Starts from", "starts_from"), ("First phase", "first_phase")):
            if attribute in said:
                yield title, (world.link("objectives", said[attribute]),)
        if "detectors" in said:
            yield "Scored with", _listed([world.link("detectors", name) for name in said["detectors"]])
        if "cost" in said:
            yield "Cost of an epoch", f"about {said['cost']:g} × that of cross_entropy"
    if "package" in said:
        yield "Runs in", (code(said["package"]),)
    if card.aliases:
        yield "Also called", ", ".join(card.aliases)
    if card.source:
        commits = [world.commits[entry] for entry in entries if entry in world.commits]
        at = (", measured last at commit ", code(_short(max(commits)[1]))) if commits else ()
        yield "Source", (code(card.source), f", line {card.line}", *at)
    stood = [one for entry in entries for one in world.stood.get(entry, ())]
    if (found := verified_of(stood)).of:
        last = last_of(stood)
        by = f" computed again, last by {last.by} on {last.date[:10]}" if last is not None else ""
        yield "Verified", f"{found.n:,} of {found.of:,} records{by}"
    if studies:
        yield "Studies", _listed([_study(world, track, study) for track, study in studies])


def _short(commit: str) -> str:
    """A commit in the length that git shows; what is said of its tree stays."""
    name, plus, changed = commit.partition("+")
    return f"{name[:COMMIT]}{plus}{changed}"


def _study(world: _World, track: str, study: str) -> Piece:
    text = f"{study.replace('_', ' ')} on {track}"
    return Link(text, f"studies/{study}") if study in world.parts.studies else text


def _listed(items: Sequence[Piece]) -> Text:
    return tuple(piece for i, item in enumerate(items) for piece in ((", ", item) if i else (item,)))


def _about(card: MethodCard) -> Section | None:
    body = body_of(card)
    return Section("about", "What it does", body, short="About") if body else None


def _hyperparameters(world: _World, card: MethodCard, entries: Sequence[str]) -> Section | None:
    if not card.hyperparameters:
        return None
    tuned: dict[str, list[str]] = {}
    if card.family == "detectors":
        for name in entries:
            for key, values in (world.spec.entries[name].tune or {}).items():
                tuned.setdefault(key, []).append(f"{', '.join(map(_value, values))} ({name})")
    columns = [Column("Name", "text"), Column("Default", "text"), Column("Meaning", "statement")]
    meanings = doc_of(card).parameters
    rows = []
    for name, _, default in card.hyperparameters:
        cells: tuple[Content, ...] = ((code(name),), default, marked(meanings.get(name, ""), card) or None)
        rows.append(Row((*cells, "; ".join(tuned.get(name, ())) or None) if tuned else cells))
    if tuned:
        columns.append(Column("Grid, on validation OOD sets", "statement"))
    table = Table(tuple(columns), tuple(rows), about="Published defaults, unless the text says otherwise")
    return Section("hyperparameters", "Hyper-parameters", (table,))


def _entries(world: _World, card: MethodCard, entries: Sequence[str]) -> Section | None:
    if not entries:
        return None
    by_detector = card.family == "detectors"
    rows = []
    for name in entries:
        entry = world.spec.entries[name]
        of_objective = (world.link("objectives", objective_of(entry.objective, world.spec)),)
        other = of_objective if by_detector else (world.link("detectors", entry.detector),)
        settings = "; ".join(_settings(world.spec, entry, by_detector)) or None
        rows.append(Row((name, other, settings, ", ".join(tracks_of(name, world.spec)) or None)))
    columns = (
        Column("Entry", "text"),
        Column("Objective" if by_detector else "Detector", "text"),
        Column("Settings", "statement"),
        Column("Tracks", "statement"),
    )
    table = Table(columns, tuple(rows), about="Rows of the boards that use it; tracks of full runs included")
    body: Block = Fold(f"All {len(rows)} entries", (table,)) if len(rows) > MANY else table
    return Section("entries", "Entries of the leaderboard", (body,), short="Entries")


def _settings(spec: Spec, entry: Entry, by_detector: bool) -> Iterator[str]:
    """What an entry sets, and what its objective is given where that is a name of the leaderboard's own."""
    if entry.objective in spec.objectives:
        use = spec.objectives[entry.objective]
        given = [f"{key} = {_value(value)}" for key, value in use.hyperparameters.items()]
        given += [f"outliers: {', '.join(use.outliers)}"] if use.outliers else []
        given += [f"{use.epochs} epochs"] if use.epochs else []
        called = [entry.objective] if entry.objective != use.objective else []
        text = ", ".join([*called, *given])
        if text:
            yield f"trained {'as' if called else 'with'} {text}" if by_detector else text
    yield from (f"{key} = {_value(value)}" for key, value in entry.hyperparameters.items())
    yield from (f"{key} tuned" for key in entry.tune or ())
    if entry.fit_limit is not None:
        yield f"fitted on at most {entry.fit_limit} images"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else repr(value)


def _results(world: _World, card: MethodCard, entries: Sequence[str]) -> Section | None:
    sections, tracks = [], {results.name for results in world.results}
    for results in world.results:
        remarks = [text for entry in entries for text in world.unmeasured.get((results.name, entry), ())]
        section = results_section(results, {*entries}, remarks)
        if section is not None:
            gallery = figures(results, {*entries}) if card.family == "detectors" else None
            drawn = (Fold("Score histograms and ROC curves", (gallery,)),) if gallery else ()
            sections.append(Section(section.id, section.title, (*section.body, *drawn), track=section.track))
    rest = [
        world.spec.tracks[name].title
        for e in entries
        for name in tracks_of(e, world.spec)
        if name not in tracks
    ]
    lacking = (Paragraph(f"Not measured yet: {'; '.join(dict.fromkeys(rest))}.", small=True),) if rest else ()
    return Section("results", "Results", lacking, tuple(sections)) if sections else None


def _positions(world: _World, entries: Sequence[str]) -> Section | None:
    """Where its best row stands on each board."""
    rows = []
    for name, board in world.spec.boards.items():
        for shown in world.parts.boards.get(name, ()):
            of = shown.board
            if board.study is not None or "entry" not in of.levels:
                continue
            at = of.levels.index("entry")
            row = next((row for row in of.rows if row.labels[at] in entries), None)
            if row is not None:
                placed = sum(_position(other) is not None for other in of.rows)
                title = (Link(of.title, f"boards/{of.track}"),)
                rows.append(Row((title, _labels(row), _position(row), placed or None)))
    columns = (Column("Board", "text"), Column("Its best row", "text"), Column("Position"), Column("Of"))
    table = Table(
        columns, tuple(rows), about="By the mean of the number that ranks the board, with a 95 % interval"
    )
    return Section("positions", "Where it stands", (table,), short="Position") if rows else None


def _position(row: tables.Row) -> Content:
    return position_of(row.place)


def _labels(row: tables.Row) -> Content:
    return Noted(Labels(row.labels), row.note) if row.note else Labels(row.labels)


def _claims(world: _World, card: MethodCard, entries: Sequence[str]) -> Section | None:
    ours: dict[str | None, set[str]] = {None: {*entries}}
    rows = []
    for verdict, arms in world.tested:
        for study in {study for study, _ in arms} - ours.keys():
            ours[study] = rows_of(card.family, card.name, str(study), world.spec)
        if any(name in ours[study] for study, name in arms):
            claim = verdict.claim
            rows.append(
                Row(((Link(claim.id, claim.page, claim.id),), claim.statement, (_reading(verdict.overall),)))
            )
    columns = (Column("Claim", "text"), Column("Statement", "statement"), Column("Verdict", "text"))
    table = Table(columns, tuple(rows), about="Published statements that are tested with its entries")
    return Section("claims", "Claims that concern it", (table,), short="Claims") if rows else None


def _reading(overall: str) -> Span:
    match overall:
        case "supported" | "refuted":
            return Span(overall, overall)
        case _:
            return soft(overall)


def _use(card: MethodCard, entries: list[str], studies: list[tuple[str, str]]) -> Section | None:
    use = use_of(card, entries, studies)
    if use is None:
        return None
    about = (Paragraph(marked(use.about, card), small=True),) if use.about else ()
    python = card.family not in TRAINING
    title = "How to use it from Python" if python else "How to train with it"
    return Section("use", title, (Command(use.text), *about), short="Use")

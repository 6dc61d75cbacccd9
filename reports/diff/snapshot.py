"""What a folder of records shows: the rows of every board, the verdicts of claims, a hash of each record.

It is small, and can be written and read back, so that two states are compared without holding their records.
This module must not know where the records lie.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from benchmark.records.numbers import StrictModel
from benchmark.records.place import place_of
from benchmark.records.record import RecordFile
from benchmark.spec.leaderboard import Spec
from reports.boards.explore import COST, Explored, explore
from reports.boards.tables import Row, Table, board_tables
from reports.claims.decide import Finding, Verdict, decide_claims
from reports.claims.register import Register
from reports.select import select


class Standing(NamedTuple):
    """Where a row stands: `reports.boards.places.Place`, as it is written."""

    position: int
    low: int  # of the interval of the position
    high: int
    leads: bool


class Line(StrictModel):
    """A row of a board."""

    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    means: tuple[float | None, ...]  # one a column, in its own unit
    standing: Standing | None


class Measure(StrictModel):
    """A column of a board."""

    metric: str
    title: str
    percent: bool  # whether it is a share, shown ×100


class Ranking(StrictModel):
    """A table of a board: of published values, or of tuned ones."""

    board: str  # in leaderboard.yaml; of a track's page its path, such as boards/digits~test_resnet
    tuned: bool
    title: str
    columns: tuple[Measure, ...]
    ranked_by: str  # metric
    lines: tuple[Line, ...]
    backbones: tuple[str, ...] = ()  # of the networks


class Decided(StrictModel):
    """A claim as it was decided."""

    claim: str
    statement: str
    overall: str
    readings: dict[str, str]  # by test and setting, of the primary tests that were run


class Hashes(NamedTuple):
    """A record in two hashes."""

    numbers: str  # of its status, numbers and series
    whole: str


class Snapshot(StrictModel):
    """What a folder of records shows."""

    rankings: tuple[Ranking, ...]  # in the order of leaderboard.yaml
    claims: tuple[Decided, ...]
    records: dict[str, Hashes] | None = None  # by place; None: not kept


def snapshot_of(
    tables: Iterable[Table],
    explored: Iterable[Explored],
    verdicts: Iterable[Verdict],
    records: Mapping[str, Hashes] | None = None,
) -> Snapshot:
    """Keep of boards and verdicts what a comparison needs.

    Of the boards that readers choose from, those whose rows are not all on a board of `tables`.
    """
    declared = list(map(_ranking, tables))
    known = set(map(_rows, declared))
    first: dict[str, Explored] = {}
    further = [
        _explored(one, tuned, alone=first.setdefault(one.track, one) is one)
        for one in explored
        for tuned in (False, True)
    ]
    return Snapshot(
        rankings=(*declared, *(one for one in further if one.lines and _rows(one) not in known)),
        claims=tuple(map(_decided, verdicts)),
        records=None if records is None else dict(records),
    )


def take_snapshot(spec: Spec, files: Iterable[RecordFile], register: Register) -> Snapshot:
    """Read records once, file by file, and keep what they show.

    Raises
    ------
    DataError
        If a record cannot be read, records contradict each other, or a board or a claim asks for a metric
        that a record lacks.
    """
    records: dict[str, Hashes] = {}
    counted = select(spec, _hashed(files, records))
    tables = (table for name in spec.boards for table in board_tables(name, spec, counted))
    explored = (one for name in spec.tracks for one in explore(spec, counted, name))
    return snapshot_of(tables, explored, decide_claims(register, spec, counted), records)


def _hashed(files: Iterable[RecordFile], records: dict[str, Hashes]) -> Iterator[RecordFile]:
    """The files as they come; the hashes of what is in them are put into `records`."""
    for file in files:
        places = {name: place.model_dump_json() for name, place in file.environments.items()}
        for record in file.records:
            numbers = record.model_dump_json(include={"status", "reason", "numbers", "series", "pictures"})
            made = [places.get(name, "") for name in sorted(record.environments)]
            whole = _hash(record.model_dump_json(), *made)
            records[str(place_of(file, record))] = Hashes(_hash(numbers), whole)
        yield file


def _hash(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _ranking(table: Table) -> Ranking:
    return Ranking(
        board=table.name,
        tuned=table.tuned,
        title=table.title,
        columns=tuple(Measure(metric=c.metric, title=c.title, percent=c.percent) for c in table.columns),
        ranked_by=table.ranked_by.metric,
        lines=tuple(map(_line, table.rows)),
        backbones=table.backbones,
    )


def _rows(one: Ranking) -> tuple[frozenset[tuple[str, ...]], tuple[str, ...], str]:
    """Which rows a table has, of which networks, and by what they stand."""
    return frozenset(line.labels for line in one.lines), one.backbones, one.ranked_by


def _explored(one: Explored, tuned: bool, alone: bool) -> Ranking:
    """A board that readers choose from, without costs: those differ between runs of the same.

    `alone`: whether it bears the name of its track, whatever the backbone.
    """
    kept = [i for i, measure in enumerate(one.measures) if measure.group != COST]
    on = "" if alone else f" on {one.backbone}"
    lines = []
    for found in one.lines:
        if found.tuned == tuned:
            line = _line(replace(found.row, place=found.place))
            lines.append(line.model_copy(update={"means": tuple(line.means[i] for i in kept)}))
    return Ranking(
        board=f"boards/{one.track}" + ("" if alone else f"~{one.backbone}"),
        tuned=tuned,
        title=f"All entries of {one.track}{on}{': tuned' if tuned else ''}",
        columns=tuple(
            Measure(metric=column.metric, title=f"{group} {column.title}", percent=column.percent)
            for group, column in ((one.measures[i].group, one.measures[i].column) for i in kept)
        ),
        ranked_by=one.measures[0].column.metric,
        lines=tuple(lines),
        backbones=one.backbones,
    )


def _line(row: Row) -> Line:
    place = row.place
    return Line(
        labels=row.labels,
        seeds=row.seeds,
        means=tuple(None if value.interval is None else value.interval.mean for value in row.values),
        standing=None if place is None else Standing(place.position, place.low, place.high, place.leads),
    )


def _decided(verdict: Verdict) -> Decided:
    readings: dict[str, str] = {
        f"{finding.trial.id}: {outcome.setting}": outcome.reading
        for finding in _own(verdict)
        for outcome in finding.outcomes
    }
    return Decided(
        claim=verdict.claim.id,
        statement=verdict.claim.statement,
        overall=verdict.overall,
        readings=readings,
    )


def _own(verdict: Verdict) -> list[Finding]:
    """The tests that give a claim its verdict, without those that are shown from another claim."""
    return [one for one in verdict.findings if one.trial.role != "secondary" and not one.repeated]

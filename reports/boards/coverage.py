"""What of a leaderboard has no numbers: cells that failed or do not apply, with the reason, and how many."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from benchmark.records.record import Cell, Record
from benchmark.spec.leaderboard import Spec
from reports.boards.provenance import ranges
from reports.select import Counted
from reports.site.cells import Labels
from reports.site.sections import Block, Column, Row, Section, Table, notes


@dataclass(frozen=True)
class Unmeasured:
    """Cells of one entry that could not be measured, all for the same reason."""

    track: str
    entry: str
    status: str
    reason: str
    backbones: tuple[str, ...]
    inits: tuple[str, ...]
    seeds: tuple[int, ...]
    count: int


@dataclass(frozen=True)
class Coverage:
    """How many of a track's cells have which kind of record."""

    track: str
    planned: int
    measured: int
    failed: int
    not_applicable: int

    @property
    def missing(self) -> int:
        """Cells without any record."""
        return self.planned - self.measured - self.failed - self.not_applicable


def unmeasured_groups(counted: Counted) -> list[Unmeasured]:
    """Failed and not applicable cells, one group for each entry, status and reason, of studies as well."""
    groups: dict[tuple[str, str, str, str], list[Cell]] = {}
    unmeasured: list[tuple[str, Cell, Record]] = [
        (cell.track, cell, record) for cell, record in counted.unmeasured.items()
    ]
    for study, failed in counted.studies.failed.items():
        for (cell, condition), bad in failed.items():
            unmeasured.append((f"{cell.track}, {study} {condition}".rstrip(), cell, bad))
    for track, cell, record in unmeasured:
        reason = record.reason or "no reason recorded"
        groups.setdefault((record.status, track, cell.entry, reason), []).append(cell)
    return [
        Unmeasured(
            track=track,
            entry=entry,
            status=status,
            reason=reason,
            backbones=tuple(dict.fromkeys(cell.backbone for cell in cells)),
            inits=tuple(dict.fromkeys(cell.init for cell in cells)),
            seeds=tuple(sorted({cell.seed for cell in cells})),
            count=len(cells),
        )
        for (status, track, entry, reason), cells in groups.items()
    ]


def coverage(spec: Spec, counted: Counted) -> list[Coverage]:
    """How complete each track is, and each of its studies, whose cells are conditions."""
    found = []
    for name in spec.tracks:
        status = Counter(r.status for cell, r in counted.unmeasured.items() if cell.track == name)
        measured, planned = len(counted.of_track(name)), counted.planned[name]
        found.append(Coverage(name, planned, measured, status["failed"], status["not_applicable"]))
        found += [_of_study(counted, *place) for place in counted.studies.planned if place[0] == name]
    return [*found, *(_of_study(counted, *p) for p in counted.studies.planned if p[0] not in spec.tracks)]


def _of_study(counted: Counted, name: str, study: str) -> Coverage:
    rows = counted.studies.measured.get(study, {}).items()
    there = sum(len(item.records) for cell, item in rows if cell.track == name)
    failed = sum(cell.track == name for cell, _ in counted.studies.failed.get(study, {}))
    planned = counted.studies.planned[name, study]
    return Coverage(f"{name}, {study.replace('_', ' ')}", planned, there, failed, 0)


def unmeasured_section(spec: Spec, counted: Counted) -> Section:
    """How complete each track is, why cells have no number, and which records do not count."""
    heads = ("Planned", "Measured", "Failed", "Not applicable", "No record")
    counts = Table(
        columns=(Column("Track", "text"), *map(Column, heads)),
        rows=tuple(
            Row((one.track, one.planned, one.measured, one.failed, one.not_applicable, one.missing))
            for one in coverage(spec, counted)
        ),
        about="Cells of each track",
    )
    body: list[Block] = [counts]
    if groups := unmeasured_groups(counted):
        columns = (
            Column("Entry", "text"),
            Column("Status", "text"),
            Column("Cells"),
            Column("Where", "text"),
            Column("Reason", "prose"),
        )
        rows = tuple(map(_row, groups))
        body.append(Table(columns, rows, id="reasons", about="Why cells have no number"))
    return Section("unmeasured", "Not measured", (*body, *notes(counted.notes)))


def _row(group: Unmeasured) -> Row:
    seeds = f"seed{'s' if len(group.seeds) > 1 else ''} {ranges(group.seeds)}"
    where = f"{', '.join(group.backbones)}; {', '.join(group.inits)}; {seeds}"
    status = group.status.replace("_", " ")
    return Row((Labels((group.entry, group.track)), status, group.count, where, group.reason))

"""Two snapshots against each other: rows added, removed, changed and moved, records, verdicts.

A number has changed where what the pages show of it differs; all numbers here are as shown, shares in points
(×100). This module must not know where snapshots come from, nor how a difference is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf

from benchmark.records.numbers import StrictModel
from reports.diff.snapshot import Decided, Hashes, Line, Measure, Ranking, Snapshot, Standing

NOT_RUN = "not run"
VERSION = 1  # of the JSON


class NumberChange(StrictModel):
    """A mean over seeds on both sides, as shown; None where there is none."""

    metric: str
    title: str
    percent: bool  # in points: a share ×100, two decimals; else three
    before: float | None
    after: float | None
    difference: float | None  # of what is shown


class RowChange(StrictModel):
    """A row on both sides; of one that was added or removed a side is empty."""

    row: tuple[str, ...]
    ranked: NumberChange  # the number by which the board ranks
    others: tuple[NumberChange, ...]  # that differ, the largest difference first
    place_before: Standing | None
    place_after: Standing | None
    seeds_before: tuple[int, ...]
    seeds_after: tuple[int, ...]


class BoardChange(StrictModel):
    """A board where anything differs; rows with the largest difference of their number first."""

    board: str
    tuned: bool
    title: str
    ranked_by: str  # the title of its number
    rows_before: int
    rows_after: int
    first_before: tuple[tuple[str, ...], ...]  # rows in the first place; several where means are equal
    first_after: tuple[tuple[str, ...], ...]
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    backbones_before: tuple[str, ...] = ()  # of the networks; empty where a side has no such board
    backbones_after: tuple[str, ...] = ()
    added: tuple[RowChange, ...]
    removed: tuple[RowChange, ...]
    changed: tuple[RowChange, ...]  # in a number or in their seeds
    moved: tuple[RowChange, ...]  # in their place alone: others changed

    @property
    def other_networks(self) -> bool:
        """Whether both sides have networks, and not of the same backbones: no number need be as before."""
        return bool(self.backbones_before and self.backbones_after) and (
            self.backbones_before != self.backbones_after
        )

    @property
    def equal(self) -> int:
        """How many rows are as before."""
        return self.rows_after - len(self.added) - len(self.changed) - len(self.moved)


class Records(StrictModel):
    """How many records there are, and how many differ in what."""

    before: int
    after: int
    added: int
    removed: int
    numbers: int  # in status, numbers or series
    made: int  # in what made them alone: key, settings, cost, provenance


class ReadingChange(StrictModel):
    """A test of a claim in one setting that reads otherwise."""

    claim: str
    test: str
    before: str
    after: str


class ClaimChange(StrictModel):
    """A claim whose verdict over all settings flipped."""

    claim: str
    statement: str
    before: str
    after: str


class Diff(StrictModel):
    """What a change of the records does; the JSON of `oodbench diff`."""

    version: int = VERSION
    before: str  # the names of the sides
    after: str
    records: Records | None  # None where a side did not keep them
    boards_equal: int
    boards: tuple[BoardChange, ...]
    claims: tuple[ClaimChange, ...]
    readings: tuple[ReadingChange, ...]  # those that were run before first

    @property
    def nothing(self) -> bool:
        """Whether boards and claims show the same."""
        return not (self.boards or self.claims or self.readings)


def digits_of(*, percent: bool) -> int:
    """How many digits after the point the pages give."""
    return 2 if percent else 3


def compare(before: Snapshot, after: Snapshot, names: tuple[str, str]) -> Diff:
    """Say what differs between two snapshots; boards stand in the order of the second, then of the first."""
    sides = [{(one.board, one.tuned): one for one in side.rankings} for side in (before, after)]
    keys = list(dict.fromkeys((*sides[1], *sides[0])))
    boards = [_board(sides[0].get(key), sides[1].get(key)) for key in keys]
    differ = tuple(board for board in boards if _differs(board))
    return Diff(
        before=names[0],
        after=names[1],
        records=_records(before.records, after.records),
        boards_equal=len(boards) - len(differ),
        boards=differ,
        claims=tuple(_claims(before.claims, after.claims)),
        readings=tuple(sorted(_readings(before.claims, after.claims), key=lambda one: one.before == NOT_RUN)),
    )


def _differs(board: BoardChange) -> bool:
    rows = (board.added, board.removed, board.changed, board.moved)
    return any(rows) or bool(board.columns_added or board.columns_removed)


def _board(before: Ranking | None, after: Ranking | None) -> BoardChange:
    now = after or before
    assert now is not None
    number = next(column for column in now.columns if column.metric == now.ranked_by)
    sides = [_lines(side) for side in (before, after)]
    groups: dict[str, list[RowChange]] = {"added": [], "removed": [], "changed": [], "moved": []}
    for labels in dict.fromkeys((*sides[1], *sides[0])):
        lines = sides[0].get(labels), sides[1].get(labels)
        row = _row(labels, number, (before, after), lines)
        kind = _kind(row, lines)
        if kind:
            groups[kind].append(row)
    shown = [[] if side is None else [column.title for column in side.columns] for side in (before, after)]
    compared = before is not None and after is not None
    return BoardChange(
        board=now.board,
        tuned=now.tuned,
        title=now.title,
        ranked_by=number.title,
        rows_before=len(sides[0]),
        rows_after=len(sides[1]),
        first_before=_first(sides[0]),
        first_after=_first(sides[1]),
        columns_added=tuple(title for title in shown[1] if compared and title not in shown[0]),
        columns_removed=tuple(title for title in shown[0] if compared and title not in shown[1]),
        backbones_before=() if before is None else before.backbones,
        backbones_after=() if after is None else after.backbones,
        added=tuple(sorted(groups["added"], key=_best_first)),
        removed=tuple(sorted(groups["removed"], key=_best_first)),
        changed=tuple(sorted(groups["changed"], key=_largest_first)),
        moved=tuple(sorted(groups["moved"], key=_largest_first)),
    )


def _lines(side: Ranking | None) -> dict[tuple[str, ...], Line]:
    return {} if side is None else {line.labels: line for line in side.lines}


def _first(lines: Mapping[tuple[str, ...], Line]) -> tuple[tuple[str, ...], ...]:
    return tuple(n for n, line in lines.items() if line.standing is not None and line.standing.position == 1)


def _kind(row: RowChange, lines: tuple[Line | None, Line | None]) -> str:
    if lines[0] is None:
        return "added"
    if lines[1] is None:
        return "removed"
    if row.ranked.before != row.ranked.after or row.others or row.seeds_before != row.seeds_after:
        return "changed"
    return "moved" if row.place_before != row.place_after else ""


def _row(
    labels: tuple[str, ...],
    number: Measure,
    sides: tuple[Ranking | None, Ranking | None],
    lines: tuple[Line | None, Line | None],
) -> RowChange:
    before, after = (_means(side, line) for side, line in zip(sides, lines, strict=True))
    in_both: Iterable[Measure] = ()
    if lines[0] is not None and lines[1] is not None and sides[0] is not None and sides[1] is not None:
        there = {column.metric for column in sides[0].columns}
        in_both = [c for c in sides[1].columns if c.metric in there and c.metric != number.metric]
    others = [_change(column, before, after) for column in in_both]
    placed = [None if line is None else line.standing for line in lines]
    seeds = [() if line is None else line.seeds for line in lines]
    return RowChange(
        row=labels,
        ranked=_change(number, before, after),
        others=tuple(sorted((one for one in others if one.before != one.after), key=_size)),
        place_before=placed[0],
        place_after=placed[1],
        seeds_before=seeds[0],
        seeds_after=seeds[1],
    )


def _means(side: Ranking | None, line: Line | None) -> dict[str, float | None]:
    if side is None or line is None:
        return {}
    return {column.metric: mean for column, mean in zip(side.columns, line.means, strict=True)}


def _change(
    column: Measure, before: Mapping[str, float | None], after: Mapping[str, float | None]
) -> NumberChange:
    one, other = (_shown(side.get(column.metric), percent=column.percent) for side in (before, after))
    differ = None if one is None or other is None else other - one
    return NumberChange(
        metric=column.metric,
        title=column.title,
        percent=column.percent,
        before=one,
        after=other,
        difference=None if differ is None else round(differ, digits_of(percent=column.percent)),
    )


def _shown(value: float | None, *, percent: bool) -> float | None:
    """A number as the pages show it."""
    if value is None:
        return None
    return float(f"{100 * value if percent else value:.{digits_of(percent=percent)}f}") + 0.0


def _size(change: NumberChange) -> tuple[bool, float, str]:
    """Sorts shares first, and then the largest difference."""
    return not change.percent, -_way(change), change.title


def _largest_first(row: RowChange) -> tuple[float, float, int, tuple[str, ...]]:
    """Sorts by the difference of the ranking number, that of the other shares, and the way of the place."""
    shares = (_way(one) for one in row.others if one.percent)
    places = row.place_before, row.place_after
    moved = abs(places[1].position - places[0].position) if places[0] and places[1] else 0
    return -_way(row.ranked), -max(shares, default=0.0), -moved, row.row


def _way(change: NumberChange) -> float:
    """How far a number went; without end where a side has none."""
    if change.difference is None:
        return 0.0 if change.before == change.after else inf
    return abs(change.difference)


def _best_first(row: RowChange) -> tuple[float, tuple[str, ...]]:
    """Sorts rows that are on one side alone as their board does."""
    place = row.place_after or row.place_before
    return inf if place is None else place.position, row.row


def _records(before: Mapping[str, Hashes] | None, after: Mapping[str, Hashes] | None) -> Records | None:
    if before is None or after is None:
        return None
    shared = [(before[place], after[place]) for place in before.keys() & after.keys()]
    return Records(
        before=len(before),
        after=len(after),
        added=len(after.keys() - before.keys()),
        removed=len(before.keys() - after.keys()),
        numbers=sum(one.numbers != other.numbers for one, other in shared),
        made=sum(one.numbers == other.numbers and one.whole != other.whole for one, other in shared),
    )


def _claims(before: Iterable[Decided], after: Iterable[Decided]) -> Iterator[ClaimChange]:
    for claim, sides in _both(before, after):
        said = [NOT_RUN if side is None else side.overall for side in sides]
        if said[0] != said[1]:
            yield ClaimChange(claim=claim.claim, statement=claim.statement, before=said[0], after=said[1])


def _readings(before: Iterable[Decided], after: Iterable[Decided]) -> Iterator[ReadingChange]:
    for claim, sides in _both(before, after):
        one, other = ({} if side is None else side.readings for side in sides)
        for test in dict.fromkeys((*other, *one)):
            said = one.get(test, NOT_RUN), other.get(test, NOT_RUN)
            if said[0] != said[1]:
                yield ReadingChange(claim=claim.claim, test=test, before=said[0], after=said[1])


def _both(
    before: Iterable[Decided], after: Iterable[Decided]
) -> Iterator[tuple[Decided, tuple[Decided | None, Decided | None]]]:
    """Claims of both sides with what each side says, in the order of the second, then of the first."""
    one, other = ({claim.claim: claim for claim in side} for side in (before, after))
    for name, claim in {**other, **one, **other}.items():
        yield claim, (one.get(name), other.get(name))

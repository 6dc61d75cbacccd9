"""How a user's own records compare with the published ones: the reproduction report.

Trained networks differ between machines as if by another seed, so that numbers of single cells move while the
means of rows should not. The report says how far the cells lie apart, what could not be compared and why, and
for each board which rows' means differ significantly. This module must not know how it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Any

from pydantic import Field

from benchmark.metrics.gaps import row_tests
from benchmark.records.comparison import HEADLINES, Metric, Pairs, Reason, gap_of, largest, pair, seen
from benchmark.records.numbers import StrictModel
from benchmark.records.place import Place
from benchmark.records.record import DETECTION, Cell, RecordFile
from benchmark.spec.leaderboard import Board, Spec
from benchmark.studies.registry import study_folders
from reports.boards.tables import ranking_numbers
from reports.select import Counted, Found, select
from reports.studies.numbers import numbers_of
from reports.studies.select import Studied

REASONS: dict[Reason, str] = {
    "only in the first": "no published record",
    "only in the second": "published, but not among these records",
    "not measured": "failed or not applicable, here or there",
    "other settings": "measured or trained with other settings",
    "other images": "measured on other images",
    "other code": "made by other code: the published record is older, or the code was changed here",
}


class MetricGap(StrictModel):
    """|Δ| of one number, in percentage points."""

    study: str  # empty: OOD detection
    metric: str
    title: str
    n: int  # cells; for what belongs to a network, networks
    equal: int  # of them, without any difference
    median: float
    mean: float
    q95: float
    max: float
    largest: str  # where the largest is, with both numbers; empty where nothing differs


class NotCompared(StrictModel):
    """Places that were not compared, all for one reason."""

    reason: str
    count: int
    rows: list[str]  # track and row; empty for what was not run here


class RowDiffers(StrictModel):
    """A row whose mean differs significantly."""

    row: list[str]  # one label a level of the board
    here: float
    published: float
    difference: float  # here minus published
    p_holm: float
    seeds: int


class BoardTest(StrictModel):
    """The rows of one table, each against its published self, paired by seed, Holm-adjusted over the rows."""

    board: str
    title: str
    column: str  # the number that ranks
    percent: bool  # whether it is a share
    rows: int  # that could be tested: those with two or more shared seeds
    differ: list[RowDiffers]


class Chosen(StrictModel):
    """A place where validation images chose other hyper-parameters."""

    place: str
    here: dict[str, Any]
    published: dict[str, Any]


class Reproduction(StrictModel):
    """The report; ``reproduction.json`` of a site."""

    published: str  # the folder's name
    absent: str = ""  # why there is nothing to compare; the rest is empty then
    compared: int = 0
    equal: int = 0  # of them, to the bit
    same_network: int = 0  # of them, with one network on both sides
    gaps: list[MetricGap] = Field(default_factory=list)
    not_compared: list[NotCompared] = Field(default_factory=list)
    boards: list[BoardTest] = Field(default_factory=list)
    chosen: list[Chosen] = Field(default_factory=list)

    @property
    def tested(self) -> int:
        """Rows over all boards."""
        return sum(board.rows for board in self.boards)

    @property
    def differ(self) -> int:
        """Rows over all boards that differ significantly."""
        return sum(len(board.differ) for board in self.boards)


Files = Callable[[], Iterable[RecordFile]]  # read anew each time, so that not all have to be held


def reproduction(spec: Spec, own: Files, published: Files, name: str) -> Reproduction:
    """Compare a user's own records with the published ones.

    Parameters
    ----------
    name : of the published folder, for people.

    Raises
    ------
    DataError
        If a board asks for a metric that a record lacks, or records contradict each other.
    """
    there = seen(published())
    if not there:
        return Reproduction(published=name, absent=f"there are no published records in {name}/")
    pairs = pair(seen(own()), there)
    return Reproduction(
        published=name,
        compared=len(pairs.compared),
        equal=sum(one.equal for one in pairs.compared),
        same_network=sum(one.same_network for one in pairs.compared),
        gaps=_gaps(spec, pairs),
        not_compared=[
            NotCompared(
                reason=REASONS[reason],
                count=len(places),
                rows=[]
                if reason == "only in the second"  # most of the leaderboard where only a part was run
                else list(dict.fromkeys(place.subject for place in places)),
            )
            for reason, places in pairs.left_out.items()
        ],
        boards=_boards(spec, own, published, pairs),
        chosen=[
            Chosen(place=str(flip.place), here=dict(flip.a), published=dict(flip.b)) for flip in pairs.flips
        ],
    )


def headlines(study: str) -> list[Metric]:
    """The numbers of a study that are compared."""
    if study == DETECTION:
        return [*HEADLINES]
    return [*numbers_of(study).headlines.values()] if study in study_folders() else []


def _gaps(spec: Spec, pairs: Pairs) -> list[MetricGap]:
    found = []
    flipped = {flip.place for flip in pairs.flips}
    for study in dict.fromkeys((DETECTION, *spec.studies, *study_folders())):
        members = [one for one in pairs.compared if one.place.study == study]
        for metric in headlines(study):
            gap = gap_of(members, metric.path)
            if gap is not None:
                where = largest(members, metric.path, 1)
                points = {k: 100 * getattr(gap, k) for k in ("median", "mean", "q95", "max")}
                found.append(
                    MetricGap(
                        study="" if study == DETECTION else study,
                        metric=metric.path,
                        title=metric.title,
                        n=gap.n,
                        equal=gap.equal,
                        **points,
                        largest=_told(*where[0], flipped) if where else "",
                    )
                )
    return found


def _told(place: Place, here: float, published: float, flipped: Collection[Place]) -> str:
    chosen = ", where other hyper-parameters were chosen" if place in flipped else ""
    return f"{place}: {100 * here:.2f}, published {100 * published:.2f}{chosen}"


def _boards(spec: Spec, own: Files, published: Files, pairs: Pairs) -> list[BoardTest]:
    places = {one.place for one in pairs.compared}
    here = select(spec, own())
    there = select(spec, published())
    here, there = _shared(here, there, places), _shared(there, here, places)
    found = []
    for name, board in spec.boards.items():
        for tuned in (False, True):
            rows = [ranking_numbers(name, spec, side, tuned=tuned) for side in (here, there)]
            if (not rows[0] or not rows[1]) or (board.study is not None and tuned):
                continue
            found.append(_tested(name, board, *rows, tuned=tuned))
    return [board for board in found if board.rows]


def _tested(
    name: str,
    board: Board,
    here: dict[tuple[str, ...], dict[int, float]],
    there: dict[tuple[str, ...], dict[int, float]],
    *,
    tuned: bool,
) -> BoardTest:
    column = next(column for column in board.columns if column.metric == board.rank_by)
    sides = {
        row: ([by_seed[s] for s in seeds], [there[row][s] for s in seeds])
        for row, by_seed in here.items()
        if (seeds := [s for s in by_seed if s in there.get(row, {})])
    }
    tests = row_tests(sides)
    differ = [
        RowDiffers(
            row=list(row),
            here=sum(sides[row][0]) / len(sides[row][0]),
            published=sum(sides[row][1]) / len(sides[row][1]),
            difference=test.difference.mean,
            p_holm=test.p_holm,
            seeds=test.difference.n,
        )
        for row, test in tests.items()
        if test.differs
    ]
    return BoardTest(
        board=name,
        title=f"{board.title}: tuned" if tuned else board.title,
        column=column.title,
        percent=column.percent,
        rows=len(tests),
        differ=sorted(differ, key=lambda row: row.p_holm),
    )


def _shared(side: Counted, other: Counted, places: set[Place]) -> Counted:
    """What of one side was compared with the other, on every condition that it has."""

    def both(study: str | None, cell: Cell, found: Found) -> bool:
        counterpart = other.of_study(study).get(cell)
        if counterpart is None:
            return False
        if not isinstance(found, Studied) or not isinstance(counterpart, Studied):
            return _place(cell, DETECTION) in places
        same = found.records.keys() == counterpart.records.keys()
        return same and all(_place(cell, found.study, condition) in places for condition in found.records)

    studies = {
        study: {cell: found for cell, found in cells.items() if both(study, cell, found)}
        for study, cells in side.studies.measured.items()
    }
    return replace(
        side,
        measured={cell: found for cell, found in side.measured.items() if both(None, cell, found)},
        studies=replace(side.studies, measured=studies),
    )


def _place(cell: Cell, study: str, condition: str = "") -> Place:
    return Place(cell.track, study, cell.entry, cell.backbone, cell.init, cell.seed, condition)

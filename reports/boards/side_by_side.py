"""What is needed to compare entries of a track with each other: their numbers by seed, curves and costs.

A row is an entry and an init, on one backbone or averaged over all of them within each seed. This module must
not know how a comparison is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import floor, log10, nan
from statistics import fmean, median
from typing import Literal

import numpy as np
import scipy

from benchmark.metrics.statistics import Interval, mean_interval
from benchmark.records.network_places import stand_apart
from benchmark.records.record import Cell
from benchmark.spec.leaderboard import Board, Column, Spec, Track
from reports.boards.places import Samples
from reports.boards.tables import samples_of
from reports.costs import FORWARDS, MS
from reports.select import Counted, Measured

MOST = 5  # entries beside each other
LEVEL = 0.95
NEAR = "near.auroc"
POINTS = 25  # of a ROC curve, at most
LEAST = 0.1  # per cent of a forward pass: what costs less is drawn as if it cost that
ROUNDED = 0.01  # forward passes: what times tell apart at most
Family = Literal["means", "sets"]


@dataclass(frozen=True)
class Compared:
    """A number that is compared; those of a family are tested together."""

    column: Column
    group: str
    family: Family


@dataclass(frozen=True)
class Cost:
    """What a row costs, and what it reaches."""

    row: int  # in `SideBySide.rows`
    cost: float
    near: float  # mean near AUROC
    front: bool  # no row of its init reaches as much at less cost, or more at the same


@dataclass(frozen=True)
class Curves:
    """Mean ROC curves of a row: the share of ID images kept at each share of OOD images let through."""

    near: tuple[float, ...]
    far: tuple[float, ...]


@dataclass(frozen=True)
class SideBySide:
    """All rows of a track on one backbone, or averaged over all of them."""

    track: str
    backbone: str | None  # None: the mean over all of the track's
    compared: tuple[Compared, ...]
    others: tuple[Column, ...]  # shown beside, not compared
    rows: tuple[Samples, ...]  # labels are entry and init; numbers of `compared`, of `others`, and costs
    apart: tuple[tuple[int, int], ...]  # rows that stand on different networks where they ought to share them
    costs: tuple[Cost, ...]
    cost: Column | None
    priced_at: int | None  # the place of the cost in the rows
    fpr: tuple[float, ...]
    curves: Mapping[int, Curves]  # by row, of the entries that plots show

    @property
    def entries(self) -> tuple[str, ...]:
        """In the order of the leaderboard."""
        return tuple(dict.fromkeys(row.labels[0] for row in self.rows))

    @property
    def inits(self) -> tuple[str, ...]:
        """In the order of the leaderboard."""
        return tuple(dict.fromkeys(row.labels[1] for row in self.rows))

    @property
    def seeds(self) -> int:
        """Of the row that has most."""
        return max(len(row.by_seed) for row in self.rows)

    @property
    def cost_ratio(self) -> float:
        """How many times the cost of a row's cheapest seed its dearest has, in the median of all rows."""
        place = self.priced_at
        every = [] if place is None else [self.rows[cost.row].by_seed.values() for cost in self.costs]
        costs = [[numbers[place or 0] for numbers in one] for one in every]
        return median([max(one) / min(one) for one in costs if len(one) > 1] or [nan])


def interval_of(row: Samples, place: int) -> Interval | None:
    """The mean of one number of a row over its seeds; None where a record lacks it."""
    return mean_interval([numbers[place] for numbers in row.by_seed.values()]) if row.has(place) else None


def side_by_side(spec: Spec, counted: Counted, name: str) -> list[SideBySide]:
    """The rows of a track: averaged over the backbones that have records, and of each of them."""
    cells = counted.of_track(name)
    used = {cell.backbone for cell in cells}
    backbones = [backbone for backbone in spec.tracks[name].backbones if backbone in used]
    known = _known(cells.values())
    if NEAR not in known:
        return []
    views: list[str | None] = [None, *backbones] if len(backbones) > 1 else [*backbones]
    made = []
    for backbone in views:
        ours = {cell: found for cell, found in cells.items() if backbone in (None, cell.backbone)}
        made.append(_side_by_side(spec.tracks[name], name, backbone, ours, known))
    return [one for one in made if one.rows]


def _known(cells: Iterable[Measured]) -> set[str]:
    """The numbers that all cells have, but for those that older records lack."""
    every = list(cells)
    there = {path for found in every for path in found.numbers}
    return {path for path in there if all(path in f.numbers or path in f.absent for f in every)}


def _side_by_side(
    track: Track, name: str, backbone: str | None, cells: Mapping[Cell, Measured], known: set[str]
) -> SideBySide:
    compared = tuple(one for one in _compared(track) if one.column.metric in known)
    others = tuple(column for column in _others(track) if column.metric in known)
    priced = [column for column in _costs() if column.metric in known]
    columns = [*(one.column for one in compared), *others]
    board = Board.model_validate(
        {
            "title": name,
            "track": name,
            "rows": ["entry", "init"],
            "columns": [*columns, *priced],
            "rank_by": NEAR,
        }
    )
    rows = tuple(samples_of(name, board, cells)[0])
    places = range(len(columns), len(columns) + len(priced))
    priced_at = next((place for place in places if any(row.has(place) for row in rows)), None)
    cost = None if priced_at is None else priced[priced_at - len(columns)]
    fpr, curves = _curves(rows, cells)
    return SideBySide(
        track=name,
        backbone=backbone,
        compared=compared,
        others=others,
        rows=rows,
        apart=tuple(_apart(rows)),
        costs=() if cost is None or priced_at is None else tuple(_priced(rows, cost, priced_at)),
        cost=cost,
        priced_at=priced_at,
        fpr=fpr,
        curves=curves,
    )


def _compared(track: Track) -> Iterator[Compared]:
    """AUROC: the mean of each group of OOD sets, and of each set where a group has several."""
    for group, sets in track.groups.items():
        title = f"mean of {len(sets)} sets" if len(sets) > 1 else next(iter(sets))
        yield Compared(_column(f"{group}.auroc", title), group, "means")
        for one in sets if len(sets) > 1 else ():
            yield Compared(_column(f"detection.{one}.auroc", one), group, "sets")


def _others(track: Track) -> Iterator[Column]:
    for group in track.groups:
        yield _column(f"{group}.fpr95", f"FPR@95, {group} OOD", "lower")
    yield _column("classification.accuracy", "ID accuracy")


def _costs() -> Iterator[Column]:
    """The best measure of cost first."""
    yield _column(FORWARDS, "forward passes", "lower", percent=False)
    yield _column(MS, "ms an image", "lower", percent=False)


def _column(metric: str, title: str, better: str = "higher", *, percent: bool = True) -> Column:
    return Column.model_validate({"metric": metric, "title": title, "better": better, "percent": percent})


def _apart(rows: Sequence[Samples]) -> Iterator[tuple[int, int]]:
    for i, j in combinations(range(len(rows)), 2):
        if rows[i].labels[1] != rows[j].labels[1]:  # of one init alone rows share networks
            continue
        shared = rows[i].by_seed.keys() & rows[j].by_seed.keys()
        first, second = (
            {place: weights for place, weights in rows[k].stands.items() if place[3] in shared}
            for k in (i, j)
        )
        if stand_apart(first, second):
            yield i, j


# Cost against what is reached


def _priced(rows: Sequence[Samples], cost: Column, place: int) -> Iterator[Cost]:
    """Rows that have a cost and lack no backbone; of ensembles only where their networks are counted."""
    found: dict[str, list[tuple[int, float, float]]] = {}
    for i, row in enumerate(rows):
        counts = row.networks == 1 or cost.metric == FORWARDS
        if row.complete and counts and row.has(place) and row.has(0):
            means = [fmean(numbers[at] for numbers in row.by_seed.values()) for at in (place, 0)]
            found.setdefault(row.labels[1], []).append((i, means[0], means[1]))
    for of_init in found.values():
        rounded = [(rounded_cost(price, cost.metric), near) for _, price, near in of_init]
        kept = front(rounded)
        for at, (i, price, near) in enumerate(of_init):
            yield Cost(i, price, near, at in kept)


def rounded_cost(cost: float, metric: str) -> float:
    """A cost to the digits that say something: hundredths of a forward pass, or two significant ones."""
    if metric == FORWARDS:
        return ROUNDED * round(cost / ROUNDED)
    return round(cost, 1 - floor(log10(cost))) if cost > 0 else cost


def beyond(cost: float) -> float:
    """What forward passes come to beyond the bare one, in per cent of it; no less than `LEAST`."""
    return max(100 * (cost - 1), LEAST)


def front(points: Sequence[tuple[float, float]]) -> set[int]:
    """The places of the points that no other beats: at most their cost, at least what they reach."""
    kept, best = set(), -float("inf")
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if points[i][1] > best:
            kept.add(i)
            best = points[i][1]
    return kept


# Curves


def _curves(
    rows: Sequence[Samples], cells: Mapping[Cell, Measured]
) -> tuple[tuple[float, ...], dict[int, Curves]]:
    """A grid of shares of OOD images, and curves on it: means over all seeds and backbones of a row."""
    drawn: dict[tuple[str, str], list[Measured]] = {}
    for cell, found in cells.items():
        if found.measurement is not None:
            drawn.setdefault((cell.entry, cell.init), []).append(found)
    if not drawn:
        return (), {}
    whole = next(iter(drawn.values()))[0].drawn.curves.fpr
    places = np.unique(np.linspace(0, len(whole) - 1, POINTS).round().astype(int))
    grid = np.asarray(whole)[places]
    curves = {}
    for i, row in enumerate(rows):
        found_of = [found.drawn.curves for found in drawn.get((row.labels[0], row.labels[1]), ())]
        if found_of:
            near = np.mean([np.interp(grid, one.fpr, one.tpr_near) for one in found_of], axis=0)
            far = np.mean([np.interp(grid, one.fpr, one.tpr_far) for one in found_of], axis=0)
            curves[i] = Curves(tuple(near.tolist()), tuple(far.tolist()))
    return tuple(grid.tolist()), curves


# How differences are tested


def comparisons(one: SideBySide) -> dict[str, int]:
    """By family, how many numbers two rows are compared in."""
    families = [compared.family for compared in one.compared]
    return {family: families.count(family) for family in dict.fromkeys(families)}


def quantiles(one: SideBySide) -> list[list[float]]:
    """Quantiles of Student's t of intervals that hold together, by Bonferroni's inequality.

    Row f − 1 is of f degrees of freedom; its place m − 1 is of intervals of m differences, each at the level
    1 − 0.05 / m.
    """
    most = max(comparisons(one).values()) * (MOST - 1)
    numbers = np.arange(1, most + 1)
    return [
        [round(float(q), 4) for q in scipy.stats.t.ppf(1 - (1 - LEVEL) / 2 / numbers, free)]
        for free in range(1, one.seeds)
    ]

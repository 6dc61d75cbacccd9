"""How the published order of methods compares with ours: ranks, correlations, and which methods move.

Pure functions of numbers. This module must not know how anything is shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import scipy

from benchmark.metrics.statistics import Vector
from benchmark.records.record import Cell
from benchmark.spec.leaderboard import Spec
from reports.boards.gains import Numbered
from reports.openood.published import GROUPS, Figures, Group, Method, Published, PublishedTable
from reports.studies.select import PLAIN

LEAST = 5  # methods in common, below which nothing is said of an order
DRAWS = 2000  # of the bootstrap
LEVEL = 0.95


@dataclass(frozen=True)
class Pair:
    """A method that was measured there and here."""

    method: Method
    entry: str  # ours
    theirs: Figures
    ours: Mapping[Group, Vector]  # (S,) AUROC by seed, over the backbones


@dataclass(frozen=True)
class Move:
    """The ranks of a method among the methods in common; 1 is the best, ties share the better rank."""

    name: str
    there: int
    here: int

    @property
    def by(self) -> int:
        """How many places it stands higher here."""
        return self.there - self.here


@dataclass(frozen=True)
class Agreement:
    """How far two orders of the same methods agree."""

    moves: tuple[Move, ...]  # in the order of the methods
    rho: float  # Spearman's; NaN where all are equal
    interval: tuple[float, float]  # of ρ
    tau: float  # Kendall's τ-b

    @property
    def movers(self) -> tuple[Move, ...]:
        """The methods whose rank differs, the largest difference first, then as ranked there."""
        moved = (move for move in self.moves if move.by)
        return tuple(sorted(moved, key=lambda move: (-abs(move.by), move.there, move.name)))


@dataclass(frozen=True)
class Comparison:
    """One init of one track against the table of its ID set."""

    track: str
    init: str
    table: PublishedTable
    pairs: tuple[Pair, ...]  # best near OOD there first
    seeds: tuple[int, ...]
    backbones: tuple[str, ...]
    accuracy: float | None  # mean over the seeds, where it is recorded
    agreement: Mapping[Group, Agreement]
    unknown: tuple[str, ...]  # methods of theirs that are not here
    unmeasured: tuple[str, ...]  # at their setting
    partial: tuple[str, ...]  # not at every seed


def comparisons(spec: Spec, measured: Mapping[Cell, Numbered], published: Published) -> list[Comparison]:
    """Every init of every track whose ID set has a published table, if enough methods were measured."""
    found: list[Comparison] = []
    for name, track in spec.tracks.items():
        table = None if track.id.classes else published.table(track.id.dataset)
        if table is not None:
            of_inits = (
                compare(spec, name, init, measured, table, published.methods) for init in track.entry_inits
            )
            found += [one for one in of_inits if one is not None]
    return found


def compare(
    spec: Spec,
    track: str,
    init: str,
    measured: Mapping[Cell, Numbered],
    table: PublishedTable,
    methods: list[Method],
) -> Comparison | None:
    """Compare one init of a track with a table; None with fewer than `LEAST` methods in common.

    Means are over the backbones within a seed. The seeds are those at which more than half of the methods
    were measured; a method that lacks one of them is left out.
    """
    figures = table.compared
    asked = {method.name: method for method in methods if method.name in figures}
    entries = {
        name: entry
        for name, method in asked.items()
        if (entry := entry_of(spec, track, method, table.dataset))
    }
    cells = {
        name: {
            (cell.seed, cell.backbone): found.numbers
            for cell, found in measured.items()
            if (cell.track, cell.init, cell.entry) == (track, init, entry)
        }
        for name, entry in entries.items()
    }
    cells = {name: there for name, there in cells.items() if there}
    everywhere = [place for there in cells.values() for place in there]
    places = sorted({place for place in everywhere if 2 * everywhere.count(place) > len(cells)})
    complete = [name for name, there in cells.items() if there.keys() >= set(places)]
    if len(complete) < LEAST:
        return None
    seeds = tuple(sorted({seed for seed, _ in places}))
    backbones = tuple(sorted({backbone for _, backbone in places}))
    pairs = [
        Pair(
            asked[name],
            entries[name],
            figures[name],
            {group: _by_seed(cells[name], places, f"{group}.auroc") for group in GROUPS},
        )
        for name in complete
    ]
    pairs.sort(key=lambda pair: (-pair.theirs.of("near")[0], pair.method.name))
    accuracies = [
        number
        for pair in pairs
        for place in places
        if (number := cells[pair.method.name][place].get("classification.accuracy")) is not None
    ]
    return Comparison(
        track=track,
        init=init,
        table=table,
        pairs=tuple(pairs),
        seeds=seeds,
        backbones=backbones,
        accuracy=fmean(accuracies) if accuracies else None,
        agreement={group: agreement(pairs, group) for group in GROUPS},
        unknown=tuple(name for name, method in asked.items() if method.detector is None),
        unmeasured=tuple(n for n, method in asked.items() if method.detector is not None and n not in cells),
        partial=tuple(name for name in cells if name not in complete),
    )


def entry_of(spec: Spec, track: str, method: Method, dataset: str) -> str | None:
    """The entry of a track that is a method of theirs at their setting: of plain networks, not tuned."""
    for name in spec.tracks[track].all_entries:
        entry = spec.entries[name]
        if (
            entry.detector == method.detector
            and entry.objective == PLAIN
            and entry.tune is None
            and entry.fit_limit is None
            and entry.hyperparameters == method.setting(dataset)
        ):
            return name
    return None


def _by_seed(
    cells: Mapping[tuple[int, str], Mapping[str, float]], places: list[tuple[int, str]], metric: str
) -> Vector:
    by_seed: dict[int, list[float]] = {}
    for seed, backbone in places:
        by_seed.setdefault(seed, []).append(cells[seed, backbone][metric])
    return np.array([fmean(numbers) for numbers in by_seed.values()])


def agreement(pairs: list[Pair], group: Group) -> Agreement:
    """Compare the orders by published and by own AUROC of one group of OOD sets."""
    theirs = np.array([pair.theirs.of(group)[0] for pair in pairs])  # (M,)
    ours = np.stack([pair.ours[group] for pair in pairs])  # (M, S)
    means = ours.mean(axis=1)
    there, here = (scipy.stats.rankdata(-numbers, method="min") for numbers in (theirs, means))
    rho = float(spearman(theirs[None], means[None])[0])
    return Agreement(
        moves=tuple(
            Move(pair.method.name, int(a), int(b)) for pair, a, b in zip(pairs, there, here, strict=True)
        ),
        rho=rho,
        interval=(math.nan, math.nan)
        if math.isnan(rho)
        else bootstrap(theirs, ours, np.random.default_rng(0)),
        tau=math.nan if math.isnan(rho) else float(scipy.stats.kendalltau(theirs, means).statistic),
    )


def bootstrap(theirs: Vector, ours: Vector, rng: np.random.Generator) -> tuple[float, float]:
    """Percentile interval of ρ where methods and own seeds are drawn with replacement, both at once.

    Every draw has as many methods and as many seeds as there are; the same seeds for all methods, because
    these score the same networks. The published means are held as they are. A draw in which all methods are
    equal has no ρ and does not count.

    Parameters
    ----------
    theirs : (M,) published means.
    ours : (M, S) by seed.
    """
    number, seeds = ours.shape
    drawn = rng.integers(0, number, (DRAWS, number))
    drawn_seeds = rng.integers(0, seeds, (DRAWS, seeds))
    means = ours[:, drawn_seeds].mean(axis=2).T  # (DRAWS, M)
    rho = spearman(theirs[drawn], np.take_along_axis(means, drawn, axis=1))
    low, high = np.quantile(rho[~np.isnan(rho)], ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def spearman(a: Vector, b: Vector) -> Vector:
    """Spearman's ρ between rows of two (P, M), average ranks at ties: (P,); NaN if all in a row are equal."""
    centred = []
    for rows in (a, b):
        ranks = scipy.stats.rankdata(rows, axis=1)
        centred.append(ranks - ranks.mean(axis=1, keepdims=True))
    x, y = centred
    norms = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    products: Vector = (x * y).sum(axis=1)
    rho: Vector = np.divide(products, norms, out=np.full(len(norms), math.nan), where=norms > 0)
    return rho

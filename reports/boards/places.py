"""Where the rows of a table stand: by their means, with confidence sets of their ranks.

This module must not know which rows a table has, nor how it is shown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import isnan
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.rank_sets import rank_sets
from benchmark.records.network_places import NetworkPlace, stand_apart
from reports.boards.verified import Verified

APART = (
    "Networks that are trained apart differ as if by another seed: such rows are told apart by Welch's "
    "t test, in the same family as the paired tests."
)


@dataclass(frozen=True)
class Samples:
    """What a row's numbers come from."""

    labels: tuple[str, ...]
    by_seed: dict[int, list[float]]  # one number a column; NaN where a record lacks it
    note: str
    networks: int  # of which each number comes: more than one for ensembles
    complete: bool  # averaged over all that the board averages over
    stands: Mapping[NetworkPlace, set[str]] = field(default_factory=dict)  # the weights of all its networks
    verified: Verified = Verified()  # of its records
    transductive: bool = False  # whether scores depend on the images that are scored together

    @property
    def comparable(self) -> bool:
        """Whether the row has a place: complete, of single networks and images, and over several seeds."""
        alone = self.networks == 1 and not self.transductive
        return self.complete and alone and len(self.by_seed) > 1

    def has(self, column: int) -> bool:
        """Whether all its records have the number of a column."""
        return not any(isnan(numbers[column]) for numbers in self.by_seed.values())


@dataclass(frozen=True)
class Place:
    """Where a row stands by its mean, and the simultaneous 95 % confidence set of its rank."""

    position: int  # one more than the number of rows with a better mean
    low: int
    high: int
    leads: bool  # not significantly worse than the first


@dataclass(frozen=True)
class Told:
    """What is to be said of the places of rows."""

    notes: tuple[str, ...] = ()
    apart: tuple[int, ...] = ()  # rows on networks of their own


def places(
    samples: Sequence[Samples], column: int, *, higher: bool, among: Collection[int] | None = None
) -> tuple[dict[int, Place], Told]:
    """Where rows stand in a column, by their number in `samples`; of all, or only `among` some.

    Only comparable rows have a place, and only if they share two seeds.
    """
    numbers = range(len(samples)) if among is None else among
    ours = [i for i in numbers if samples[i].comparable and samples[i].has(column)]
    common = sorted(set.intersection(*(set(samples[i].by_seed) for i in ours))) if ours else []
    if len(common) < 2:
        shown = any(samples[i].has(column) for i in numbers)
        return {}, Told(("Not ranked: that needs two or more seeds which the rows share.",) if shown else ())
    apart = _apart([_within(samples[i].stands, common) for i in ours])
    table = [[samples[i].by_seed[seed][column] for seed in common] for i in ours]
    means = [fmean(numbers[column] for numbers in samples[i].by_seed.values()) for i in ours]
    better = sorted(means, reverse=higher)
    first = [mean == better[0] for mean in means]  # by all seeds that a row has
    found = rank_sets(table, apart=apart, higher_is_better=higher, first=first)
    placed = {}
    for i, mean, one, leads in zip(ours, means, found.sets, found.not_worse, strict=True):
        position = 1 + better.index(mean)
        placed[i] = Place(position, min(one.low, position), max(one.high, position), leads)
    notes = []
    if any(set(samples[i].by_seed) != set(common) for i in ours):
        shared = ", ".join(map(str, common))
        notes.append(
            f"Intervals of positions and the marks use the seeds that all rows share: {shared}; means and "
            "positions all seeds that a row has."
        )
    groups = [] if apart is None else _on_networks_of_their_own(apart)
    for others in groups:
        named = ", ".join(" · ".join(samples[ours[at]].labels) for at in others)
        notes.append(f"On other networks than the rest, and compared with it unpaired: {named}. {APART}")
    return placed, Told(tuple(notes), tuple(ours[at] for others in groups for at in others))


def _within(stands: Mapping[NetworkPlace, set[str]], seeds: Sequence[int]) -> Mapping[NetworkPlace, set[str]]:
    """The networks of some seeds."""
    return {place: weights for place, weights in stands.items() if place[3] in seeds}


def _apart(stands: Sequence[Mapping[NetworkPlace, set[str]]]) -> NDArray[np.bool_] | None:
    """(R, R) which rows stand on different networks, where they ought to share them; None if none do."""
    first: dict[NetworkPlace, set[str]] = {}
    items = (item for of_row in stands for item in of_row.items())
    differ = {place for place, weights in items if first.setdefault(place, weights) != weights}
    if not differ:
        return None
    at = [{place: weights for place, weights in of_row.items() if place in differ} for of_row in stands]
    apart = np.zeros((len(stands), len(stands)), dtype=bool)
    for i, j in combinations(range(len(stands)), 2):
        apart[i, j] = apart[j, i] = stand_apart(at[i], at[j])
    return apart


def _on_networks_of_their_own(apart: NDArray[np.bool_]) -> list[list[int]]:
    """Groups of rows that can be paired within but not with the largest such group, which is not listed."""
    groups: list[list[int]] = []
    for i in range(len(apart)):
        group = next((group for group in groups if not apart[i, group].any()), None)
        if group is None:
            groups.append([i])
        else:
            group.append(i)
    most = max(groups, key=len)
    return [group for group in groups if group is not most]

"""Confidence sets of ranks against arithmetic on paper, a loop over scipy, and simulated coverage."""

from __future__ import annotations

import itertools
import math
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmark.metrics import holm, significance_ranks
from benchmark.metrics.rank_sets import RankSet, rank_sets, significant_pairs

THREE = [[0.0, 0.0, 0.0], [9.0, 10.0, 11.0], [12.0, 14.0, 16.0]]
"""With two degrees of freedom p is 1 − t / √(t² + 2). On paper:

rows 1 − 0: 9 10 11, t = 10√3,  p = .00332, times 3: .00995
rows 2 − 0: 12 14 16, t = 7√3,  p = .00673, times 2: .01347
rows 2 − 1: 3 4 5, t = 4√3,     p = .02020, times 1: .02020, and .0606 in one step
"""


def bounds(values, **options) -> list[tuple[int, int]]:
    return [(one.low, one.high) for one in rank_sets(values, **options).sets]


def test_marks_are_against_the_rows_that_stand_first():
    """The third row is significantly better than both others, and the second than the first."""
    marks = [rank_sets(THREE, first=[i == one for i in range(3)]).not_worse for one in range(3)]
    assert marks == [(True, True, True), (False, True, True), (False, False, True)]
    assert rank_sets(THREE, first=[False, False, True]) == rank_sets(THREE)
    with pytest.raises(ValueError, match=r"first: expected a \(3,\) array, got shape \(2,\)"):
        rank_sets(THREE, first=[True, False])


@pytest.mark.parametrize(
    ("level", "sets", "not_worse"),
    [
        (0.05, [(3, 3), (2, 2), (1, 1)], (False, False, True)),
        (0.02, [(3, 3), (1, 2), (1, 2)], (False, True, True)),
        (0.01, [(2, 3), (1, 2), (1, 3)], (True, True, True)),
        (0.009, [(1, 3), (1, 3), (1, 3)], (True, True, True)),
    ],
)
def test_three_rows_on_paper(level, sets, not_worse):
    """At .01 row 0 is worse than row 1, but not than the best, row 2: the mark is of the best alone."""
    found = rank_sets(THREE, level=level)
    assert found.sets == tuple(RankSet(*one) for one in sets)
    assert found.not_worse == not_worse


def test_lower_is_better():
    found = rank_sets(THREE, higher_is_better=False)
    assert found.sets == (RankSet(1, 1), RankSet(2, 2), RankSet(3, 3))
    assert found.not_worse == (True, False, False)
    better, worse = significant_pairs(THREE, higher_is_better=False)
    assert sorted(zip(better.tolist(), worse.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2)]


def test_rows_of_which_some_do_not_differ():
    """On paper: rows 0 and 1 differ by ±.01 with mean 0, both differ from row 2 by about .4."""
    wave = np.tile([0.01, -0.01], 4)
    values = np.array([np.full(8, 0.9), 0.9 + wave, 0.5 + wave**2])
    assert bounds(values) == [(1, 2), (1, 2), (3, 3)]
    assert bounds(values, higher_is_better=False) == [(2, 3), (2, 3), (1, 1)]


def test_identical_rows_never_differ_and_constant_differences_always_do():
    row = np.array([0.25, 0.5, 0.75])
    assert bounds([row, row, row]) == [(1, 3)] * 3
    found = rank_sets([row, row + 0.125, row - 0.125, row])
    assert found.sets == (RankSet(2, 3), RankSet(1, 1), RankSet(4, 4), RankSet(2, 3))
    assert found.not_worse == (False, True, False, False)
    assert rank_sets([row, row, row - 0.125]).not_worse == (True, True, False)


def test_rounding_is_no_difference():
    assert bounds([[0.1 + 0.2] * 6, [0.3] * 6]) == [(1, 2), (1, 2)]


def test_one_row():
    assert bounds([[0.1, 0.2]]) == [(1, 1)]


@pytest.mark.parametrize("apart", [None, np.ones((3, 3))])
def test_one_seed_separates_nothing(apart):
    found = rank_sets([[0.1], [0.9], [0.5]], apart=apart)
    assert found.sets == (RankSet(1, 3),) * 3
    assert found.not_worse == (True,) * 3


def test_what_only_pairing_sees_does_not_separate_rows_that_stand_apart():
    """Row 1 is row 0 plus .01 in every seed: paired p is 0, Welch's p on paper .97."""
    seeds = np.linspace(0.5, 0.9, 8)
    table = [seeds, seeds + 0.01]
    assert bounds(table, apart=np.zeros((2, 2))) == [(2, 2), (1, 1)]
    assert rank_sets(table, apart=np.zeros((2, 2))).not_worse == (False, True)
    assert bounds(table, apart=1 - np.eye(2)) == [(1, 2), (1, 2)]
    assert rank_sets(table, apart=1 - np.eye(2)).not_worse == (True, True)


def naive(values, apart, level, higher_is_better):
    """Sets and marks by a loop over scipy; `apart` is a matrix."""
    pairs = list(itertools.combinations(range(len(values)), 2))
    p = [
        stats.ttest_ind(values[i], values[j], equal_var=False).pvalue
        if apart[i][j]
        else stats.ttest_rel(values[i], values[j]).pvalue
        for i, j in pairs
    ]
    sign = 1 if higher_is_better else -1
    order = sorted(range(len(values)), key=lambda i: -sign * values[i].mean())
    low, high = [1] * len(values), [len(values)] * len(values)
    not_worse = [True] * len(values)
    for pair, adjusted in zip(pairs, holm(p), strict=True):
        if adjusted <= level:
            better, worse = sorted(pair, key=order.index)
            low[worse] += 1
            high[better] -= 1
            not_worse[worse] &= better != order[0]
    return list(zip(low, high, strict=True)), tuple(not_worse)


@pytest.mark.parametrize("groups", [1, 2, 12])
@pytest.mark.parametrize("higher_is_better", [True, False])
@pytest.mark.parametrize("level", [0.01, 0.05, 0.3])
def test_sets_equal_a_loop_over_scipy(level, higher_is_better, groups):
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, (12, 1)) + rng.normal(0, 0.2, (12, 8)) + rng.normal(0, 0.2, 8)
    group = np.arange(12) % groups
    apart = group[:, None] != group
    found = rank_sets(values, apart=apart, level=level, higher_is_better=higher_is_better)
    sets, not_worse = naive(values, apart, level, higher_is_better)
    assert [(one.low, one.high) for one in found.sets] == sets
    assert found.not_worse == not_worse
    assert {high - low for low, high in sets} not in ({0}, {11})  # the example separates some, and not all
    if groups == 1:
        assert rank_sets(values, level=level, higher_is_better=higher_is_better) == found


@pytest.mark.parametrize("seed", range(3))
def test_the_lower_bound_is_the_rank_by_significance(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (9, 1)) + rng.normal(0, 0.3, (9, 6))
    assert [low for low, _ in bounds(values)] == significance_ranks(values)


@st.composite
def tables(draw) -> np.ndarray:
    """Numbers of a coarse grid, so that ties and constant differences abound."""
    shape = draw(st.integers(1, 7)), draw(st.integers(1, 6))
    cells = st.lists(st.integers(-4, 4), min_size=math.prod(shape), max_size=math.prod(shape))
    offsets = draw(st.lists(st.integers(-30, 30), min_size=shape[0], max_size=shape[0]))
    return np.array(draw(cells), dtype=float).reshape(shape) / 4 + np.array(offsets)[:, None]


@given(values=tables(), level=st.sampled_from([0.01, 0.05, 0.3]), rest=st.booleans())
@settings(deadline=None)
def test_a_set_holds_the_position_of_its_row_whatever_the_order_of_ties(values, level, rest):
    rows = len(values)
    apart = np.add.outer(np.arange(rows), np.arange(rows)) % 2 == 1 if rest else None
    found = rank_sets(values, apart=apart, level=level)
    means = values.mean(axis=1)  # of quarters: exact but for the division, hence in order
    for mean, one in zip(means, found.sets, strict=True):
        assert 1 <= one.low <= 1 + (means > mean).sum()
        assert rows - (means < mean).sum() <= one.high <= rows
    assert all(found.not_worse[best] for best in np.flatnonzero(means == means.max()))
    assert all(kept or one.low > 1 for kept, one in zip(found.not_worse, found.sets, strict=True))


@given(values=tables(), order=st.randoms(use_true_random=False))
@settings(deadline=None)
def test_sets_follow_their_rows_and_do_not_heed_the_order_of_seeds(values, order):
    rows = list(range(len(values)))
    order.shuffle(rows)
    apart = np.add.outer(np.arange(len(rows)), np.arange(len(rows))) % 3 == 1
    found = rank_sets(values, apart=apart)
    moved = rank_sets(values[rows], apart=apart[np.ix_(rows, rows)])
    assert moved.sets == tuple(found.sets[i] for i in rows)
    assert moved.not_worse == tuple(found.not_worse[i] for i in rows)
    assert rank_sets(values[:, ::-1], apart=apart) == found


@given(values=tables())
@settings(deadline=None)
def test_the_other_direction_is_that_of_negated_values(values):
    assert rank_sets(values, higher_is_better=False) == rank_sets(-values)
    rows = len(values)
    assert bounds(-values) == [(rows + 1 - high, rows + 1 - low) for low, high in bounds(values)]


@given(values=tables())
@settings(deadline=None)
def test_a_higher_level_never_widens_a_set(values):
    for (low, high), (inner_low, inner_high) in zip(
        bounds(values, level=0.05), bounds(values, level=0.2), strict=True
    ):
        assert low <= inner_low <= inner_high <= high


def unadjusted(values: np.ndarray) -> list[tuple[int, int]]:
    """What the sets would be if each pair had a test of its own."""
    p = stats.ttest_rel(values[:, None], values[None], axis=2).pvalue  # (R, R)
    better = (p <= 0.05) & (values.mean(axis=1)[:, None] > values.mean(axis=1))
    return list(zip(1 + better.sum(axis=0), len(values) - better.sum(axis=1), strict=True))


@pytest.mark.filterwarnings("ignore:Precision loss occurred:RuntimeWarning")  # each row against itself
@pytest.mark.parametrize("seeds", [6, 8])
@pytest.mark.parametrize(("spread", "alone_below"), [(0.0, 0.5), (20.0, 0.85)])
def test_all_ranks_are_covered_as_often_as_the_level_says(spread, alone_below, seeds):
    """Half of ten rows are equal, or all; common seed effects, noise from .3 to 3. 300 draws: se .013 at .95.

    A wrong family is seen: one test a pair, 45 or 10 of them of equal rows, covers far less often.
    """
    rng = np.random.default_rng(0)
    means = spread * np.array([0, 0, 0, 0, 0, 1, 2, 3, 4, 5])
    true = 1 + (means > means[:, None]).sum(axis=1)
    noise = np.geomspace(0.3, 3, 10)[:, None]
    covered = alone = 0
    for _ in range(300):
        values = means[:, None] + rng.normal(0, 2, seeds) + noise * rng.normal(size=(10, seeds))
        covered += holds(bounds(values), true)
        alone += holds(unadjusted(values), true)
    assert covered / 300 > 0.92
    assert alone / 300 < alone_below


def holds(sets, ranks) -> bool:
    return all(low <= rank <= high for (low, high), rank in zip(sets, ranks, strict=True))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0.5, math.nan], [0.5, 0.6], [math.inf, 0.1]], r"got NaN or inf in rows \[0, 2\]"),
        ([0.5, 0.6], r"values: expected a non-empty \(rows, seeds\) array, got shape \(2,\)"),
        (np.zeros((0, 5)), r"got shape \(0, 5\)"),
        (np.zeros((5, 0)), r"got shape \(5, 0\)"),
    ],
)
def test_bad_tables(values, message):
    for call in (rank_sets, significant_pairs):
        with pytest.raises(ValueError, match=message):
            call(values)


@pytest.mark.parametrize("values", [THREE, [[0.1], [0.2], [0.3]]])
@pytest.mark.parametrize(
    ("apart", "message"),
    [
        (np.zeros((2, 3)), r"apart: expected a \(3, 3\) array, got shape \(2, 3\)"),
        ([[0, 1, 0], [0, 0, 0], [0, 0, 0]], r"apart: expected a symmetric \(3, 3\) array"),
    ],
)
def test_flags_that_do_not_fit_are_refused(values, apart, message):
    with pytest.raises(ValueError, match=message):
        rank_sets(values, apart=apart)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 95, math.nan])
def test_bad_levels(level):
    with pytest.raises(ValueError, match="level: expected a number strictly between 0 and 1"):
        rank_sets(THREE, level=level)


def test_400_rows_take_little_time_and_memory():
    values = np.random.default_rng(0).normal(0, 1, (400, 8)) + np.arange(400)[:, None] / 20
    apart = np.add.outer(np.arange(400), np.arange(400)) % 2 == 1
    rank_sets(values[:2])
    start = time.process_time()
    rank_sets(values, apart=apart)
    assert time.process_time() - start < 2  # a tenth of that; a loop over 79,800 pairs takes minutes
    tracemalloc.start()
    try:
        rank_sets(values, apart=apart)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200e6

"""Welch's test against scipy, and ranks of rows of which some cannot be paired."""

import numpy as np
import pytest
from scipy import stats

from benchmark.metrics import significance_ranks
from benchmark.metrics.rank_sets import rank_sets
from benchmark.metrics.unpaired import welch


def ranks(table, **how) -> list[int]:
    """One more than the number of rows that are significantly better."""
    return [one.low for one in rank_sets(table, **how).sets]


def samples(seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return shift + rng.normal(size=(7, 5)) * rng.uniform(0.1, 3, size=(7, 1))


@pytest.mark.parametrize("seed", range(5))
def test_welch_equals_scipy(seed):
    a, b = samples(seed), samples(seed + 100, shift=0.4)
    t, p = welch(a, b)
    expected = stats.ttest_ind(a, b, axis=1, equal_var=False)
    np.testing.assert_allclose(t, expected.statistic, rtol=1e-12)
    np.testing.assert_allclose(p, expected.pvalue, rtol=1e-10)


def test_welch_without_spread_is_decided_by_the_means():
    t, p = welch([[1.0, 1.0], [2.0, 2.0], [0.1 + 0.2, 0.1 + 0.2]], [[1.0, 1.0], [1.0, 1.0], [0.3, 0.3]])
    assert t.tolist() == [0.0, np.inf, 0.0]
    assert p.tolist() == [1.0, 0.0, 1.0]


def test_one_side_without_spread_is_a_test_of_the_other_alone():
    values = np.array([[0.2, 0.5, 0.4, 0.9]])
    t, p = welch(values, np.full_like(values, 0.1))
    expected = stats.ttest_1samp(values[0], 0.1)
    assert (t[0], p[0]) == pytest.approx((expected.statistic, expected.pvalue))


@pytest.mark.parametrize(
    ("a", "b"), [([1.0, 2.0], [1.0, 2.0]), ([[1.0]], [[1.0]]), ([[1.0, 2.0]], [[1.0, 2.0, 3.0]])]
)
def test_arrays_that_do_not_fit_are_refused(a, b):
    with pytest.raises(ValueError, match="expected two"):
        welch(a, b)


def test_without_apart_rows_the_ranks_are_the_paired_ones():
    table = np.random.default_rng(3).normal(size=(9, 8)) + np.arange(9)[:, None] / 4
    for better in (True, False):
        expected = significance_ranks(table, higher_is_better=better)
        assert ranks(table, apart=np.zeros((9, 9)), higher_is_better=better) == expected


def test_a_difference_that_only_pairing_sees_does_not_rank_rows_that_stand_apart():
    """Row 1 is row 0 plus .01 in every seed: paired p is 0, Welch's p on paper .97."""
    seeds = np.linspace(0.5, 0.9, 8)
    table = [seeds, seeds + 0.01]
    assert ranks(table, apart=[[0, 0], [0, 0]]) == [2, 1]
    assert ranks(table, apart=[[0, 1], [1, 0]]) == [1, 1]


def test_rows_that_stand_apart_are_ranked_where_their_samples_are_told_apart():
    rng = np.random.default_rng(0)
    table = [0.5 + 0.01 * rng.normal(size=8), 0.9 + 0.01 * rng.normal(size=8)]
    assert ranks(table, apart=[[0, 1], [1, 0]]) == [2, 1]
    assert ranks(table, apart=[[0, 1], [1, 0]], higher_is_better=False) == [1, 2]


def test_holm_is_over_pairs_of_both_kinds():
    """Of three rows, one pair is paired and two are not; all three p (by scipy) are one family."""
    table = np.random.default_rng(11).normal(size=(3, 8)) * 0.2 + np.array([[0.0], [0.15], [0.3]])
    apart = np.array([[0, 0, 1], [0, 0, 1], [1, 1, 0]])
    p = np.array(
        [
            stats.ttest_rel(table[0], table[1]).pvalue,
            stats.ttest_ind(table[0], table[2], equal_var=False).pvalue,
            stats.ttest_ind(table[1], table[2], equal_var=False).pvalue,
        ]
    )
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(p[order] * [3, 2, 1])
    worse = [(0, 1), (0, 2), (1, 2)]  # the pair's lower row where means rise with the row
    assert (np.diff(table.mean(axis=1)) > 0).all()
    for level in (*(adjusted * 1.001), *(adjusted * 0.999)):
        expected = [1, 1, 1]
        for place, value in zip(order, adjusted, strict=True):
            expected[worse[place][0]] += int(value <= level)
        assert ranks(table, apart=apart, level=float(level)) == expected

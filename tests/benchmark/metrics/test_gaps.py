"""Differences of single numbers and of rows' means: arithmetic on paper, NumPy and scipy."""

import numpy as np
import pytest
from scipy import stats

from benchmark.metrics.gaps import gap, row_tests


def test_a_gap_is_described_by_its_quantiles():
    """|Δ| is 0, 1, 2, 3, 10: the 95 % quantile lies at position 3.8, on paper 3 + .8 · 7."""
    found = gap([0, 1, 2, 3, 10], np.array([0, 2, 4, 6, 0]))
    assert (found.n, found.equal, found.median, found.mean, found.max) == (5, 1, 2.0, 3.2, 10.0)
    assert found.q95 == pytest.approx(8.6)


@pytest.mark.parametrize(("a", "b"), [([1.0], [1.0, 2.0]), ([], []), ([np.nan], [1.0])])
def test_sides_that_cannot_be_compared_are_refused(a, b):
    with pytest.raises(ValueError):
        gap(a, b)


def test_rows_are_tested_paired_by_seed_and_adjusted_over_the_rows():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(3, 8))
    sides = {
        "same": (base[0], base[0]),
        "moved": (base[1], base[1] + 1 + 0.1 * rng.normal(size=8)),
        "noisy": (base[2], base[2] + rng.normal(size=8)),
    }
    found = row_tests(sides)
    p = [1.0] + [stats.ttest_rel(*sides[row]).pvalue for row in ("moved", "noisy")]
    assert found["moved"].p_holm == pytest.approx(3 * p[1])
    assert found["noisy"].p_holm == pytest.approx(min(1, 2 * p[2]))
    assert [row for row, test in found.items() if test.differs] == ["moved"]
    assert found["same"].p_holm == 1.0


def test_a_row_of_one_seed_is_not_tested():
    assert row_tests({"one": ([0.1], [0.9])}) == {}

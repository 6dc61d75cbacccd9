"""Intervals of shares against SciPy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from benchmark.metrics.bounds import clopper_pearson, wilson

COUNTS = [(0, 1), (1, 1), (0, 60), (60, 60), (3, 60), (950, 1000)]


@pytest.mark.parametrize(("count", "n"), COUNTS)
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_intervals_are_scipys(count, n, level):
    result = binomtest(count, n)
    for mine, method in (
        (clopper_pearson(count, n, level), "exact"),
        (wilson(count / n, n, level), "wilson"),
    ):
        theirs = result.proportion_ci(level, method)
        assert mine == pytest.approx((count / n, theirs.low, theirs.high), abs=1e-12)


@given(st.floats(0, 1), st.floats(1e-3, 1e9), st.floats(0.01, 0.999))
def test_wilson_holds_its_value_and_stays_a_share(value, effective, level):
    found = wilson(value, effective, level)
    assert 0 <= found.low <= value <= found.high <= 1
    assert found.low < found.high


@pytest.mark.parametrize(
    "call", [lambda: wilson(1.1, 5), lambda: wilson(0.5, 0), lambda: clopper_pearson(3, 2)]
)
def test_what_is_out_of_range_is_refused(call):
    with pytest.raises(ValueError, match="expected"):
        call()


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="n: expected at least one image, got 0"):
        clopper_pearson(0, 0)

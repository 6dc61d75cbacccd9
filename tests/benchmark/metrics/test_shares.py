"""The threshold that keeps a share of ID images, by its definition, and what it accepts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.metrics.detection import fpr95
from benchmark.metrics.shares import accepted_share, keeping


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=50),
    st.integers(1, 100).map(lambda percent: percent / 100),
)
def test_the_threshold_is_the_highest_that_keeps_the_share(scores, keep):
    """By definition: of all scores, the largest one at which at least the share is accepted."""
    percent = round(keep * 100)
    enough = [t for t in scores if 100 * sum(s >= t for s in scores) >= percent * len(scores)]
    assert keeping(scores, keep) == max(enough)


def test_a_share_is_the_decimal_that_is_written():
    """.95 · 20 is 19 images, not 20; .07 · 100 is 7, though 0.07 · 100 in floats is more than 7."""
    assert keeping(np.arange(20), 0.95) == 1
    assert keeping(np.arange(100), 0.07) == 93


def test_ties_are_kept_together():
    scores = [0.0, 0.5, 0.5, 0.5, 1.0]
    assert keeping(scores, 0.4) == 0.5
    assert accepted_share(scores, keeping(scores, 0.4)).value == 0.8


@pytest.mark.parametrize("n", [1, 19, 20, 21, 999])
def test_at_95_percent_it_is_the_threshold_of_the_boards(n):
    rng = np.random.default_rng(n)
    ids, ood = np.round(rng.normal(size=n) + 1, 1), np.round(rng.normal(size=200), 1)
    assert accepted_share(ood, keeping(ids, 0.95)).value == fpr95(ids, ood)


def test_a_score_at_the_threshold_is_accepted():
    assert accepted_share([1.0, 2.0, 3.0], 2.0).value == pytest.approx(2 / 3)
    assert accepted_share([1.0], 2.0).low == 0


@pytest.mark.parametrize("keep", [0, -0.1, 1.01, 95, float("nan")])
def test_a_share_out_of_range_is_refused(keep):
    with pytest.raises(ValueError, match="keep: expected a share above 0"):
        keeping([1.0, 2.0], keep)


def test_scores_that_are_none_are_refused():
    with pytest.raises(ValueError, match="id_scores"):
        keeping([], 0.95)
    with pytest.raises(ValueError, match="scores: expected finite"):
        accepted_share([np.nan], 0.0)
    with pytest.raises(ValueError, match="threshold"):
        accepted_share([1.0], np.inf)

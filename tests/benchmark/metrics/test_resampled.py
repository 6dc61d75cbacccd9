"""FPR@95's bootstrap in closed form against drawing images, and what it is at the edges."""

import numpy as np
import pytest
from scipy import stats

from benchmark.metrics.detection import detection_metrics, fpr95
from benchmark.metrics.resampled import resampled_fpr95


def tied(rng, n):
    return np.round(rng.normal(size=n), 1)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (19, 7), (20, 40), (21, 40), (333, 100)])
def test_values_are_those_of_the_boards(n, m):
    rng = np.random.default_rng(n)
    ids, oods = tied(rng, n) + 1, [tied(rng, m), tied(rng, 2 * m)]
    found = resampled_fpr95(ids, oods, rng)
    assert found.values.tolist() == [detection_metrics(ids, ood).fpr95 for ood in oods]


def test_draws_are_those_of_images_drawn_anew():
    """Images drawn 20,000 times; a two-sample Kolmogorov-Smirnov distance of smoothed shares, 1 / m apart."""
    rng = np.random.default_rng(0)
    ids, ood = rng.normal(size=60) + 1.5, rng.normal(size=400)
    drawn = np.array([fpr95(rng.choice(ids, 60), rng.choice(ood, 400)) for _ in range(20_000)])
    drawn += rng.uniform(-0.5, 0.5, size=drawn.size) / 400  # as fine as the smoothed ones
    found = resampled_fpr95(ids, [ood], rng, 20_000).draws[0]
    assert stats.ks_2samp(drawn, found).statistic < 0.02


def test_sets_share_the_threshold():
    """Two copies of a large set vary together, since their threshold does."""
    rng = np.random.default_rng(1)
    ids, ood = rng.normal(size=100) + 1, rng.normal(size=20_000)
    found = resampled_fpr95(ids, [ood, ood], rng)
    assert np.corrcoef(found.draws)[0, 1] > 0.95
    alone, mean = found.interval((1, 0)), found.interval()
    assert mean.high - mean.low > 0.95 * (alone.high - alone.low)


def test_a_perfect_detector_has_no_interval_of_zero_width():
    found = resampled_fpr95(np.arange(100) + 500.0, [np.arange(60.0)], np.random.default_rng(0)).interval()
    assert (found.value, found.low) == (0.0, 0.0)
    assert 0.02 < found.high < 0.08  # 3 / 60 by the rule of three


def test_a_useless_detector_has_no_interval_of_zero_width():
    found = resampled_fpr95(np.arange(100.0), [np.arange(60) + 500.0], np.random.default_rng(0)).interval()
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.92 < found.low < 0.98


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 50), (50, 1)])
def test_a_single_image_of_a_side(n, m):
    rng = np.random.default_rng(2)
    found = resampled_fpr95(rng.normal(size=n), [rng.normal(size=m)], rng).interval()
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high


def test_the_same_generator_gives_the_same_interval():
    rng = np.random.default_rng(3)
    ids, ood = rng.normal(size=50) + 1, rng.normal(size=50)
    first, again, other = (
        resampled_fpr95(ids, [ood], np.random.default_rng(s)).interval() for s in (7, 7, 8)
    )
    assert first == again
    assert first != other
    assert first == pytest.approx(other, abs=0.05)


@pytest.mark.parametrize(
    ("ids", "oods", "draws", "message"),
    [
        ([], [[1.0]], 4000, "id_scores"),
        ([np.nan], [[1.0]], 4000, "id_scores: expected finite"),
        ([1.0], [[1.0], []], 4000, r"ood_scores\[1\]"),
        ([1.0], [], 4000, "at least one OOD set"),
        ([1.0], [[1.0]], 99, "draws: expected at least 100, got 99"),
    ],
)
def test_bad_input_is_refused(ids, oods, draws, message):
    with pytest.raises(ValueError, match=message):
        resampled_fpr95(ids, oods, np.random.default_rng(0), draws)


def test_bad_weights_and_levels_are_refused():
    found = resampled_fpr95([1.0, 2.0], [[1.0], [0.0]], np.random.default_rng(0))
    with pytest.raises(ValueError, match="weights"):
        found.interval((1.0,))
    with pytest.raises(ValueError, match="level"):
        found.interval(level=95)

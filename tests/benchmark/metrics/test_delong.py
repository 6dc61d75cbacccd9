"""DeLong's intervals against the definition over all pairs, scikit-learn, arithmetic and the bootstrap."""

import time
import tracemalloc

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from benchmark.metrics.delong import delong, effective_images
from benchmark.metrics.detection import detection_metrics


def placements(ids, oods):
    """(n,), (m,): the definition, over all pairs."""
    above = (ids[:, None] > oods) + (ids[:, None] == oods) / 2
    return above.mean(axis=1), above.mean(axis=0)


def tied(rng, *shape):
    return np.round(rng.normal(size=shape), 1)


@pytest.fixture
def scores():
    """Of three detectors: 40 ID images, 25 and 60 OOD images, with ties; the last is upside down."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=40)
    ids = np.round(shared + 0.5 * rng.normal(size=(3, 40)), 1) + np.array([[1.0], [0.7], [-1.0]])
    return ids, [tied(rng, 3, 25), tied(rng, 3, 60)]


def by_definition(ids, oods, weights):
    """Means (D,) and their covariance (D, D), from placements over all pairs."""
    found = [[placements(ids[d], ood[d]) for d in range(len(ids))] for ood in oods]
    means = sum(w * np.array([one[0].mean() for one in of]) for w, of in zip(weights, found, strict=True))
    of_id = sum(w * np.array([one[0] for one in of]) for w, of in zip(weights, found, strict=True))
    covariance = np.cov(of_id) / ids.shape[1]
    for w, of in zip(weights, found, strict=True):
        own = np.array([one[1] for one in of])
        covariance = covariance + w**2 * np.cov(own) / own.shape[1]
    return means, covariance


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.3, 0.7)])
def test_means_and_covariance_are_those_of_the_definition(scores, weights):
    ids, oods = scores
    found = delong(ids, oods)
    means, covariance = by_definition(ids, oods, weights)
    np.testing.assert_allclose(found.means(weights), means, rtol=1e-13)
    np.testing.assert_allclose(found.covariance(weights), covariance, rtol=1e-10, atol=1e-16)


def test_blocks_of_id_images_change_nothing(scores, monkeypatch):
    ids, oods = scores
    whole = delong(ids, oods)
    monkeypatch.setattr("benchmark.metrics.delong.BLOCK", 7)
    np.testing.assert_allclose(delong(ids, oods).id_part, whole.id_part, rtol=1e-12, atol=1e-16)


def test_aurocs_are_those_of_the_boards_and_of_scikit_learn(scores):
    ids, oods = scores
    found = delong(ids, oods).values
    for d, s in np.ndindex(3, 2):
        assert found[d, s] == detection_metrics(ids[d], oods[s][d]).auroc
        labels = np.repeat([1, 0], [40, oods[s].shape[1]])
        assert found[d, s] == pytest.approx(roc_auc_score(labels, np.concatenate([ids[d], oods[s][d]])))


def test_one_detector_needs_no_second_dimension(scores):
    ids, oods = scores
    alone, among = delong(ids[0], [oods[0][0]]), delong(ids, oods)
    assert alone.intervals()[0] == pytest.approx(among.intervals((1, 0))[0], abs=1e-14)


def test_worked_by_hand():
    """ID 1, 3; OOD 2, 2, 0: placements 1/3 and 1; 1/2, 1/2, 1. S² = 2/9 and 1/12; V = 1/9 + 1/36."""
    found = delong([1, 3], [[2, 2, 0]])
    assert found.values[0, 0] == pytest.approx(2 / 3)
    assert found.covariance()[0, 0] == pytest.approx(1 / 9 + 1 / 36)


def test_effective_images_by_hand():
    """θ = 1/2: θ(1 − θ) = 1/4, r = 1/3. One side of 4 images with S² = 1/4: (1 + 1/3) / (1 + 1) / 4 = 1/6."""
    assert effective_images(0.5, [(1.0, 0.25, 4)]) == pytest.approx(6)


def test_with_many_images_the_interval_is_delongs():
    rng = np.random.default_rng(1)
    found = delong(rng.normal(size=20_000) + 1, [rng.normal(size=20_000)])
    (auroc, low, high), error = found.intervals()[0], found.covariance()[0, 0] ** 0.5
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=2e-3)
    assert low < auroc < high


def test_a_perfect_detector_has_no_interval_of_zero_width():
    """4 / (1/50 + 1/50) = 100 images without an error: Wilson's bound is 100 / (100 + 1.96²)."""
    found = delong(np.arange(50) + 100.0, [np.arange(50)])
    for turned, expected in (
        (found, (1.0, 100 / (100 + 1.96**2), 1.0)),
        (delong(range(50), [[99.0] * 50]), None),
    ):
        seen = turned.intervals()[0]
        assert seen == pytest.approx(expected or (0.0, 0.0, 1 - 100 / (100 + 1.96**2)), abs=1e-5)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 30), (30, 1), (2, 2)])
def test_a_single_image_of_a_side_gives_a_wide_interval(n, m):
    rng = np.random.default_rng(0)
    value, low, high = delong(rng.normal(size=n) + 1, [rng.normal(size=m)]).intervals()[0]
    assert 0 <= low <= value <= high <= 1
    assert high - low > 0.3


def test_equal_scores_tell_nothing():
    (value, low, high), *_ = delong([1.0] * 30, [[1.0] * 30]).intervals()
    assert value == 0.5
    assert low < 0.5 < high


def test_an_image_counts_once_in_a_mean_over_sets():
    """The same OOD set twice: its images' part halves; that of the ID images stays as it is."""
    rng = np.random.default_rng(2)
    ids, ood = rng.normal(size=50) + 1, rng.normal(size=30)
    once, twice = delong(ids, [ood]), delong(ids, [ood, ood])
    of_id = once.id_part[0, 0, 0, 0] / 50
    assert twice.covariance()[0, 0] == pytest.approx(of_id + once.ood_parts[0, 0, 0] / 30 / 2)


def test_variance_is_about_that_of_the_bootstrap():
    rng = np.random.default_rng(3)
    ids, ood = tied(rng, 80) + 1, tied(rng, 60)
    drawn = [detection_metrics(rng.choice(ids, 80), rng.choice(ood, 60)).auroc for _ in range(3000)]
    assert delong(ids, [ood]).covariance()[0, 0] ** 0.5 == pytest.approx(np.std(drawn), rel=0.06)


def test_differences_are_paired_and_use_t(scores):
    ids, oods = scores
    found = delong(ids, oods).difference(0, 1, (1, 0))
    own = [placements(ids[d], oods[0][d]) for d in (0, 1)]
    of_id, of_ood = own[0][0] - own[1][0], own[0][1] - own[1][1]
    terms = of_id.var(ddof=1) / 40, of_ood.var(ddof=1) / 25
    freedom = sum(terms) ** 2 / (terms[0] ** 2 / 39 + terms[1] ** 2 / 24)
    error = sum(terms) ** 0.5
    assert found.standard_error == pytest.approx(error)
    assert found.value == pytest.approx(of_id.mean())
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, freedom) * error)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(of_id.mean()) / error, freedom))


def test_a_difference_turned_round_is_its_negative(scores):
    table = delong(*scores)
    there, back = table.difference(0, 2), table.difference(2, 0)
    assert (back.value, back.low, back.high, back.p) == pytest.approx(
        (-there.value, -there.high, -there.low, there.p)
    )


def test_p_and_interval_agree():
    rng = np.random.default_rng(4)
    table = delong(
        rng.normal(size=(12, 60)) + rng.uniform(0.5, 1.5, size=(12, 1)), [rng.normal(size=(12, 60))]
    )
    pairs = [(a, b) for a in range(12) for b in range(a)]
    found = table.differences(pairs)
    assert 0 < sum(one.p < 0.05 for one in found) < len(found)
    assert all((one.p < 0.05) == (one.low > 0 or one.high < 0) for one in found)


def test_detectors_that_rank_alike_do_not_differ(scores):
    ids, oods = scores
    table = delong(np.stack([ids[0], 3 * ids[0] + 1]), [np.stack([ood[0], 3 * ood[0] + 1]) for ood in oods])
    assert table.difference(0, 1) == (0.0, 0.0, 0.0, 0.0, 1.0)


def test_perfect_detectors_differ_by_no_more_than_their_intervals():
    rng = np.random.default_rng(5)
    ids, ood = rng.uniform(size=(2, 50)) + 1, rng.uniform(size=(2, 50))
    equal = delong(ids, [ood]).difference(0, 1)
    assert (equal.value, equal.p) == (0.0, 1.0)
    assert -0.1 < equal.low < -0.03
    assert equal.high == -equal.low
    ids[1] -= 5
    apart = delong(ids, [ood]).difference(0, 1)
    assert apart.value == 1.0
    assert 0.9 < apart.low < 1.0
    assert 0 < apart.p < 1e-6


@pytest.mark.long
def test_a_million_scores_take_seconds_and_little_memory():
    rng = np.random.default_rng(6)
    ids, ood = rng.normal(size=1_000_000) + 1, rng.normal(size=1_000_000)
    tracemalloc.start()
    start = time.perf_counter()
    delong(ids, [ood])
    seconds, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 30
    assert peak < 30 * 8 * 1_000_000


@pytest.mark.parametrize(
    ("ids", "oods", "message"),
    [
        ([], [[1.0]], "id_scores"),
        ([1.0], [], "at least one OOD set"),
        ([1.0], [[]], r"ood_scores\[0\]"),
        ([1.0, np.nan], [[1.0]], "id_scores: expected finite"),
        ([1.0], [[1.0], [np.inf]], r"ood_scores\[1\]: expected finite"),
        ([[1.0], [2.0]], [[[1.0]]], r"ood_scores\[0\]: expected scores of 2 detectors"),
        ([[[1.0]]], [[1.0]], "id_scores"),
        (["a"], [[1.0]], "id_scores"),
    ],
)
def test_bad_scores_are_refused_by_name(ids, oods, message):
    with pytest.raises(ValueError, match=message):
        delong(ids, oods)


@pytest.mark.parametrize("weights", [(1.0,), (0.5, 0.6), (1.5, -0.5), (np.nan, 1.0)])
def test_bad_weights_are_refused(scores, weights):
    with pytest.raises(ValueError, match="weights"):
        delong(*scores).means(weights)


def test_a_bad_level_or_detector_is_refused(scores):
    with pytest.raises(ValueError, match="level"):
        delong(*scores).intervals(level=95)
    with pytest.raises(ValueError, match="a: expected a detector from 0 to 2, got 3"):
        delong(*scores).difference(3, 0)

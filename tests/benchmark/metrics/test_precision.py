"""Average precision and its variance: against scikit-learn, numerical slopes, and the bootstrap."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from benchmark.metrics.detection import detection_metrics
from benchmark.metrics.precision import average_precision


def tied(rng, n):
    return np.round(rng.normal(size=n), 1)


@pytest.fixture
def sides():
    rng = np.random.default_rng(0)
    return tied(rng, 45) + 1, [tied(rng, 30), tied(rng, 70)]


@pytest.mark.parametrize("id_positive", [True, False])
def test_values_are_those_of_the_boards(sides, id_positive):
    ids, oods = sides
    found = average_precision(ids, oods, id_positive=id_positive).values
    boards = [detection_metrics(ids, ood) for ood in oods]
    np.testing.assert_allclose(found, [b.aupr_in if id_positive else b.aupr_out for b in boards], rtol=1e-13)


def weighted(ids, ood, w, v, id_positive):
    """Average precision of weighted images, by scikit-learn."""
    labels = np.repeat([id_positive, not id_positive], [ids.size, ood.size])
    scores = np.concatenate([ids, ood]) * (1 if id_positive else -1)
    return average_precision_score(labels, scores, sample_weight=np.concatenate([w, v]))


@pytest.mark.parametrize("id_positive", [True, False])
def test_variance_is_that_of_numerical_slopes(sides, id_positive):
    """Slopes by central differences of scikit-learn's weighted average precision."""
    ids, oods = sides
    found = average_precision(ids, oods, id_positive=id_positive)
    step, by_set = 1e-5, []
    for s, ood in enumerate(oods):
        ones = np.ones(ids.size), np.ones(ood.size)
        slopes = []
        for side in (0, 1):
            own = []
            for i in range(ones[side].size):
                ends = []
                for sign in (1, -1):
                    weights = [ones[0].copy(), ones[1].copy()]
                    weights[side][i] += sign * step
                    ends.append(weighted(ids, ood, *weights, id_positive))
                own.append((ends[0] - ends[1]) / (2 * step) * ones[side].size)
            slopes.append(np.array(own))
        assert found.ood_part[s] == pytest.approx(slopes[1].var(ddof=1), rel=1e-5)
        by_set.append(slopes[0])
    np.testing.assert_allclose(found.id_part, np.cov(by_set), rtol=1e-5)


@pytest.mark.parametrize("id_positive", [True, False])
def test_variance_is_about_that_of_the_bootstrap(id_positive):
    rng = np.random.default_rng(1)
    ids, ood = tied(rng, 150) + 1, tied(rng, 100)
    drawn = []
    for _ in range(2000):
        metrics = detection_metrics(rng.choice(ids, 150), rng.choice(ood, 100))
        drawn.append(metrics.aupr_in if id_positive else metrics.aupr_out)
    found = average_precision(ids, [ood], id_positive=id_positive)
    error = (found.id_part[0, 0] / 150 + found.ood_part[0] / 100) ** 0.5
    assert error == pytest.approx(np.std(drawn), rel=0.08)


def test_perfect_detectors_and_single_images_have_an_interval():
    perfect = average_precision(np.arange(50) + 100.0, [np.arange(50.0)]).interval()
    assert (perfect.value, perfect.high) == (1.0, 1.0)
    assert 0.9 < perfect.low < 0.99
    for n, m in ((1, 1), (1, 20), (20, 1)):
        rng = np.random.default_rng(n)
        for id_positive in (True, False):
            found = average_precision(
                rng.normal(size=n), [rng.normal(size=m)], id_positive=id_positive
            ).interval()
            assert 0 <= found.low <= found.value <= found.high <= 1
            assert found.low < found.high


def test_a_mean_over_sets_shares_the_id_images(sides):
    ids, (ood, _) = sides
    once, twice = average_precision(ids, [ood]), average_precision(ids, [ood, ood])
    np.testing.assert_allclose(twice.id_part, np.full((2, 2), once.id_part[0, 0]))
    assert twice.interval((1, 0)) == pytest.approx(once.interval())


@pytest.mark.parametrize(
    ("ids", "oods", "message"),
    [
        ([], [[1.0]], "id_scores"),
        ([1.0], [], "at least one OOD set"),
        ([1.0], [[np.nan]], r"ood_scores\[0\]"),
    ],
)
def test_bad_input_is_refused(ids, oods, message):
    with pytest.raises(ValueError, match=message):
        average_precision(ids, oods)


def test_bad_weights_are_refused(sides):
    with pytest.raises(ValueError, match="weights"):
        average_precision(*sides).interval((0.5, 0.4))

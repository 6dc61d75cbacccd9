"""Calibration where confidences are equal or probabilities vanish (L6, L7; spec/methods.md §6.2, §6.4)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from benchmark.metrics import (
    calibration_metrics,
    fit_temperature,
    mad_calibration,
    reliability,
    rms_calibration,
)

EXACT = {"rel": 1e-12, "abs": 1e-12}
METRICS = [rms_calibration, mad_calibration]


@pytest.mark.parametrize(
    ("logits", "labels", "expected"),
    [
        ([[40.0, 0.0]], [1], 40.0),  # on paper: log(1 + e⁻⁴⁰) + 40
        ([[1000.0, 0.0], [0.0, 0.0]], [1, 0], (1000 + math.log(2)) / 2),
        ([[40.0, 0.0]], [0], math.log1p(math.exp(-40.0))),
    ],
)
def test_l6_nll_of_logits_has_no_limit(logits, labels, expected) -> None:
    assert calibration_metrics(logits, labels).nll == pytest.approx(expected, **EXACT)


def test_l6_nll_at_a_temperature_is_that_of_the_divided_logits() -> None:
    logits, labels = [[900.0, 0.0, 300.0], [1.0, 2.0, 0.0]], [1, 2]
    expected = -special.log_softmax(np.divide(logits, 3.0), axis=1)[[0, 1], labels].mean()
    assert calibration_metrics(logits, labels, 3.0).nll == pytest.approx(expected, **EXACT)


def test_l6_nll_is_that_of_the_fitted_temperature() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 60, (50, 4)), rng.integers(0, 4, 50)  # wrong by up to 200 nats
    fitted = fit_temperature(logits, labels)
    assert calibration_metrics(logits, labels).nll == pytest.approx(fitted.nll_before, **EXACT)
    assert calibration_metrics(logits, labels, fitted.value).nll == pytest.approx(fitted.nll_after, **EXACT)
    assert fitted.nll_before > 12 * math.log(10)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("correct", [np.repeat([0, 1], 100), np.repeat([1, 0], 100), np.tile([0, 1], 100)])
def test_l7_equal_confidences_are_one_bin(metric, correct) -> None:
    assert metric([0.5] * 200, correct) == 0.0  # half of them are right


@pytest.mark.parametrize("metric", METRICS)
def test_l7_the_order_of_the_samples_is_no_matter(metric) -> None:
    rng = np.random.default_rng(0)
    confidence = rng.integers(1, 21, 3000) / 20  # runs of some 150, and bins of 100
    correct = rng.random(3000) < confidence**2
    turns = [rng.permutation(3000) for _ in range(5)] + [np.argsort(correct), np.argsort(~correct)]
    found = {metric(confidence[turn], correct[turn]) for turn in turns}
    assert len(found) == 1
    assert min(found) > 0.1  # by design far from calibrated


def test_l7_a_boundary_among_equal_ones_moves_to_their_end() -> None:
    # By threes the boundaries are before the fourth and the seventh; the run of .6 ends before the sixth.
    confidence = [0.5, 0.5, 0.6, 0.6, 0.6, 0.7, 0.8, 0.9, 0.95]
    correct = [1, 0, 1, 1, 0, 1, 0, 1, 1]
    got = reliability(confidence, correct, adaptive=True, bin_size=3)
    assert got.count.tolist() == [5, 1, 3]
    assert got.lower.tolist() == [0.5, 0.7, 0.8]
    assert got.upper.tolist() == [0.6, 0.7, 0.95]
    np.testing.assert_allclose(got.accuracy, [3 / 5, 1, 2 / 3], rtol=0, atol=1e-12)
    gaps = np.array([3 / 5 - 0.56, 1 - 0.7, 2 / 3 - 2.65 / 3])
    assert mad_calibration(confidence, correct, 3) == pytest.approx(
        float(np.sum([5 / 9, 1 / 9, 3 / 9] * np.abs(gaps))), **EXACT
    )


def test_l7_boundaries_that_meet_are_one() -> None:
    got = reliability([0.4] + [0.5] * 7 + [0.9], [1] * 9, adaptive=True, bin_size=3)
    assert got.count.tolist() == [8, 1]
    got = reliability([0.4] + [0.9] * 8, [1] * 9, adaptive=True, bin_size=3)
    assert got.count.tolist() == [9]

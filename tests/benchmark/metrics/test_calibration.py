"""Calibration metrics against spec/methods.md §6, scikit-learn, scipy, and arithmetic on paper.

Unrounded numbers are those of spec/worked_examples.json (keys cal.*, ts.*; inputs T1 and T3).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special
from sklearn.metrics import accuracy_score, log_loss

from benchmark.metrics import (
    brier,
    calibration_metrics,
    ece,
    fit_temperature,
    mad_calibration,
    nll,
    reliability,
    rms_calibration,
    soft_f1,
    softmax,
)

EXACT = {"rel": 1e-12, "abs": 1e-12}

CONFIDENCE = [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5]  # T3
CORRECT = [1, 1, 1, 0, 1, 1, 0, 1, 0, 0]

LOGITS = [[2, 0.5, -1], [0.2, 0.1, 0]]  # T1
LABELS = [0, 2]

TS_LOGITS = [[3, 1, 0], [0.5, 2.5, 0], [2, 1.9, 0], [4, 0, 0], [0, 3, 1], [2.5, 0, 0.5]]  # §6.6
TS_LABELS = [0, 1, 1, 0, 2, 0]


def random_logits(n: int = 400, k: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    return rng.normal(0, 2, (n, k)) + 2 * np.eye(k)[labels], labels


@pytest.mark.parametrize(
    ("bins", "expected"),
    [(15, 0.24500000000000005), (5, 0.18499999999999997)],
)
def test_ece_worked_example(bins: int, expected: float) -> None:
    assert ece(CONFIDENCE, CORRECT, bins) == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize(
    ("bin_size", "legacy", "rms", "mad"),
    [
        (5, False, 0.14577379737113247, 0.12499999999999994),
        (5, True, 0.14142135623730948, 0.09999999999999998),
        (3, False, 0.14375905768565214, 0.12500000000000003),
        (3, True, 0.12006942436218582, 0.07500000000000002),
    ],
)
def test_adaptive_bins_worked_example(bin_size: int, legacy: bool, rms: float, mad: float) -> None:
    assert rms_calibration(CONFIDENCE, CORRECT, bin_size, legacy) == pytest.approx(rms, **EXACT)
    assert mad_calibration(CONFIDENCE, CORRECT, bin_size, legacy) == pytest.approx(mad, **EXACT)


def test_the_root_is_outside_the_sum() -> None:  # claim C-G1
    assert rms_calibration(CONFIDENCE, CORRECT, 5) > mad_calibration(CONFIDENCE, CORRECT, 5) + 0.02


def test_legacy_drops_an_only_bin_and_needs_one() -> None:
    assert rms_calibration(CONFIDENCE, CORRECT, 10, legacy=True) == 0.0
    for metric in (rms_calibration, mad_calibration):
        with pytest.raises(ValueError, match="legacy: expected at least bin_size = 11 samples, got 10"):
            metric(CONFIDENCE, CORRECT, 11, legacy=True)


def test_fewer_samples_than_a_bin_make_one_bin() -> None:
    # On paper: |mean correct − mean confidence| = |.6 − .725|
    assert rms_calibration(CONFIDENCE, CORRECT) == pytest.approx(0.125, **EXACT)
    assert mad_calibration(CONFIDENCE, CORRECT) == pytest.approx(0.125, **EXACT)


def test_bin_edges_belong_below() -> None:
    # §6.1: ((m−1)/M, m/M], 0 in the first bin; .6 and .8 are edges of M = 5, and c = 1 is counted.
    got = reliability([0.0, 0.2, 0.6, 0.8, 1.0, 0.8000001], [1, 0, 1, 0, 1, 1], bins=5)
    assert got.count.tolist() == [2, 0, 1, 1, 2]
    np.testing.assert_allclose(got.lower, [0, 0.2, 0.4, 0.6, 0.8], rtol=0, atol=1e-12)
    np.testing.assert_allclose(got.upper, [0.2, 0.4, 0.6, 0.8, 1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(got.accuracy, [0.5, math.nan, 1, 0, 1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(got.confidence, [0.1, math.nan, 0.6, 0.8, 0.90000005], rtol=0, atol=1e-12)


def test_rounding_does_not_move_an_edge() -> None:
    assert 0.07 * 100 > 7  # in floating point; .07 is the upper edge of bin 7 of 100
    assert reliability([0.07], [1], bins=100).count[6] == 1


def test_adaptive_bins_span_their_samples() -> None:
    # T3 by threes: [.5 .55 .6] [.65 .7 .75] [.8 .85 .9 .95]
    got = reliability(CONFIDENCE, CORRECT, adaptive=True, bin_size=3)
    assert got.count.tolist() == [3, 3, 4]
    assert got.lower.tolist() == [0.5, 0.65, 0.8]
    assert got.upper.tolist() == [0.6, 0.75, 0.95]
    np.testing.assert_allclose(got.confidence, [0.55, 0.7, 0.875], rtol=0, atol=1e-12)
    np.testing.assert_allclose(got.accuracy, [1 / 3, 2 / 3, 3 / 4], rtol=0, atol=1e-12)


def test_legacy_cuts_through_ties_in_their_order() -> None:
    # A stable sort leaves tied samples as they came; an unstable one of many samples does not.
    correct = np.random.default_rng(0).integers(0, 2, 400)
    confidence = np.tile([0.6, 0.5], 200)
    accuracy = np.concatenate([correct[1::2], correct[0::2]]).reshape(8, 50).mean(axis=1)
    gaps = (accuracy - np.repeat([0.5, 0.6], 4))[:7]  # without the last bin
    assert mad_calibration(confidence, correct, 50, legacy=True) == pytest.approx(
        np.abs(gaps).sum() / 8, **EXACT
    )
    assert rms_calibration(confidence, correct, 50, legacy=True) == pytest.approx(
        math.sqrt((gaps**2).sum() / 8), **EXACT
    )


@given(
    samples=st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50),
    bins=st.integers(1, 20),
)
@settings(deadline=None)
def test_calibration_errors_are_bounded_and_ordered(samples: list[tuple[float, bool]], bins: int) -> None:
    confidence, correct = zip(*samples, strict=True)
    overall = abs(np.mean(confidence) - np.mean(correct))
    for adaptive in (False, True):
        binned = reliability(confidence, correct, bins, adaptive, bin_size=bins)
        assert binned.count.sum() == len(samples)
    # Jensen: |overall gap| ≤ mean |gap| ≤ root mean square gap ≤ 1
    mad, rms = mad_calibration(confidence, correct, bins), rms_calibration(confidence, correct, bins)
    assert overall - 1e-12 <= mad <= rms + 1e-12 <= 1 + 2e-12
    assert overall - 1e-12 <= ece(confidence, correct, bins) <= 1 + 1e-12
    assert ece(confidence, correct, 1) == pytest.approx(overall, **EXACT)


def test_probability_scores_worked_example() -> None:
    p = softmax(LOGITS)
    expected = [
        [0.7855970345892759, 0.1752903921400367, 0.039112573270687456],
        [0.3671654011109255, 0.3322249935333472, 0.3006096053557273],
    ]
    np.testing.assert_allclose(p, expected, rtol=1e-12)
    assert brier(p, LABELS) == pytest.approx(0.406277974381613, **EXACT)
    assert nll(p, LABELS) == pytest.approx(0.7216270724432007, **EXACT)


def test_probability_scores_equal_scikit_learn() -> None:
    logits, labels = random_logits()
    p = softmax(logits)
    assert nll(p, labels) == pytest.approx(log_loss(labels, p), **EXACT)
    one_hot = np.eye(7)[labels]
    assert brier(p, labels) == pytest.approx(float(((p - one_hot) ** 2).sum(axis=1).mean()), **EXACT)
    binary = np.array([[0.3, 0.7], [0.9, 0.1]])  # (.49 + .49 + .01 + .01) / 2 for labels 0, 0
    assert brier(binary, [0, 0]) == pytest.approx(0.5, **EXACT)


def test_nll_is_clipped_at_1e_12() -> None:
    assert nll([[1.0, 0.0]], [1]) == pytest.approx(12 * math.log(10), **EXACT)
    assert nll([[1.0, 0.0]], [0]) == 0.0


def test_brier_extremes() -> None:
    assert brier([[1.0, 0.0]], [0]) == 0.0
    assert brier([[1.0, 0.0]], [1]) == 2.0


def test_soft_f1() -> None:
    assert soft_f1(CONFIDENCE, CORRECT) == pytest.approx(0.4444444444444444, **EXACT)  # cal.softf1
    assert soft_f1([1.0, 0.0], [1, 0]) == 1.0
    assert soft_f1([1.0, 1.0], [1, 1]) == 0.0


@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.0, 1000.0])
def test_softmax_equals_scipy(temperature: float) -> None:
    logits, _ = random_logits()
    expected = special.softmax(logits / temperature, axis=1)
    np.testing.assert_allclose(softmax(logits, temperature), expected, rtol=1e-12, atol=1e-300)


def test_softmax_of_float32_is_float64() -> None:
    logits, _ = random_logits()
    got = softmax(logits.astype(np.float32))
    assert got.dtype == np.float64
    np.testing.assert_allclose(got.sum(axis=1), 1, rtol=1e-14)


def test_softmax_of_huge_logits() -> None:
    assert softmax([[1e308, -1e308, 1e308]], 0.1).tolist() == [[0.5, 0, 0.5]]


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_temperature_is_positive(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature: expected a positive finite number, got"):
        softmax(LOGITS, temperature)


def test_fit_temperature_worked_example() -> (
    None
):  # ts.T, ts.nll_before, ts.nll_after; T is found to about 1e-8
    got = fit_temperature(TS_LOGITS, TS_LABELS)
    assert got.value == pytest.approx(1.080600820525598, rel=1e-7)
    assert got.nll_before == pytest.approx(0.5970284990765726, **EXACT)
    assert got.nll_after == pytest.approx(0.5951767674704772, **EXACT)
    assert not got.at_bound


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_fit_temperature_is_where_the_slope_vanishes(scale: float) -> None:
    # dNLL/d(1/T) = mean(E_p z − z_y); a root of it found independently
    logits, labels = random_logits()
    logits = scale * logits

    def slope(inverse: float) -> float:
        p = special.softmax(inverse * logits, axis=1)
        return float(np.mean((p * logits).sum(axis=1) - logits[np.arange(len(labels)), labels]))

    expected = 1 / optimize.brentq(slope, 1 / 20, 20, xtol=1e-14)
    got = fit_temperature(logits, labels)
    assert got.value == pytest.approx(expected, rel=1e-6)
    assert not got.at_bound
    assert got.nll_after == pytest.approx(nll(softmax(logits, got.value), labels), **EXACT)
    assert got.nll_after < got.nll_before


@pytest.mark.parametrize(
    ("logits", "labels", "value"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], [0, 1], 0.05),  # all right: the colder the better
        ([[1.0, 0.0], [0.0, 1.0]], [1, 0], 20.0),  # all wrong: the hotter the better
    ],
)
def test_fit_temperature_reports_a_bound(logits: list[list[float]], labels: list[int], value: float) -> None:
    got = fit_temperature(logits, labels)
    assert (got.value, got.at_bound) == (value, True)
    assert got.nll_after == pytest.approx(nll(softmax(logits, value), labels), **EXACT)


@pytest.mark.parametrize("logits", [[[2.0, 2.0], [5.0, 5.0]], [[0.0, 1e5], [0.0, 1e5]]])
def test_fit_temperature_stays_at_one_when_no_other_is_better(logits: list[list[float]]) -> None:
    got = fit_temperature(logits, [1, 1])
    assert (got.value, got.at_bound, got.nll_after) == (1.0, False, got.nll_before)


def test_fit_temperature_rejects_a_row_beyond_float64() -> None:
    with pytest.raises(ValueError, match="logits: expected each row to span at most 1e300"):
        fit_temperature([[1e308, -1e308]], [0])


def test_calibration_metrics_are_the_single_metrics() -> None:
    logits, labels = random_logits()
    for temperature in (1.0, 2.5):
        p = special.softmax(logits / temperature, axis=1)
        confidence, correct = p.max(axis=1), p.argmax(axis=1) == labels
        got = calibration_metrics(logits, labels, temperature)
        assert got.accuracy == accuracy_score(labels, p.argmax(axis=1))
        assert got.nll == pytest.approx(log_loss(labels, p), **EXACT)
        assert got.brier == pytest.approx(brier(p, labels), **EXACT)
        assert got.ece == pytest.approx(ece(confidence, correct, 15), **EXACT)
        assert got.rms_calibration == pytest.approx(rms_calibration(confidence, correct, 100), **EXACT)
        assert got.mad_calibration == pytest.approx(mad_calibration(confidence, correct, 100), **EXACT)


def test_lowest_class_wins_a_tied_prediction() -> None:
    assert calibration_metrics([[1.0, 1.0, 0.0]] * 2, [0, 1]).accuracy == 0.5
    # Probabilities tie where logits do not: the prediction is the larger logit.
    assert calibration_metrics([[0.0, 1e-17]], [1]).accuracy == 1.0


CONFIDENCE_METRICS = [ece, rms_calibration, mad_calibration, soft_f1, reliability]


@pytest.mark.parametrize("metric", CONFIDENCE_METRICS)
@pytest.mark.parametrize(
    ("confidence", "correct", "message"),
    [
        ([], [], "confidence: expected a non-empty 1-D array"),
        ([[0.5]], [[1]], r"confidence: expected a non-empty 1-D array .* got shape \(1, 1\)"),
        ([0.5, math.nan], [1, 0], "confidence: expected finite numbers, got 1 non-finite of 2"),
        ([0.5, 0.6], [1, math.nan], "correct: expected finite numbers, got 1 non-finite of 2"),
        ([0.5, 0.6], [1], "correct: expected one for each of 2 confidences, got 1"),
        ([0.5, 1.01], [1, 0], r"confidence: expected numbers in \[0, 1\], got 0\.5 to 1\.01"),
        ([0.5, -0.01], [1, 0], r"confidence: expected numbers in \[0, 1\], got -0\.01 to 0\.5"),
        ([0.5, 0.6], [1, 2], r"correct: expected only 0 and 1, got 2\.0"),
    ],
)
def test_bad_confidences_are_named(metric: object, confidence: list, correct: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric(confidence, correct)


def test_bins_are_positive() -> None:
    with pytest.raises(ValueError, match=r"^bins: expected at least 1, got 0"):
        ece(CONFIDENCE, CORRECT, bins=0)
    with pytest.raises(ValueError, match=r"^bin_size: expected at least 1, got -1"):
        rms_calibration(CONFIDENCE, CORRECT, bin_size=-1)


LABEL_METRICS = {
    "brier": (brier, "probabilities"),
    "nll": (nll, "probabilities"),
    "fit_temperature": (fit_temperature, "logits"),
    "calibration_metrics": (calibration_metrics, "logits"),
}


@pytest.mark.parametrize("name", LABEL_METRICS)
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0], r"labels: expected 2 integers, got shape \(1,\)"),
        ([[0], [1]], r"labels: expected 2 integers, got shape \(2, 1\)"),
        ([0.0, 1.0], "labels: expected 2 integers, got .* dtype float64"),
        ([0, 3], r"labels: expected classes in \[0, 3\), got 0 to 3"),
        ([-1, 0], r"labels: expected classes in \[0, 3\), got -1 to 0"),
    ],
)
def test_bad_labels_are_named(name: str, labels: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LABEL_METRICS[name][0](np.full((2, 3), 1 / 3), labels)


@pytest.mark.parametrize("name", LABEL_METRICS)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5, 0.5], r"expected a non-empty array of shape \(N, K\), got shape \(2,\)"),
        (np.zeros((0, 3)), r"expected a non-empty array of shape \(N, K\), got shape \(0, 3\)"),
        ([[0.5, math.inf]], "expected finite numbers, got 1 non-finite of 2"),
    ],
)
def test_bad_matrices_are_named(name: str, values: object, message: str) -> None:
    metric, argument = LABEL_METRICS[name]
    with pytest.raises(ValueError, match=f"^{argument}: {message}"):
        metric(values, [0])


@pytest.mark.parametrize("values", [[[0.5, 0.6]], [[1.5, -0.5]]])
@pytest.mark.parametrize("metric", [brier, nll])
def test_logits_are_not_probabilities(metric: object, values: list) -> None:
    with pytest.raises(ValueError, match="probabilities: expected numbers ≥ 0 whose rows sum to 1"):
        metric(values, [0])


def test_a_loss_that_rounds_to_zero_gives_the_bound():
    """Perfect, separable predictions: the loss falls with T down to the bound, and underflows before it."""
    fitted = fit_temperature([[10.0, 0.0], [0.0, 10.0]], [0, 1])
    assert (fitted.value, fitted.at_bound) == (0.05, True)

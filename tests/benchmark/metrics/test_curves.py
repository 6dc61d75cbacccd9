"""Error curves against the worked numbers of spec/methods.md §4.1 and numpy, metrics of imbalanced training
against scikit-learn, and both against arithmetic on paper.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from benchmark.metrics.curves import error_curve_area, error_curve_mean
from benchmark.metrics.imbalance import (
    ImbalanceMetrics,
    imbalance_metrics,
    macro_f1,
    minority_error,
    total_error,
)

EXACT = {"rel": 1e-12, "abs": 1e-12}

STRENGTHS = [i / 10 for i in range(11)]
ERRORS = [e / 100 for e in (5, 7, 9, 11, 14, 18, 24, 33, 48, 70, 90)]  # keys lncurve.* of the spec
both = pytest.mark.parametrize("metric", [error_curve_area, error_curve_mean])


def test_worked_example_of_the_spec():
    assert error_curve_area(STRENGTHS, ERRORS) == pytest.approx(0.2815, **EXACT)
    assert error_curve_mean(STRENGTHS, ERRORS) == pytest.approx(0.2990909090909091, **EXACT)


def test_by_hand():
    assert error_curve_area([0, 1], [0.2, 0.6]) == pytest.approx(0.4, **EXACT)
    # .25 · .1 + .75 · .45, and the mean is (0 + .2 + .7) / 3
    assert error_curve_area([0, 0.25, 1], [0.0, 0.2, 0.7]) == pytest.approx(0.3625, **EXACT)
    assert error_curve_mean([0, 0.25, 1], [0.0, 0.2, 0.7]) == pytest.approx(0.3, **EXACT)


@pytest.mark.parametrize("step", [0.1, 0.2])
def test_steps_as_they_are_written(step):
    strengths = np.arange(0, 1 + step / 2, step)
    assert error_curve_area(strengths, strengths) == pytest.approx(0.5, **EXACT)
    assert error_curve_mean(strengths, strengths) == pytest.approx(0.5, **EXACT)


@given(
    st.lists(st.floats(0.001, 0.999), max_size=12, unique=True),
    st.lists(st.floats(0, 1), min_size=14, max_size=14),
)
@settings(max_examples=60, deadline=None)
def test_as_numpy(inner, errors):
    strengths = [0.0, *sorted(inner), 1.0]
    errors = errors[: len(strengths)]
    assert error_curve_area(strengths, errors) == pytest.approx(np.trapezoid(errors, strengths), **EXACT)
    assert error_curve_mean(strengths, errors) == pytest.approx(np.mean(errors), **EXACT)


def test_the_arguments_are_left_alone():
    p, e = np.array(STRENGTHS), np.array(ERRORS)
    error_curve_area(p, e)
    assert p.tolist() == STRENGTHS
    assert e.tolist() == ERRORS


@both
@pytest.mark.parametrize(
    ("strengths", "errors", "message"),
    [
        ([0.1, 1], [0.1, 0.2], "strengths: expected a range from 0 to 1, got 0.1 to 1"),
        ([0, 0.9], [0.1, 0.2], "strengths: expected a range from 0 to 1, got 0.0 to 0.9"),
        ([0, 0.5, 1.2], [0.1] * 3, "strengths: .* got 0.0 to 1.2"),
        ([1, 0], [0.1, 0.2], "strengths: .* got 1.0 to 0.0"),
        ([0], [0.1], "strengths: .* got 0.0 to 0.0"),
        ([0, 0.6, 0.4, 1], [0.1] * 4, "strengths: expected an ascending order without repeats"),
        ([0, 0.5, 0.5, 1], [0.1] * 4, "strengths: expected an ascending order without repeats"),
        ([0, 1], [0.1], "errors: expected one for each of 2 strengths, got 1"),
        ([0, 1], [5, 90], r"errors: expected shares in \[0, 1\], got 5.0 to 90.0"),
        ([0, 1], [-0.1, 0.5], "errors: expected shares"),
        ([0, 1], [np.nan, 0.5], "errors: expected finite numbers"),
        ([0, np.nan, 1], [0.1] * 3, "strengths: expected finite numbers"),
        ([], [], "strengths: expected a non-empty 1-D array"),
    ],
)
def test_what_is_no_error_curve(metric, strengths, errors, message):
    with pytest.raises(ValueError, match=message):
        metric(strengths, errors)


# Imbalance

# Classes 0 to 3 with a mean of 10 images: 2 and 3 are minorities, 1 has the mean itself.
COUNTS = [20, 10, 7, 3]
LABELS = [0, 0, 1, 1, 2, 2, 2, 3, 3, 3]
PREDICTED = [0, 1, 1, 0, 2, 0, 2, 3, 0, 0]

pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40)


def test_metrics_by_hand():
    found = imbalance_metrics(PREDICTED, LABELS, COUNTS)
    # F1: 2/(2 + 5), 2·1/(2 + 2), 2·2/(3 + 2), 2·1/(3 + 1); hits 1, 1, 2, 1
    f1 = (2 / 7 + 2 / 4 + 4 / 5 + 2 / 4) / 4
    assert found == ImbalanceMetrics(pytest.approx(0.5), pytest.approx(0.5), pytest.approx(f1, **EXACT))


def test_errors_by_hand():
    assert total_error(PREDICTED, LABELS) == 0.5
    assert total_error([0, 0, 0, 0], [0, 0, 0, 1]) == 0.25
    # of classes 2 and 3: one of three, two of three
    assert minority_error(PREDICTED, LABELS, COUNTS) == 0.5
    assert minority_error(PREDICTED, LABELS, [20, 11, 11, 2]) == pytest.approx(2 / 3, **EXACT)
    assert minority_error([0] * 10, LABELS, COUNTS) == 1
    assert minority_error([1, *LABELS[1:]], LABELS, COUNTS) == 0  # an error on a large class


def test_a_class_with_the_mean_is_no_minority():
    assert minority_error([1, 1, 1], [0, 1, 2], [3, 2, 1]) == 1
    assert minority_error([1, 0, 2], [0, 1, 2], [3, 2, 1]) == 0
    # a mean that is no float64: 10 / 3 with counts of 3, 3, 4
    assert minority_error([0, 0, 0], [0, 1, 2], [3, 3, 4]) == 0.5


def test_which_class_is_rare_is_told_by_the_counts_not_by_the_rank():
    assert minority_error([1, 1], [0, 1], [1, 9]) == 1
    assert minority_error([1, 1], [0, 1], [9, 1]) == 0


@given(pairs)
@settings(max_examples=60, deadline=None)
def test_as_scikit_learn(drawn):
    predicted, labels = map(list, zip(*drawn, strict=True))
    f1 = f1_score(labels, predicted, average="macro")
    assert macro_f1(predicted, labels) == pytest.approx(f1, **EXACT)
    assert total_error(predicted, labels) == pytest.approx(1 - accuracy_score(labels, predicted), **EXACT)
    counts = [9, 8, 7, 3, 2, 1]
    rare = [p for p in drawn if p[1] >= 3]
    if rare:
        expected = np.mean([p != y for p, y in rare])
        assert minority_error(predicted, labels, counts) == pytest.approx(expected, **EXACT)


def test_a_class_that_is_never_right_counts():
    assert macro_f1([0, 0], [0, 1]) == pytest.approx((2 / 3 + 0) / 2, **EXACT)
    assert macro_f1([0, 5], [0, 0]) == pytest.approx((2 / 3 + 0) / 2, **EXACT)  # and 1 to 4 do not


def test_perfect():
    assert imbalance_metrics(LABELS, LABELS, COUNTS) == ImbalanceMetrics(0.0, 0.0, 1.0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_any_integers(dtype):
    given = [np.array(values, dtype=dtype) for values in (PREDICTED * 30, LABELS * 30, COUNTS)]
    before = [values.copy() for values in given]
    assert imbalance_metrics(*given) == imbalance_metrics(PREDICTED, LABELS, COUNTS)
    assert all((one == other).all() for one, other in zip(given, before, strict=True))
    assert minority_error([0, 0], [0, 1], np.array([200, 100], dtype=dtype)) == 1  # uint8 would overflow


@pytest.mark.parametrize("metric", [total_error, macro_f1, lambda p, y: minority_error(p, y, COUNTS)])
@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        ([0, 1], [0], "predictions: expected one for each of 1 labels, got 2"),
        ([], [], "predictions: expected a non-empty 1-D array of integers"),
        ([0.0, 1.0], [0, 1], "predictions: expected a non-empty 1-D array of integers, .* float64"),
        ([True, False], [0, 1], "predictions: .* bool"),
        ([0, 1], [[0, 1]], r"labels: .* got shape \(1, 2\)"),
        ([0, -1], [0, 1], "predictions: expected numbers of at least 0, got -1"),
        ([0, 1], [0, -2], "labels: expected numbers of at least 0, got -2"),
    ],
)
def test_predictions_and_labels_are_classes(metric, predictions, labels, message):
    with pytest.raises(ValueError, match=message):
        metric(predictions, labels)


@pytest.mark.parametrize(
    ("predictions", "labels", "counts", "message"),
    [
        ([0, 2], [0, 1], [9, 1], "predictions: expected classes below 2, one a count, got 2"),
        ([0, 1], [0, 2], [9, 1], "labels: expected classes below 2, one a count, got 2"),
        ([0, 1], [0, 1], [5, 5], "counts: expected a class with fewer images than the mean, got a balanced"),
        ([0, 1], [0, 0], [9, 1], r"labels: expected images of minority classes \(1\), got none"),
        ([0, 1], [0, 1], [9, -1], "counts: expected numbers of at least 0, got -1"),
        ([0, 1], [0, 1], [9.5, 1], "counts: expected a non-empty 1-D array of integers"),
    ],
)
def test_counts_are_those_of_the_classes(predictions, labels, counts, message):
    with pytest.raises(ValueError, match=message):
        minority_error(predictions, labels, counts)
    with pytest.raises(ValueError, match=message):
        imbalance_metrics(predictions, labels, counts)

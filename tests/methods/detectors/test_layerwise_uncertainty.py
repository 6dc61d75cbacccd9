"""Layerwise uncertainty against the specification's worked numbers."""

import numpy as np
import pytest
import torch
from detector_examples import HEAD, INPUTS, TRAIN, VALUES
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, HyperparameterError, NotApplicable
from methods.detectors.layerwise_uncertainty import LayerwiseUncertainty
from methods.registry import detector


def uncertain(rows):
    """Rows of the largest logit and the layers' log-variances."""
    rows = tensor(rows)
    return Features(torch.stack([rows[:, 0], rows[:, 0] - 1.0], dim=1), log_variances=rows[:, 1:])


UFEL = INPUTS["ufel"]


@pytest.mark.parametrize(("sign", "key"), [("two_sided", "ufel.two_sided"), ("up", "ufel.z")])
def test_layerwise_uncertainty_of_the_worked_example(sign, key):
    # One deviation below and above the mean: these images have the worked mean and deviation.
    mean, std = np.array(UFEL["mean"]), np.array(UFEL["std"])
    val = uncertain(np.stack([mean - std, mean + std]).tolist())
    fitted = detector("layerwise_uncertainty", sign=sign).fit(val, val, HEAD)
    assert_close(fitted.mean, tensor(UFEL["mean"]), **EXACT)
    assert_close(fitted.deviation, tensor(UFEL["std"]), **EXACT)
    assert_close(fitted.score(uncertain(UFEL["queries"])), tensor(VALUES[key]), rtol=1e-12, atol=1e-11)


def test_a_low_log_variance_is_unusual_on_two_sides_only():
    val = uncertain([[4.0, -1.0], [6.0, 1.0]])
    low = uncertain([[5.0, -3.0]])
    assert LayerwiseUncertainty().fit(val, val, HEAD).score(low).tolist() == [-3.0]
    assert LayerwiseUncertainty(sign="up").fit(val, val, HEAD).score(low).tolist() == [3.0]


def test_layerwise_uncertainty_learns_from_validation_images_alone():
    val, train = uncertain([[4.0, -1.0], [6.0, 1.0]]), uncertain([[0.0, 0.0]])
    assert LayerwiseUncertainty().fit(train, val, HEAD).score(val).tolist() == [-2.0, 0.0]


def test_layerwise_uncertainty_of_a_network_without_variance_heads():
    with pytest.raises(NotApplicable, match="the network has no variance heads"):
        LayerwiseUncertainty().fit(TRAIN, TRAIN, HEAD)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0, 0.1], [1.0, 3.0, 0.2]], "the largest logit is the same"),
        ([[1.0, 2.0, 0.1], [2.0, 3.0, 0.1], [4.0, 3.0, 0.1]], "the log-variance of layer 1 is the same"),
        ([[1.0, 2.0, 0.1]], "the largest logit is the same"),
    ],
)
def test_layerwise_uncertainty_of_what_does_not_vary(rows, message):
    with pytest.raises(NotApplicable, match=message):
        LayerwiseUncertainty().fit(uncertain(rows), uncertain(rows), HEAD)
    with pytest.raises(NotApplicable, match="the largest logit is the same"):
        LayerwiseUncertainty().fit(uncertain(rows), uncertain(rows)[:0], HEAD)


def test_layerwise_uncertainty_refuses_another_sign():
    with pytest.raises(HyperparameterError, match="sign: expected one of 'two_sided', 'up', got 'down'"):
        detector("layerwise_uncertainty", sign="down")
    with pytest.raises(ValueError, match="sign: expected one of two_sided, up, got 'down'"):
        LayerwiseUncertainty(sign="down")

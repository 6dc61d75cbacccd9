"""Temperature scaling against worked numbers and SciPy's minimiser."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from detector_examples import HEAD, VALUES
from logit_examples import CALIBRATION, QUERIES, TRAIN, fit
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, NotApplicable
from methods.detectors.temperature_scaling import TemperatureScaling


def nll(logits, labels, temperature):
    logs = scipy.special.log_softmax(logits / temperature, axis=1)
    return -logs[np.arange(len(labels)), labels].mean()


def test_temperature_of_the_worked_example():
    fitted = fit(TemperatureScaling(), val=CALIBRATION)
    assert math.log(fitted.temperature) == pytest.approx(math.log(VALUES["ts.T"]), abs=1e-8)  # its tolerance
    assert not fitted.at_bound
    logits, labels = CALIBRATION.logits.numpy(), CALIBRATION.labels.numpy()
    assert nll(logits, labels, 1.0) == pytest.approx(VALUES["ts.nll_before"], rel=1e-12)
    assert nll(logits, labels, fitted.temperature) == pytest.approx(VALUES["ts.nll_after"], rel=1e-12)


def test_temperature_scaling_worked_score():
    fitted = TemperatureScaling().with_state(temperature=VALUES["ts.T"], at_bound=False)
    assert_close(fitted.score(QUERIES), tensor(VALUES["ts.msp"]), **EXACT)


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_temperature_has_the_least_loss(scale):
    rng = np.random.default_rng(1)
    labels = rng.integers(5, size=80)
    logits = scale * (rng.normal(size=(80, 5)) + 2 * np.eye(5)[labels])
    fitted = fit(TemperatureScaling(), val=Features(logits, labels=labels))
    assert not fitted.at_bound
    bounds = math.log(0.05), math.log(20)
    search = scipy.optimize.minimize_scalar(
        lambda log_t: nll(logits, labels, math.exp(log_t)), bounds=bounds, method="bounded"
    )
    assert nll(logits, labels, fitted.temperature) <= search.fun * (1 + 1e-14)  # its sum is rounded
    # Twice the logits are calibrated by twice the temperature.
    doubled = fit(TemperatureScaling(), val=Features(2 * logits, labels=labels))
    assert doubled.temperature == pytest.approx(2 * fitted.temperature, rel=1e-10)


@pytest.mark.parametrize(
    ("logits", "labels", "temperature", "at_bound"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], [0, 1], 0.05, True),  # all right: the colder the better
        ([[10.0, 0.0], [0.0, 10.0]], [0, 1], 0.05, True),  # the loss there rounds to zero
        ([[40.0, 0.0], [0.0, 40.0]], [0, 1], 0.05, True),  # and so does its slope
        ([[1.0, 0.0], [0.0, 1.0]], [1, 0], 20.0, True),  # all wrong: the hotter the better
        ([[2.0, 2.0], [5.0, 5.0]], [0, 1], 1.0, False),  # no temperature makes a difference
    ],
)
def test_temperature_at_a_bound(logits, labels, temperature, at_bound):
    fitted = fit(TemperatureScaling(), val=Features(logits, labels=labels))
    assert (fitted.temperature, fitted.at_bound) == (temperature, at_bound)


def test_temperature_is_that_of_validation_images():
    other = Features(-CALIBRATION.logits, labels=CALIBRATION.labels)
    fitted = TemperatureScaling().fit(other, CALIBRATION, HEAD)
    assert fitted.temperature == fit(TemperatureScaling(), CALIBRATION, CALIBRATION).temperature


def test_temperature_without_labels_is_not_applicable():
    with pytest.raises(NotApplicable, match="no labels"):
        fit(TemperatureScaling(), val=QUERIES)


def test_temperature_of_no_image():
    with pytest.raises(ValueError, match="val: the loss of 0 images has slope nan, expected a finite"):
        fit(TemperatureScaling(), val=TRAIN[:0])

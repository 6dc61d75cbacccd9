"""Mahalanobis against the specification's worked numbers and paper arithmetic."""

import math

import numpy as np
import pytest
import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN, VALUES
from stage_examples import GAUSSIAN, IMAGE, MP, Linear
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, HyperparameterError
from methods.detectors._gaussian import Gaussian
from methods.detectors.mahalanobis import Mahalanobis
from methods.registry import detector


def test_mahalanobis_learns_the_statistics_of_the_worked_example():
    fitted = Mahalanobis().fit(TRAIN, TRAIN, HEAD).gaussian
    precision = tensor(np.linalg.pinv(VALUES["maha.cov"]).tolist())
    assert_close(fitted.whitener @ fitted.whitener.T, precision, rtol=1e-12, atol=1e-9)  # entries up to 1e3
    assert fitted.whitener.shape[1] == VALUES["maha.rank"]
    assert_close(fitted.centres, (tensor(VALUES["maha.mu"]) - fitted.origin) @ fitted.whitener, **EXACT)
    squared = ((F1["Q"] - fitted.origin)[:, None] @ fitted.whitener - fitted.centres).square().sum(-1)
    assert_close(squared, tensor(VALUES["maha.d2"]), **EXACT)


def test_mahalanobis_of_a_singular_covariance_is_that_of_its_support():
    # Repeated and constant features add nothing: on the support of Σ the distance is the worked example's.
    def widen(h):
        return torch.cat([h, h, torch.full((len(h), 1), 3.0)], dim=1)

    train = Features(TRAIN.logits, widen(F1["H"]), TRAIN.labels)
    fitted = Mahalanobis().fit(train, train, HEAD)
    assert fitted.gaussian.whitener.shape == (9, 4)
    scores = fitted.score(Features(QUERIES.logits, widen(F1["Q"])))
    assert_close(scores, tensor(VALUES["mahalanobis"]), **EXACT)


def test_mahalanobis_names_the_class_without_images():
    train = TRAIN[TRAIN.labels != 1]
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 3"):
        Mahalanobis().fit(train, train, HEAD)


def test_mahalanobis_of_features_that_do_not_vary():
    train = TRAIN[torch.tensor([0, 3, 6])]
    with pytest.raises(ValueError, match="penultimate: no feature varies within any class"):
        Mahalanobis().fit(train, train, HEAD)


def test_mahalanobis_step_of_the_worked_example():
    network = Linear(MP["A"])
    fitted = Mahalanobis(magnitude=float(MP["m"])).with_state(gaussian=GAUSSIAN)
    score = fitted.score_images(network, IMAGE)
    assert_close(network(IMAGE).penultimate, tensor(VALUES["mp.f"]), **EXACT)
    assert_close(network.gradients[0].flatten(), tensor(VALUES["mp.grad"]), **EXACT)
    assert_close(network.shown[1].flatten(1), tensor(VALUES["mp.x2"]), **EXACT)
    assert_close(score, tensor(VALUES["mp.score"]), **EXACT)


def test_mahalanobis_without_a_step_of_the_worked_example():
    network = Linear(MP["A"])
    fitted = Mahalanobis().with_state(gaussian=GAUSSIAN)
    assert fitted.step == 0
    assert_close(fitted.score_images(network, IMAGE), tensor(VALUES["mp.score0"]), **EXACT)
    assert len(network.shown) == 1
    assert_close(fitted.loss(network(IMAGE)), -tensor(VALUES["mp.score0"]) / 2, **EXACT)


def test_mahalanobis_looks_for_the_nearest_class_again_after_the_step():
    # From 0.4 the step of 0.6 towards the mean at 0 goes beyond it; from 0.6, towards that at 1, beyond that.
    gaussian = Gaussian.of(tensor([[0.0], [1.0]]), torch.eye(1).double(), "x")
    fitted = Mahalanobis(magnitude=0.6).with_state(gaussian=gaussian)
    images = tensor([0.4, 0.6, 0.9]).reshape(3, 1, 1, 1)
    scores = fitted.score_images(lambda x: Features(torch.zeros(len(x), 2), x.flatten(1)), images)
    # -0.2 is 0.2 from the first mean, 1.2 is 0.2 from the second, 1.5 is 0.5 from the second.
    assert_close(scores, -tensor([0.04, 0.04, 0.25]), **EXACT)
    far = Mahalanobis(magnitude=1.4).with_state(gaussian=gaussian)
    crossed = far.score_images(lambda x: Features(torch.zeros(len(x), 2), x.flatten(1)), images[1:2])
    assert_close(crossed, -tensor([1.0]), **EXACT)  # 2.0
    back = far.score_images(lambda x: Features(torch.zeros(len(x), 2), x.flatten(1)), 2.0 + images[:1])
    assert_close(back, tensor([0.0]), **EXACT)  # 2.4 - 1.4 = 1


@pytest.mark.parametrize("name", ["mahalanobis", "mahalanobis_ensemble"])
@pytest.mark.parametrize("magnitude", [-0.1, math.inf, math.nan])
def test_a_magnitude_out_of_range(name, magnitude):
    with pytest.raises(HyperparameterError, match="magnitude: expected a finite number of at least 0, got"):
        detector(name, magnitude=magnitude)

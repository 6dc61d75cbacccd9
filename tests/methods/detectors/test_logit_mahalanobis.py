"""Mahalanobis distances of logits and of probabilities."""

import pytest
import torch
from detector_examples import VALUES
from logit_examples import TRAIN, fit
from worked_examples import tensor

from methods.base import Features
from methods.detectors.logit_mahalanobis import LogitMahalanobis
from methods.detectors.prob_mahalanobis import ProbMahalanobis


@pytest.mark.parametrize(("cls", "key"), [(LogitMahalanobis, "logit_rank"), (ProbMahalanobis, "prob_rank")])
def test_mahalanobis_has_the_rank_of_the_worked_example(cls, key):
    assert fit(cls()).gaussian.whitener.shape == (3, VALUES[key])


def test_mahalanobis_feels_the_scale_of_the_logits_and_the_softmax_its_saturation():
    # Twice as far out along a class: farther in logits, no farther in probabilities.
    far, farther = Features(tensor([[20.0, 0.0, -20.0]])), Features(tensor([[40.0, 0.0, -40.0]]))
    logits, probabilities = fit(LogitMahalanobis()), fit(ProbMahalanobis())
    assert logits.score(farther) < 3 * logits.score(far)
    assert probabilities.score(farther).item() == pytest.approx(probabilities.score(far).item(), rel=1e-6)


@pytest.mark.parametrize("cls", [LogitMahalanobis, ProbMahalanobis])
def test_mahalanobis_names_the_class_without_images(cls):
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 3"):
        fit(cls(), TRAIN[TRAIN.labels != 1])


@pytest.mark.parametrize("cls", [LogitMahalanobis, ProbMahalanobis])
def test_mahalanobis_of_one_image_a_class(cls):
    with pytest.raises(ValueError, match="no feature varies within any class"):
        fit(cls(), TRAIN[torch.tensor([0, 3, 6])])

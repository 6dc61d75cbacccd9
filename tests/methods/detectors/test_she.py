"""SHE against worked numbers and SciPy's distances."""

import numpy as np
import pytest
import torch
from detector_examples import F1, HEAD, TRAIN, VALUES, features
from scipy.spatial.distance import cdist
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features
from methods.detectors.she import SHE


def test_she_patterns_are_of_correctly_classified_images_where_there_are_any():
    patterns = SHE().fit(TRAIN, TRAIN, HEAD).patterns
    assert_close(patterns[:2], tensor(VALUES["she.patterns"][:2]), **EXACT)
    # No image of class 2 is classified correctly: the mean of its three images, where the release has zeros.
    assert_close(patterns[2], tensor([0.4 / 3, 0.4 / 3, 0.1, 0.1]), **EXACT)


def test_she_leaves_out_images_that_are_classified_wrongly():
    wrong = features(tensor([[0.0, 9.0, 0.0, 9.0]]), torch.tensor([0]))
    assert wrong.logits.argmax() == 1
    train = features(torch.cat([F1["H"], wrong.penultimate]), torch.cat([TRAIN.labels, wrong.labels]))
    patterns = SHE().fit(train, train, HEAD).patterns
    assert_close(patterns, SHE().fit(TRAIN, TRAIN, HEAD).patterns, **EXACT)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_she_metrics_are_those_of_scipy(metric):
    fitted = SHE(metric).fit(TRAIN, TRAIN, HEAD)
    rows = np.concatenate([F1["Q"], F1["H"]])
    scores = fitted.score(features(tensor(rows.tolist())))
    predicted = (rows @ F1["W"].numpy().T + F1["b"].numpy()).argmax(axis=1)
    distances = cdist(rows, fitted.patterns.numpy(), metric)[np.arange(len(rows)), predicted]
    expected = 1 - distances if metric == "cosine" else -distances
    assert_close(scores, torch.from_numpy(expected), **EXACT)


def test_she_predicts_the_lowest_of_equal_classes():
    scores = SHE().fit(TRAIN, TRAIN, HEAD).score(Features(tensor([[0.0, 1.0, 1.0]]), F1["Q"][:1]))
    assert_close(scores, F1["Q"][:1] @ tensor(VALUES["she.patterns"][1]), **EXACT)


def test_she_cosine_of_features_that_are_all_zero():
    zeros = features(torch.zeros(1, 4, dtype=torch.float64))
    assert SHE("cosine").fit(TRAIN, TRAIN, HEAD).score(zeros).tolist() == [0.0]


def test_she_names_the_class_without_images():
    train = TRAIN[TRAIN.labels != 1]
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 3"):
        SHE().fit(train, train, HEAD)

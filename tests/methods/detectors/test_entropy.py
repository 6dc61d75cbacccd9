"""Entropy of predictions: the ends of its range."""

import math

import pytest
import torch
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features
from methods.registry import detector


@pytest.mark.parametrize("classes", [2, 10])
def test_entropy_of_the_uniform_and_of_the_certain_prediction(classes):
    logits = torch.zeros(2, classes)
    logits[1, 0] = 1e30
    assert_close(detector("entropy").score(Features(logits)), tensor([-math.log(classes), 0.0]), **EXACT)


def test_entropy_separates_what_the_float64_softmax_ties():
    logits = tensor([[50.0, 0.0], [60.0, 0.0]])
    assert torch.softmax(logits, dim=1).amax(dim=1).tolist() == [1.0, 1.0]
    low, high = detector("entropy").score(Features(logits))
    assert low < high < 0

"""Nearest neighbours of probabilities that are almost certain."""

import math

import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from logit_examples import fit
from worked_examples import tensor

from methods.base import Features
from methods.detectors.prob_knn import ProbKNN


def test_prob_knn_of_probabilities_that_are_almost_certain():
    # 1 - p is exp(-30) and exp(-32): differences of 1e-13, of which inner products would keep nothing.
    fitted = fit(ProbKNN(k=1), Features(tensor([[30.0, 0.0]])))
    expected = -math.sqrt(2) * (scipy.special.expit(-30) - scipy.special.expit(-32))
    score = fitted.score(Features(tensor([[32.0, 0.0]]))).item()
    assert score == pytest.approx(expected, rel=2e-3, abs=0)  # 1 - 9e-14 is kept in steps of 1.1e-16

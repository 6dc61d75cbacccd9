"""Nearest neighbours of logits and of probabilities, against scikit-learn."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
import torch
from logit_examples import QUERIES, fit
from sklearn.neighbors import NearestNeighbors
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, HyperparameterError
from methods.detectors import _nearest
from methods.detectors.logit_knn import LogitKNN
from methods.detectors.prob_knn import ProbKNN


@pytest.mark.parametrize("cls", [LogitKNN, ProbKNN])
def test_knn_agrees_with_scikit_learn_in_blocks_of_any_size(cls, monkeypatch):
    rng = np.random.default_rng(2)
    bank, queries = rng.normal(size=(50, 6)), rng.normal(size=(11, 6))
    spaces = [scipy.special.softmax(rows, axis=1) if cls is ProbKNN else rows for rows in (bank, queries)]
    reference = NearestNeighbors(n_neighbors=7, algorithm="kd_tree").fit(spaces[0]).kneighbors(spaces[1])[0]
    fitted = fit(cls(k=7), Features(bank))
    for distances in (1, 150, 2**24):  # one row at a time, three, all
        monkeypatch.setattr(_nearest, "DISTANCES", distances)
        assert_close(fitted.score(Features(queries)), -torch.from_numpy(reference[:, 6]), **EXACT)


@pytest.mark.parametrize("cls", [LogitKNN, ProbKNN])
def test_knn_takes_the_fiftieth_neighbour(cls):
    # Only 49 images are as the query is; the fiftieth nearest is the other one.
    logits = tensor([[0.0, 0.0]] * 49 + [[math.log(3), 0.0]])  # probabilities 1/2, 1/2 and 3/4, 1/4
    distance = {LogitKNN: math.log(3), ProbKNN: math.sqrt(2) / 4}[cls]
    assert_close(fit(cls(), Features(logits)).score(Features(logits[:1])), tensor([-distance]), **EXACT)


@pytest.mark.parametrize("cls", [LogitKNN, ProbKNN])
def test_knn_refuses_a_k_beyond_the_bank(cls):
    with pytest.raises(HyperparameterError, match=r"k: expected at most .* images, 9, got 10"):
        fit(cls(k=10))
    assert fit(cls(k=9)).score(QUERIES).shape == (3,)

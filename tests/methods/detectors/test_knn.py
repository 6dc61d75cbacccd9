"""KNN against scikit-learn and paper arithmetic."""

import numpy as np
import pytest
import torch
from detector_examples import HEAD, TRAIN, features
from sklearn.neighbors import NearestNeighbors
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, HyperparameterError
from methods.detectors import knn
from methods.detectors.knn import KNN


@pytest.mark.parametrize(
    ("images", "k"), [(1, 1), (120, 1), (150, 2), (250, 2), (5000, 50), (5001, 5), (45000, 45), (50000, 50)]
)
def test_knn_rule_for_k(images, k):
    bank = Features(torch.zeros(images, 1), torch.zeros(images, 1))
    assert KNN().fit(bank, bank, HEAD).used_k == k


def test_knn_agrees_with_scikit_learn_in_blocks_of_any_size(monkeypatch):
    rng = np.random.default_rng(0)
    bank, queries = rng.normal(size=(50, 6)), rng.normal(size=(11, 6))
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (bank, queries)]
    reference = NearestNeighbors(n_neighbors=7, algorithm="brute").fit(unit[0]).kneighbors(unit[1])[0][:, 6]
    train = Features(np.zeros((50, 3)), bank)
    fitted = KNN(k=7).fit(train, train, HEAD)
    for similarities in (1, 150, 2**24):  # one row at a time, three, all
        monkeypatch.setattr(knn, "SIMILARITIES", similarities)
        scores = fitted.score(Features(np.zeros((11, 3)), queries))
        assert_close(scores, -torch.from_numpy(reference), **EXACT)


def test_knn_finds_a_training_image_at_distance_zero():
    assert KNN(k=1).fit(TRAIN, TRAIN, HEAD).score(TRAIN).tolist() == [0.0] * 9


def test_knn_of_features_that_are_all_zero():
    scores = KNN(k=9).fit(TRAIN, TRAIN, HEAD).score(features(torch.zeros(1, 4, dtype=torch.float64)))
    assert_close(scores, tensor([-1.0]), **EXACT)  # from the origin to the unit sphere


def test_knn_refuses_a_k_beyond_the_bank():
    with pytest.raises(HyperparameterError, match=r"k: expected at most .* images, 9, got 10"):
        KNN(k=10).fit(TRAIN, TRAIN, HEAD)

"""k-means against scikit-learn and paper arithmetic."""

import pytest
import torch
from random_rows import blobs, normal, rng
from sklearn.cluster import KMeans
from worked_examples import tensor

from methods.detectors import _kmeans
from methods.detectors._kmeans import kmeans
from methods.detectors._rows import Rows


@pytest.mark.parametrize("seed", range(5))
def test_kmeans_finds_what_scikit_learn_finds(seed):
    h, labels = blobs()
    found = kmeans(Rows(h), 3, rng(seed))
    expected = KMeans(3, n_init=10, random_state=0).fit_predict(h)
    assert len(set(zip(found.tolist(), expected.tolist(), strict=True))) == 3
    assert len(set(zip(found.tolist(), labels.tolist(), strict=True))) == 3


def test_kmeans_ends_where_every_row_is_with_its_nearest_mean():
    h = normal(500, 4)
    found = kmeans(Rows(h), 7, rng())
    means = torch.stack([h[found == k].mean(dim=0) for k in range(7)])
    assert torch.equal(torch.cdist(h, means).argmin(dim=1), found)
    assert torch.equal(kmeans(Rows(h), 7, rng()), found)
    assert not torch.equal(kmeans(Rows(h), 7, rng(1)), found)


def test_kmeans_fills_an_empty_cluster_with_the_farthest_row_that_its_own_can_spare():
    found = _kmeans._without_empty(torch.tensor([0, 0, 3, 0]), tensor([1.0, 4.0, 9.0, 2.0]), 4)
    assert found.tolist() == [0, 1, 3, 2]  # the third row, though farther, is alone

"""The search for nearest neighbours that several detectors share, against scikit-learn and `topk`."""

import pytest
import torch
from detector_examples import HEAD
from random_rows import blobs, normal
from sklearn.neighbors import NearestNeighbors
from torch.testing import assert_close
from worked_examples import EXACT

from methods.base import Features, HyperparameterError
from methods.detectors import _nearest
from methods.detectors._nearest import kth_distance, largest, largest_products
from methods.detectors._rows import Rows
from methods.detectors.knn import KNN
from methods.detectors.nnguide import NNGuide


@pytest.mark.parametrize("search", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("rows", "width", "k"), [(7, 3, 1), (7, 3, 7), (40, 5, 40), (2000, 20, 13), (2000, 2, 1)]
)
def test_kth_distance_is_that_of_scikit_learn(rows, width, k, search):
    bank, queries = normal(rows, width), normal(50, width, seed=1)
    expected = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(bank).kneighbors(queries)[0][:, -1]
    exact = torch.linalg.vector_norm(queries[:, None] - bank, dim=2).kthvalue(k, dim=1).values
    for at_once in (1, 3 * rows, None):
        found = kth_distance(queries, Rows(bank), k, search, at_once)
        assert_close(found, exact, **EXACT)
        assert_close(found, torch.from_numpy(expected), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("apart", [1e-3, 1e-6, 1e-9, 0.0])
@pytest.mark.parametrize("search", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 100, 1500])
def test_kth_distance_among_neighbours_that_float32_cannot_tell_apart(apart, search, k):
    # All lie within `apart` of one point of length 1: float32 rounds their inner products alike.
    centre = torch.nn.functional.normalize(normal(1, 64), dim=1)
    bank, queries = centre + apart * normal(3000, 64, seed=1), centre + apart * normal(20, 64, seed=2)
    exact = torch.linalg.vector_norm(queries[:, None] - bank, dim=2).kthvalue(k, dim=1).values
    found = kth_distance(queries, Rows(bank), k, search)
    assert_close(found, exact, rtol=1e-12, atol=0.0)
    alone = torch.cat([kth_distance(query[None], Rows(bank), k, search) for query in queries])
    assert_close(alone, found, rtol=1e-12, atol=0.0)


def test_a_float32_search_alone_would_not_do():
    # What the test above would not see if float32 told these neighbours apart.
    centre = torch.nn.functional.normalize(normal(1, 64), dim=1)
    bank, query = centre + 1e-6 * normal(3000, 64, seed=1), centre + 1e-6 * normal(1, 64, seed=2)
    found = (query.float() @ bank.float().T).topk(100, dim=1).indices[0, -1]
    exact = torch.linalg.vector_norm(query - bank, dim=1)
    assert abs(float(exact[found] - exact.kthvalue(100).values)) > 1e-9


@pytest.mark.parametrize("search", [torch.float32, torch.float64])
def test_largest_products_are_those_of_all(search):
    bank, queries = 3 * normal(2000, 20), normal(30, 20, seed=1)
    bank[500:900] = bank[500]  # many alike, among the largest of some
    expected = (queries @ bank.T).topk(10, dim=1).values
    for at_once in (1, 6000, None):
        assert_close(largest_products(queries, Rows(bank), 10, search, at_once), expected, **EXACT)
    assert_close(
        largest_products(queries, Rows(bank[:10]), 10, search),
        (queries @ bank[:10].T).topk(10).values,
        **EXACT,
    )


@pytest.mark.parametrize("spread", [1e-4, 1e-7])
def test_largest_products_of_rows_that_float32_cannot_tell_apart(spread):
    bank, queries = 1 + spread * normal(3000, 50), 1 + spread * normal(20, 50, seed=1)
    expected = (queries @ bank.T).topk(10, dim=1).values
    assert_close(largest_products(queries, Rows(bank), 10, torch.float32), expected, rtol=1e-14, atol=0.0)


@pytest.mark.parametrize(("columns", "k"), [(1, 1), (31, 5), (64, 1), (1000, 3), (1003, 15), (1003, 1003)])
def test_largest_is_topk(columns, k):
    values = normal(20, columns).round(decimals=1)  # with ties
    found, where = largest(values, k)
    assert torch.equal(found, values.topk(k, dim=1).values)
    assert torch.equal(values.gather(1, where), found)
    assert all(len(set(row)) == k for row in where.tolist())


@pytest.mark.parametrize(("method", "wide"), [(KNN(k=3), False), (NNGuide(k=3), True)])
def test_neighbours_are_searched_in_float32_whatever_the_features_are(method, wide, monkeypatch):
    seen = []
    name = "largest_products" if wide else "kth_distance"
    module = __import__(type(method).__module__, fromlist=["x"])
    real = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *a: seen.append(a[3]) or real(*a))
    h, labels = blobs(200, width=16)
    train = Features(h[:, :3], h, labels)
    single = Features(h[:, :3].float(), h.float(), labels)
    exact = method.fit(single, single, HEAD).score(
        Features(single.logits.double(), single.penultimate.double())
    )
    assert_close(method.fit(single, single, HEAD).score(single), exact, **EXACT)
    assert_close(method.fit(train, train, HEAD).score(train), exact, rtol=1e-5, atol=1e-5)
    assert set(seen) == {torch.float32}


def test_a_bank_is_not_smaller_than_k():
    with pytest.raises(
        HyperparameterError, match="k: expected at most the number of training images, 9, got 10"
    ):
        _nearest.check_k(10, 9)

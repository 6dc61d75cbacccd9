"""SSD's score against the specification's worked number and slow transcriptions."""

import numpy as np
import pytest
import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN, VALUES
from random_rows import blobs, normal, rng
from torch.testing import assert_close
from worked_examples import tensor

from methods.base import Features, HyperparameterError, NotApplicable
from methods.detectors.ssd_score import SSDScore


def test_ssd_score_worked_example():
    scores = SSDScore().fit(TRAIN, QUERIES, HEAD).score(QUERIES)
    assert_close(scores, tensor(VALUES["ssd_score"]), rtol=1e-10, atol=1e-10)


def test_ssd_score_needs_no_labels_and_no_norm():
    train = Features(TRAIN.logits, torch.arange(1, 10)[:, None] * F1["H"])
    scores = SSDScore().fit(train, train, HEAD).score(Features(QUERIES.logits, 7 * F1["Q"]))
    assert_close(scores, tensor(VALUES["ssd_score"]), rtol=1e-10, atol=1e-10)


def test_ssd_score_of_clusters_is_the_distance_to_the_nearest():
    h, labels = blobs(apart=20.0)
    queries = 5 * normal(40, 3, seed=3)
    scores = (
        SSDScore(clusters=3)
        .fit(Features(h, h), Features(h, h), HEAD, rng())
        .score(Features(queries, queries))
    )
    x, q = (v.numpy() / np.linalg.norm(v, axis=1, keepdims=True) for v in (h, queries))
    mean, std = x.mean(0), x.std(0) + 1e-10
    x, q = (x - mean) / std, (q - mean) / std
    expected = []
    for k in range(3):
        own = x[labels == k]
        inverse = np.linalg.pinv(np.cov(own.T, bias=True), rcond=1e-10, hermitian=True)
        apart = q - own.mean(0)
        expected.append(np.einsum("nd,de,ne->n", apart, inverse, apart))
    assert_close(scores, -torch.from_numpy(np.min(expected, axis=0)), rtol=1e-9, atol=1e-9)


def test_ssd_score_leaves_out_what_does_not_vary_in_training():
    h = torch.cat([normal(50, 3), torch.zeros(50, 1).double()], dim=1)
    query = normal(5, 4, seed=1)
    scores = SSDScore().fit(Features(h, h), Features(h, h), HEAD).score(Features(query, query))
    x, q = (v.numpy() / np.linalg.norm(v, axis=1, keepdims=True) for v in (h, query))
    inverse = np.linalg.inv(np.cov(x[:, :3].T, bias=True))
    apart = q[:, :3] - x[:, :3].mean(0)
    # The fourth feature changes the length alone. Scales cancel, but for the 1e-10 that is added to them.
    assert_close(
        scores, -torch.from_numpy(np.einsum("nd,de,ne->n", apart, inverse, apart)), rtol=1e-8, atol=1e-8
    )


def test_ssd_score_errors():
    h, _ = blobs(each=4)
    same = torch.ones(9, 4).double()
    with pytest.raises(ValueError, match="penultimate: no normalised feature varies"):
        SSDScore().fit(Features(same, same))
    with pytest.raises(ValueError, match=r"rng: the start of 2 clusters is drawn; pass a torch.Generator"):
        SSDScore(clusters=2).fit(TRAIN, TRAIN, HEAD)
    with pytest.raises(
        NotApplicable, match=r"smallest of 4 clusters has \d training images, too few .* 3 features"
    ):
        SSDScore(clusters=4).fit(Features(h, h), rng=rng())
    twice = torch.cat([h[:2]] * 9)
    with pytest.raises(HyperparameterError, match="clusters: there are only 2 different rows for 3 clusters"):
        SSDScore(clusters=3).fit(Features(twice, twice), rng=rng())

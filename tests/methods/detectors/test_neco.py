"""NECO against paper arithmetic, scikit-learn's scaler and PCA, and its limits."""

import math

import numpy as np
import pytest
import torch
from detector_examples import HEAD
from numpy import linalg
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from stage_examples import clustered, normal
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, HyperparameterError, NotApplicable
from methods.detectors.neco import NECO
from methods.registry import detector


def of(rows, logits=None):
    return Features(torch.ones(len(rows), 2) if logits is None else logits, rows)


def fit(rows, **set_to):
    train = of(rows)
    return NECO(**set_to).fit(train, train, HEAD)


def test_neco_on_paper():
    """Features (1, 2) and (-1, -2) three times each, (1, -2) and (-1, 2) once each, moved by (5, 7).

    Their means are (5, 7) and their deviations (1, 2). Standardised they are (1, 1), (-1, -1), (1, -1) and
    (-1, 1), so that the principal axis is (1, 1) / √2. The first query is then (3, 1), of which 4 / √2 lie
    along the axis, of √10 in all: the share is 2 / √5. The second is (1, 1), the third (1, -1).
    """
    same, other = [[1.0, 2], [-1, -2]], [[1.0, -2], [-1, 2]]
    rows = tensor(3 * same + other) + tensor([5.0, 7.0])
    queries = tensor([[8.0, 9.0], [6.0, 9.0], [6.0, 5.0]])
    logits = tensor([[2.0, 3.0], [-4.0, -0.5], [7.0, 1.0]])
    share = tensor([2 / math.sqrt(5), 1.0, 0.0])
    fitted = fit(rows, dim=1)
    assert_close(fitted.origin, tensor([5.0, 7.0]), **EXACT)
    assert_close(fitted.scale, tensor([1.0, 2.0]), **EXACT)
    assert_close(fitted.score(of(queries, logits)), share * tensor([3.0, -0.5, 7.0]), **EXACT)
    assert_close(fit(rows, dim=1, max_logit=False).score(of(queries, logits)), share, **EXACT)


@pytest.mark.parametrize("dim", [1, 3, 5])
@pytest.mark.parametrize("max_logit", [True, False])
def test_neco_is_the_ratio_by_scikit_learn(dim, max_logit):
    rows, queries, logits = clustered()[0] + 3, 5 * normal(30, 6, seed=1), normal(30, 2, seed=2)
    scaler = StandardScaler().fit(rows.numpy())
    pca = PCA(6).fit(scaler.transform(rows.numpy()))
    expected = []
    for query, logit in zip(queries.numpy(), logits.numpy(), strict=True):
        whole = scaler.transform(query[None])
        share = linalg.norm(pca.transform(whole)[0, :dim]) / linalg.norm(whole)
        expected.append(share * logit.max() if max_logit else share)
    scores = fit(rows, dim=dim, max_logit=max_logit).score(of(queries, logits))
    assert_close(scores, tensor(expected), rtol=1e-10, atol=1e-10)


def test_neco_of_features_as_they_are_is_the_formula_of_the_paper():
    rows, queries = clustered()[0] + 3, 5 * normal(30, 6, seed=1)
    axes = PCA(6).fit(rows.numpy()).components_[:2]  # of centred rows
    expected = [linalg.norm(axes @ q) / linalg.norm(q) for q in queries.numpy()]
    fitted = fit(rows, dim=2, standardise=False, max_logit=False)
    assert_close(fitted.score(of(queries)), tensor(expected), rtol=1e-10, atol=1e-10)


def test_neco_of_features_as_they_are_does_not_see_rotations_nor_lengths():
    rows, queries = clustered()[0], normal(30, 6, seed=1)
    rotation = torch.linalg.qr(normal(6, 6, seed=2)).Q
    expected = fit(rows, dim=2, standardise=False).score(of(queries))
    turned = fit(4 * rows @ rotation, dim=2, standardise=False)
    assert_close(turned.score(of(0.5 * queries @ rotation)), expected, rtol=1e-10, atol=1e-10)


def test_neco_of_standardised_features_does_not_see_their_units():
    rows, queries = clustered()[0], normal(30, 6, seed=1)
    unit, shift = torch.logspace(-2, 3, 6).double(), torch.linspace(-5, 5, 6).double()
    expected = fit(rows, dim=3).score(of(queries))
    moved = fit(rows * unit + shift, dim=3).score(of(queries * unit + shift))
    assert_close(moved, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("standardise", [True, False])
def test_neco_is_at_most_the_largest_logit_and_grows_with_the_subspace(standardise):
    rows, queries, logits = clustered()[0], 5 * normal(30, 6, seed=1), normal(30, 2, seed=2).abs()
    by_dim = [fit(rows, dim=d, standardise=standardise).score(of(queries, logits)) for d in range(1, 6)]
    for smaller, larger in zip(by_dim, [*by_dim[1:], logits.amax(dim=1)], strict=True):
        assert (smaller <= larger + 1e-12).all()


@pytest.mark.parametrize(("width", "dim"), [(2, 1), (7, 3), (200, 100), (201, 100), (300, 100)])
def test_neco_takes_the_dimension_of_the_release_unless_there_are_few_features(width, dim):
    assert fit(normal(50, width)).basis.shape == (width, dim)


def test_neco_of_the_mean_itself_is_finite():
    rows = clustered()[0]
    scores = fit(rows).score(of(rows.mean(dim=0, keepdim=True)))
    assert torch.isfinite(scores).all()
    zeros = fit(rows, standardise=False).score(of(torch.zeros(1, 6).double()))
    assert torch.equal(zeros, torch.zeros(1).double())


def test_neco_only_centres_a_feature_that_does_not_vary():
    rows, queries = clustered()[0], normal(30, 6, seed=1)
    rows[:, 4] = 0.1  # whose mean over 200 images is rounded
    queries[:, 4] = 0.1
    others = [0, 1, 2, 3, 5]
    fitted, without = fit(rows, dim=2), fit(rows[:, others], dim=2)
    assert fitted.scale[4] == 1
    share = without.score(of(queries[:, others]))
    assert_close(fitted.score(of(queries)), share, rtol=1e-9, atol=1e-9)
    whole = linalg.norm(StandardScaler().fit(rows[:, others]).transform(queries[:, others]), axis=1)
    queries[:, 4] += 3.0  # which lie outside the subspace
    expected = share * torch.from_numpy(whole / np.sqrt(whole**2 + 9))
    assert_close(fitted.score(of(queries)), expected, rtol=1e-9, atol=1e-9)


def test_neco_of_features_that_do_not_vary():
    with pytest.raises(NotApplicable, match="no feature varies over the training images"):
        fit(torch.full((20, 6), 0.1).double())


def test_neco_of_one_feature():
    with pytest.raises(NotApplicable, match="one feature has no subspace"):
        fit(normal(20, 1))


def test_neco_of_fewer_images_than_features():
    scores = fit(normal(5, 12), dim=6).score(of(normal(30, 12, seed=1)))
    assert torch.isfinite(scores).all()


@pytest.mark.parametrize("dim", [6, 7])
def test_neco_of_a_subspace_that_holds_everything(dim):
    with pytest.raises(
        HyperparameterError, match=f"dim: expected less than the number of features, 6, got {dim}"
    ):
        fit(clustered()[0], dim=dim)


def test_neco_of_a_dimension_out_of_range():
    with pytest.raises(HyperparameterError, match="dim: expected None or at least 1, got 0"):
        detector("neco", dim=0)

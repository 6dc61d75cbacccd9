"""Gaussian mixtures against SciPy and scikit-learn."""

from typing import get_args

import numpy as np
import pytest
import torch
from detector_examples import F1, HEAD, QUERIES, TRAIN
from random_rows import blobs, normal, rng
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture
from torch.testing import assert_close

from methods.base import Features, HyperparameterError, NotApplicable
from methods.detectors import _mixture, gmm
from methods.detectors._kmeans import kmeans
from methods.detectors._rows import Rows
from methods.detectors.gmm import GMM
from methods.detectors.mahalanobis import Mahalanobis


@pytest.mark.parametrize("covariance", get_args(gmm.Covariance))
@pytest.mark.parametrize("shrinkage", [1e-6, 0.5])
def test_gmm_of_classes_is_the_density_of_scipy(covariance, shrinkage):
    h, labels = blobs()
    h, labels = h[:-20], labels[:-20]  # of shares that differ
    h = torch.cat([h, h[labels == 0][:9]])
    labels = torch.cat([labels, torch.zeros(9, dtype=torch.long)])
    train, queries = Features(h[:, :3], h, labels), 4 * normal(30, 3, seed=1)
    fitted = GMM(covariance=covariance, shrinkage=shrinkage).fit(train, train, HEAD)
    own = [h[labels == k].numpy() for k in range(3)]
    tied = sum(np.cov(x.T, bias=True) * len(x) for x in own) / len(h)
    logs = [
        multivariate_normal(
            x.mean(0), (tied if covariance == "tied" else np.cov(x.T, bias=True)) + shrinkage * np.eye(3)
        ).logpdf(queries)
        + np.log(len(x) / len(h))
        for x in own
    ]
    expected = torch.from_numpy(logsumexp(logs, axis=0))
    assert_close(fitted.score(Features(queries, queries)), expected, rtol=1e-10, atol=1e-10)


def test_gmm_of_one_class_ranks_as_mahalanobis():
    h = normal(100, 4)
    train = Features(h[:, :1], h, torch.zeros(100, dtype=torch.long))
    queries = Features(h[:, :1], 3 * normal(100, 4, seed=1))
    density = GMM(shrinkage=0.0).fit(train, train, HEAD).score(queries)
    distance = Mahalanobis().fit(train, train, HEAD).score(queries)
    difference = density - distance / 2
    assert_close(difference, difference[:1].expand(100), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("covariance", get_args(gmm.Covariance))
@pytest.mark.parametrize("components", [1, 3])
def test_gmm_of_components_is_that_of_scikit_learn(covariance, components, monkeypatch):
    monkeypatch.setattr(gmm, "TOLERANCE", 1e-10)
    monkeypatch.setattr(gmm, "ITERATIONS", 2000)
    h, _ = blobs(apart=3.0)  # they overlap, so that shares are not whole
    train = Features(h, h)
    fitted = GMM(components, covariance).fit(train, train, HEAD, rng())
    start = _mixture.Mixture.of(Rows(h), kmeans(Rows(h), components, rng()), covariance == "tied", 1e-6)
    precisions = (start.roots @ start.roots.mT).numpy()
    oracle = GaussianMixture(
        components,
        covariance_type=covariance,
        tol=1e-10,
        max_iter=2000,
        weights_init=start.log_weights.exp().numpy(),
        means_init=start.means.numpy(),
        precisions_init=precisions[0] if covariance == "tied" else precisions,
    ).fit(h)
    queries = 3 * normal(30, 3, seed=1)
    expected = torch.from_numpy(oracle.score_samples(queries.numpy()))
    assert_close(fitted.score(Features(queries, queries)), expected, rtol=1e-6, atol=1e-6)
    assert_close(fitted.mixture.log_weights.exp(), torch.from_numpy(oracle.weights_), rtol=1e-5, atol=1e-5)


def test_gmm_components_gain_likelihood_over_their_start():
    h, _ = blobs(apart=3.0)
    train = Features(h, h)
    start = _mixture.Mixture.of(Rows(h), kmeans(Rows(h), 3, rng()), True, 1e-6)
    before = start.log_densities(h).logsumexp(dim=1).mean()
    assert GMM(3).fit(train, train, HEAD, rng()).score(train).mean() > before


def test_gmm_errors():
    h = torch.cat([F1["H"][:, :3], torch.zeros(9, 1)], dim=1)
    singular = Features(TRAIN.logits, h, TRAIN.labels)
    with pytest.raises(NotApplicable, match="a covariance is singular; a larger shrinkage would do"):
        GMM(shrinkage=0.0).fit(singular, singular, HEAD)
    assert torch.isfinite(GMM().fit(singular, singular, HEAD).score(QUERIES)).all()
    train = TRAIN[TRAIN.labels != 1]
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 3"):
        GMM().fit(train, train, HEAD)
    with pytest.raises(ValueError, match=r"rng: the start of 2 components is drawn; pass a torch.Generator"):
        GMM(components=2).fit(TRAIN, TRAIN, HEAD)
    with pytest.raises(HyperparameterError, match="components: there are only 9 different rows for 10"):
        GMM(components=10).fit(TRAIN, TRAIN, HEAD, rng())

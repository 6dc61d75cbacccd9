"""Detectors and metrics held to scikit-learn, on one world of features that never fire, clusters and a head.

AUROC, average precision and the log-loss are held to it in `tests/benchmark/metrics`, and k-means and
expectation-maximisation in `tests/methods/detectors/test_gmm.py`.
"""

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.covariance import EmpiricalCovariance
from sklearn.decomposition import PCA
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler, normalize
from torch.testing import assert_close

from benchmark.metrics import brier, ece, reliability
from methods.base import Features, Head
from methods.registry import detector

CLASSES, WIDTH, DEAD = 5, 24, 3
TIGHT = {"rtol": 1e-9, "atol": 1e-9}


def made(n, seed, spread=1.0):
    """ReLU features of clusters, of which the last few never fire, with logits and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % CLASSES
    centres = np.random.default_rng(7).normal(1, 1.5, size=(CLASSES, WIDTH))
    mixing = np.random.default_rng(8).normal(size=(WIDTH, WIDTH)) / 3
    h = np.maximum(centres[labels] + spread * rng.normal(size=(n, WIDTH)) @ mixing, 0)
    h[:, -DEAD:] = 0
    return Features(h @ HEAD.weight.numpy().T + HEAD.bias.numpy(), h, labels)


HEAD = Head(0.3 * np.random.default_rng(9).normal(size=(CLASSES, WIDTH)), np.linspace(-1, 1, CLASSES))
TRAIN, VAL = made(1000, 0), made(200, 1)
QUERIES = made(120, 2, spread=2.0)
LABELS = TRAIN.labels.numpy()


def score(name, **hyperparameters):
    fitted = detector(name, **hyperparameters).fit(TRAIN, VAL, HEAD, torch.Generator().manual_seed(0))
    return fitted.score(QUERIES)


def same(found, expected, **tolerance):
    assert found.dtype == torch.float64
    assert found.std() > 1e-6 * found.abs().mean()
    assert_close(found, torch.from_numpy(np.asarray(expected)), **(tolerance or TIGHT))


def space_of(name, features):
    if name.startswith("logit"):
        return features.logits.numpy()
    if name.startswith("prob"):
        return torch.softmax(features.logits, dim=1).numpy()
    return features.penultimate.numpy()


def class_distances(name):
    """Squared distance (N, K) of the queries to every class, by the covariance of the residuals."""
    rows, queries = space_of(name, TRAIN), space_of(name, QUERIES)
    means = np.stack([rows[k == LABELS].mean(axis=0) for k in range(CLASSES)])
    pooled = EmpiricalCovariance(assume_centered=True).fit(rows - means[LABELS])
    return np.stack([pooled.mahalanobis(queries - mean) for mean in means], axis=1)


@pytest.mark.parametrize("name", ["mahalanobis", "logit_mahalanobis", "prob_mahalanobis"])
def test_mahalanobis(name):
    # Features that never fire, and probabilities that sum to 1: scikit-learn takes the pseudo-inverse too.
    same(score(name), -class_distances(name).min(axis=1), rtol=1e-7, atol=1e-7)


def test_relative_mahalanobis():
    background = EmpiricalCovariance().fit(TRAIN.penultimate).mahalanobis(QUERIES.penultimate)
    expected = background - class_distances("relative_mahalanobis").min(axis=1)
    same(score("relative_mahalanobis"), expected, rtol=1e-7, atol=1e-7)


def test_ssd_score_of_one_cluster():
    train, queries = (normalize(f.penultimate.numpy()) for f in (TRAIN, QUERIES))
    scaler = StandardScaler().fit(train)
    scaler.scale_ = np.sqrt(scaler.var_) + 1e-10  # what the method adds
    expected = EmpiricalCovariance().fit(scaler.transform(train)).mahalanobis(scaler.transform(queries))
    same(score("ssd_score", clusters=1), -expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("k", [1, 10, 50])
@pytest.mark.parametrize("name", ["knn", "logit_knn", "prob_knn"])
def test_nearest_neighbours(name, k):
    bank, queries = space_of(name, TRAIN), space_of(name, QUERIES)
    if name == "knn":
        bank, queries = normalize(bank), normalize(queries)
    search = NearestNeighbors(n_neighbors=k, algorithm="kd_tree").fit(bank)
    same(score(name, k=k), -search.kneighbors(queries)[0][:, -1])


def unbiased(features):
    """Features from the origin o of the residual: the least-squares solution of W o + b = 0, by NumPy."""
    weight, bias = HEAD.weight.numpy(), HEAD.bias.numpy()
    origin = np.linalg.lstsq(weight, -bias, rcond=None)[0]
    return features.penultimate.numpy() - origin


def principal(dim):
    """PCA of the training features about the origin: of the rows and their mirror images, whose mean is 0."""
    rows = unbiased(TRAIN)
    return PCA(dim, svd_solver="full").fit(np.concatenate([rows, -rows]))


def left_over(pca, features):
    rows = unbiased(features)
    return np.linalg.norm(rows - pca.inverse_transform(pca.transform(rows)), axis=1)


@pytest.mark.parametrize("dim", [4, WIDTH // 2, WIDTH - DEAD - 1])
def test_residual(dim):
    same(score("residual", dim=dim), -left_over(principal(dim), QUERIES))


@pytest.mark.parametrize("dim", [4, WIDTH // 2])
def test_vim(dim):
    pca = principal(dim)
    alpha = TRAIN.logits.numpy().max(axis=1).mean() / left_over(pca, TRAIN).mean()
    energy = np.logaddexp.reduce(QUERIES.logits.numpy(), axis=1)
    same(score("vim", dim=dim), energy - alpha * left_over(pca, QUERIES))


def test_gmm_with_a_covariance_for_each_class():
    rows, queries = TRAIN.penultimate.numpy(), QUERIES.penultimate.numpy()
    each = [GaussianMixture(1, reg_covar=1e-3).fit(rows[k == LABELS]) for k in range(CLASSES)]
    logs = [np.log((k == LABELS).mean()) + one.score_samples(queries) for k, one in enumerate(each)]
    same(score("gmm", covariance="full", shrinkage=1e-3), np.logaddexp.reduce(logs), rtol=1e-8, atol=1e-8)


def test_gmm_with_one_covariance_for_all():
    rows, queries = TRAIN.penultimate.numpy(), QUERIES.penultimate.numpy()
    oracle = GaussianMixture(CLASSES, covariance_type="tied")
    oracle.weights_ = np.bincount(LABELS) / len(LABELS)
    oracle.means_ = np.stack([rows[k == LABELS].mean(axis=0) for k in range(CLASSES)])
    residuals = EmpiricalCovariance(assume_centered=True).fit(rows - oracle.means_[LABELS])
    oracle.covariances_ = residuals.covariance_ + 1e-3 * np.eye(WIDTH)
    oracle.precisions_cholesky_ = np.linalg.inv(np.linalg.cholesky(oracle.covariances_)).T
    same(score("gmm", covariance="tied", shrinkage=1e-3), oracle.score_samples(queries), rtol=1e-8, atol=1e-8)


def test_temperature_scaling_has_the_least_log_loss():
    rng = torch.Generator().manual_seed(0)
    labels = torch.multinomial(torch.softmax(VAL.logits / 3, dim=1), 1, generator=rng)[:, 0]
    fitted = detector("temperature_scaling").fit(TRAIN, VAL.including(labels=labels), HEAD)

    def loss(t):
        return log_loss(labels.numpy(), torch.softmax(VAL.logits / t, dim=1).numpy())

    assert 2 < fitted.temperature < 4
    assert not fitted.at_bound
    for other in (0.05, 0.5, 0.99, 0.999, 1.001, 1.01, 2, 20):
        assert loss(fitted.temperature) < loss(other * fitted.temperature)


def test_brier_of_two_classes():
    rng = np.random.default_rng(0)
    second, labels = rng.random(500), rng.integers(0, 2, 500)
    found = brier(np.stack([1 - second, second], axis=1), labels)
    assert found == pytest.approx(2 * brier_score_loss(labels, second), rel=1e-12)


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_reliability_and_ece(bins):
    rng = np.random.default_rng(1)
    confidence = rng.beta(5, 2, size=2000)
    correct = rng.random(2000) < confidence**1.5
    accuracy, mean = calibration_curve(correct, confidence, n_bins=bins)
    found = reliability(confidence, correct, bins)
    filled = found.count > 0
    np.testing.assert_allclose(found.accuracy[filled], accuracy, rtol=1e-12)
    np.testing.assert_allclose(found.confidence[filled], mean, rtol=1e-12)
    expected = (found.count[filled] / 2000 * np.abs(accuracy - mean)).sum()
    assert ece(confidence, correct, bins) == pytest.approx(expected, rel=1e-12)
    assert expected > 0.01

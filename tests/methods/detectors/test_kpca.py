"""Kernel PCA against paper arithmetic, a slow transcription, the kernels themselves, and its invariances."""

import itertools
import math

import numpy as np
import pytest
import torch
from detector_examples import HEAD
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import rbf_kernel
from stage_examples import clustered, normal
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, HyperparameterError, NotApplicable
from methods.detectors._rows import Rows
from methods.detectors.kpca import KPCA
from methods.registry import detector

BOTH = pytest.mark.parametrize("kernel", ["cop", "corp"])
ROWS, QUERIES = clustered()[0], 5 * normal(30, 6, seed=1)


def of(rows):
    return Features(torch.zeros(len(rows), 2), rows)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def fit(rows, seed=0, **set_to):
    train = of(rows)
    return KPCA(**set_to).fit(train, train, HEAD, rng(seed))


def test_cop_on_paper():
    """Directions (1, 0), twice, and (3/5, ±4/5): their mean is (4/5, 0).

    From it they are (1/5, 0) and (-1/5, ±4/5), so that the covariance is diag(4/100, 32/100), and the second
    axis alone holds 8/9 of the variance. What is left of a query is how far its first number is from 4/5.
    """
    rows = tensor([[2.0, 0], [7, 0], [3, 4], [0.3, -0.4]])
    queries = tensor([[0.0, 3.0], [-1.0, 0.0], [8.0, 6.0], [0.0, 0.0]])
    fitted = fit(rows, kernel="cop", variance=0.85)
    assert_close(fitted.mean, tensor([0.8, 0.0]), **EXACT)
    assert fitted.kept == 1
    assert_close(fitted.axes.abs(), tensor([[0.0, 1.0], [1.0, 0.0]]), **EXACT)
    assert_close(fitted.score(of(queries)), -tensor([0.8, 1.8, 0.0, 0.8]), **EXACT)


def test_cop_leaves_out_the_last_axis_where_a_share_needs_them_all():
    few, all_but_one = (fit(ROWS, kernel="cop", variance=share) for share in (0.999999, 0.99))
    assert few.kept == all_but_one.kept == 5
    scores = few.score(of(QUERIES))
    assert (scores < 0).all()
    last = PCA(6).fit(direction(ROWS)).components_[5]
    assert_close(scores, -torch.from_numpy((direction(QUERIES) - direction(ROWS).mean(axis=0)) @ last).abs())


def slow_error(train, asked, share):
    """The error of one image at a time, by NumPy's singular values of the mapped training features."""
    mean = train.mean(axis=0)
    _, roots, axes = np.linalg.svd(train - mean)
    variances, kept = roots**2, 1
    while variances[:kept].sum() < share * variances.sum():
        kept += 1
    errors = []
    for f in asked - mean:
        rebuilt = sum((a @ f) * a for a in axes[:kept])
        errors.append(-np.linalg.norm(f - rebuilt))
    return tensor(errors)


def direction(rows):
    return (rows / rows.norm(dim=1, keepdim=True)).numpy()


@pytest.mark.parametrize("share", [0.3, 0.7, 0.85, 0.95])
def test_cop_is_the_slow_transcription(share):
    expected = slow_error(direction(ROWS), direction(QUERIES), share)
    scores = fit(ROWS, kernel="cop", variance=share).score(of(QUERIES))
    assert_close(scores, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("share", "gamma", "count"), [(0.5, 3.0, 12), (0.8, 2.0, 24), (0.7, 0.5, 300)])
def test_corp_is_the_slow_transcription(share, gamma, count):
    fitted = fit(ROWS, kernel="corp", variance=share, gamma=gamma, fourier=count)

    def mapped(rows):
        angles = [[w @ d + u for w, u in zip(frequencies, phases, strict=True)] for d in direction(rows)]
        return math.sqrt(2 / count) * np.cos(np.array(angles))

    generator = rng()
    frequencies = torch.randn(count, 6, generator=generator, dtype=torch.float64).numpy() * math.sqrt(
        2 * gamma
    )
    phases = 2 * math.pi * torch.rand(count, generator=generator, dtype=torch.float64).numpy()
    expected = slow_error(mapped(ROWS), mapped(QUERIES), share)
    assert_close(fitted.score(of(QUERIES)), expected, rtol=1e-9, atol=1e-9)


def test_cop_is_the_error_of_kernel_pca_by_its_matrix():
    """The dual: with the centred kernel matrix of cosines, the error of f is k(f, f) less its projections."""
    train, asked = direction(ROWS), direction(QUERIES)
    mean = train.mean(axis=0)
    values, vectors = np.linalg.eigh((train - mean) @ (train - mean).T)
    fitted = fit(ROWS, kernel="cop", variance=0.8)
    kept = fitted.kept
    cross = (asked - mean) @ (train - mean).T @ vectors[:, -kept:] / np.sqrt(values[-kept:])
    squared = ((asked - mean) ** 2).sum(axis=1) - (cross**2).sum(axis=1)
    assert_close(fitted.score(of(QUERIES)).square(), torch.from_numpy(squared), rtol=1e-9, atol=1e-9)


def test_the_random_features_of_corp_stand_for_the_gaussian_kernel():
    unfitted = KPCA(gamma=1.5, fourier=40_000)
    mapped = unfitted.with_state(**unfitted._drawn(Rows(ROWS), rng()))._map(QUERIES)
    expected = torch.from_numpy(rbf_kernel(direction(QUERIES), gamma=1.5))
    assert_close(mapped @ mapped.T, expected, rtol=0, atol=0.03)  # 1 / √40,000 is a deviation of 0.005


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_kpca_keeps_as_many_axes_as_scikit_learn_for_a_share(share):
    assert fit(ROWS, kernel="cop", variance=share).kept == PCA(share).fit(direction(ROWS)).n_components_


@BOTH
def test_kpca_does_not_see_the_length_of_features(kernel):
    lengths = torch.logspace(-3, 3, len(ROWS), dtype=torch.float64)[:, None]
    expected = fit(ROWS, kernel=kernel).score(of(QUERIES))
    scores = fit(ROWS * lengths, kernel=kernel).score(of(QUERIES * lengths[:30]))
    assert_close(scores, expected, rtol=1e-9, atol=1e-9)


def test_cop_does_not_see_rotations():
    rotation = torch.linalg.qr(normal(6, 6, seed=2)).Q
    expected = fit(ROWS, kernel="cop").score(of(QUERIES))
    scores = fit(ROWS @ rotation, kernel="cop").score(of(QUERIES @ rotation))
    assert_close(scores, expected, rtol=1e-9, atol=1e-9)


def test_kpca_leaves_less_the_more_it_holds():
    shares = [0.1, 0.3, 0.5, 0.7, 0.9]
    scores = [fit(ROWS, fourier=30, variance=share).score(of(QUERIES)) for share in shares]
    for fewer, more in itertools.pairwise(scores):
        assert (more >= fewer - 1e-12).all()


def test_cop_draws_nothing():
    train, generator = of(ROWS), rng()
    state = generator.get_state()
    first = KPCA(kernel="cop").fit(train, train, HEAD, generator).score(of(QUERIES))
    assert torch.equal(generator.get_state(), state)
    assert torch.equal(KPCA(kernel="cop").fit(train).score(of(QUERIES)), first)


def test_corp_draws_only_from_a_generator():
    with pytest.raises(ValueError, match="rng: 12 random Fourier features are drawn; pass a"):
        KPCA().fit(of(ROWS))
    assert torch.equal(fit(ROWS, seed=1).score(of(QUERIES)), fit(ROWS, seed=1).score(of(QUERIES)))
    assert not torch.equal(fit(ROWS, seed=1).score(of(QUERIES)), fit(ROWS, seed=2).score(of(QUERIES)))


@pytest.mark.parametrize("width", [3, 8])
def test_corp_has_twice_as_many_random_features_as_features(width):
    fitted = fit(normal(40, width))
    assert fitted.frequencies.shape == (2 * width, width)
    assert len(fitted.axes) == len(fitted.mean) == 2 * width


@BOTH
def test_kpca_of_features_of_zeros_is_finite(kernel):
    rows = ROWS.clone()
    rows[::17] = 0.0
    assert torch.isfinite(fit(rows, kernel=kernel).score(of(rows))).all()


def test_cop_sees_a_feature_that_never_fired():
    dead = torch.zeros(len(ROWS), 1).double()
    fitted = fit(torch.cat([ROWS, dead], dim=1), kernel="cop", variance=0.8)
    without = torch.cat([QUERIES, dead[:30]], dim=1)
    assert_close(
        fitted.score(of(without)),
        fit(ROWS, kernel="cop", variance=0.8).score(of(QUERIES)),
        rtol=1e-9,
        atol=1e-9,
    )
    # Along the dead axis alone the direction is 1 off, and nothing of the mean is taken off it.
    only = torch.zeros(1, 7).double()
    only[0, 6] = 2.0
    nothing = fitted.score(of(torch.zeros(1, 7).double()))
    assert_close(fitted.score(of(only)), -(1 + nothing.square()).sqrt(), rtol=1e-9, atol=1e-9)


@BOTH
def test_kpca_of_features_that_vary_in_length_alone(kernel):
    rows = torch.linspace(1, 9, 20).double()[:, None] * torch.arange(1.0, 7.0).double()
    with pytest.raises(NotApplicable, match="no direction varies over the training images"):
        fit(rows, kernel=kernel)


@BOTH
def test_kpca_of_fewer_images_than_features(kernel):
    scores = fit(normal(4, 12), kernel=kernel).score(of(normal(30, 12, seed=1)))
    assert torch.isfinite(scores).all()


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("kernel", "rbf", "one of 'cop', 'corp', got 'rbf'"),
        ("variance", 0.0, "None or above 0 and below 1, got 0.0"),
        ("variance", 1.0, "None or above 0 and below 1, got 1.0"),
        ("variance", math.nan, "None or above 0 and below 1, got nan"),
        ("gamma", 0.0, "a finite number above 0, got 0.0"),
        ("gamma", math.inf, "a finite number above 0, got inf"),
        ("fourier", 1, "None or at least 2, got 1"),
    ],
)
def test_kpca_of_a_hyperparameter_out_of_range(key, value, expected):
    with pytest.raises(HyperparameterError, match=rf"^kpca(: |\.){key}: expected {expected}$"):
        detector("kpca", **{key: value})


def test_kpca_of_a_kernel_that_there_is_not():
    with pytest.raises(ValueError, match="kernel: expected one of cop, corp, got 'rbf'"):
        KPCA(kernel="rbf")

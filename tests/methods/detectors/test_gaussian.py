"""The Gaussians that detectors share, against scikit-learn, NumPy and paper arithmetic."""

import numpy as np
import pytest
import torch
from detector_examples import HEAD, TRAIN
from sklearn.covariance import EmpiricalCovariance
from stage_examples import clustered, normal, slow_distances
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.detectors import _gaussian
from methods.detectors._gaussian import Gaussian, NoVariation, class_means, covariance, whitener
from methods.detectors._rows import Rows
from methods.detectors.logit_mahalanobis import LogitMahalanobis
from methods.detectors.mahalanobis import Mahalanobis
from methods.detectors.prob_mahalanobis import ProbMahalanobis
from methods.detectors.relative_mahalanobis import RelativeMahalanobis


@pytest.mark.parametrize("rows_at_once", [1, 7, 4096])
def test_covariance_agrees_with_scikit_learn_in_blocks_of_any_size(rows_at_once, monkeypatch):
    monkeypatch.setattr(_gaussian, "ROWS", rows_at_once)
    rows, labels = clustered(50)
    means = class_means(Rows(rows), labels, 3)
    expected = np.stack([rows[labels == c].numpy().mean(axis=0) for c in range(3)])
    assert_close(means, torch.from_numpy(expected), **EXACT)
    residuals = rows.numpy() - expected[labels.numpy()]
    oracle = EmpiricalCovariance(assume_centered=True).fit(residuals).covariance_
    assert_close(covariance(Rows(rows), labels, means), torch.from_numpy(oracle), **EXACT)


@pytest.mark.parametrize("rows_at_once", [1, 7, 512])
def test_distances_agree_with_numpy_in_blocks_of_any_size(rows_at_once, monkeypatch):
    monkeypatch.setattr(_gaussian, "SCORED", rows_at_once)
    rows, labels = clustered()
    queries = 3 * normal(20, 6, seed=1)
    found = Gaussian.fit(Rows(rows), labels, 3, "x").nearest(queries)
    assert_close(found, slow_distances(rows, labels, queries), rtol=1e-10, atol=1e-12)


def test_statistics_of_float32_rows_are_accumulated_in_float64():
    rows, labels = clustered()
    rows = (rows + 1e3).float()  # float32 sums of squares would keep nothing of a variance near 1
    assert class_means(Rows(rows), labels, 3).dtype == torch.float64
    gaussian = Gaussian.fit(Rows(rows), labels, 3, "x")
    exact = Gaussian.fit(Rows(rows.double()), labels, 3, "x")
    assert_close(gaussian.nearest(rows), exact.nearest(rows.double()), **EXACT)
    assert_close(exact.nearest(rows), slow_distances(rows, labels, rows), rtol=1e-8, atol=1e-8)


def test_rows_of_a_read_only_memory_mapped_file_are_read(tmp_path):
    rows, labels = clustered()
    np.save(tmp_path / "rows.npy", rows.float().numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "rows.npy", mmap_mode="c"))
    expected = Gaussian.fit(Rows(rows.float()), labels, 3, "x").nearest(rows.float())
    assert_close(Gaussian.fit(Rows(mapped), labels, 3, "x").nearest(mapped), expected, **EXACT)


def test_whitener_is_a_root_of_the_pseudo_inverse():
    rows = normal(40, 3) @ normal(3, 5, seed=1)  # rank 3 of 5
    sigma = rows.T @ rows / 40
    root = whitener(sigma)
    assert root.shape == (5, 3)
    assert_close(root @ root.T, torch.linalg.pinv(sigma, hermitian=True, rtol=1e-10), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("share", "rank"), [(1.1e-10, 2), (0.9e-10, 1)])
def test_whitener_leaves_out_less_than_1e_10_of_the_largest(share, rank):
    assert whitener(torch.diag(tensor([7.0, 7.0 * share]))).shape == (2, rank)


def test_a_distance_in_a_direction_of_tiny_variance_keeps_its_digits():
    # Means a million deviations apart in the narrow direction: inner products would lose twelve digits.
    means = tensor([[0.0, 0.0], [0.0, 1.0], [3.0, 1.0]])
    gaussian = Gaussian.of(means, torch.diag(tensor([1.0, 1e-9])), "x")
    gaps = tensor([[0.5, 2.0**-20], [0.25, -(2.0**-18)], [2.0**-10, 2.0**-22]])
    expected = gaps[:, 0].square() + gaps[:, 1].square() / 1e-9
    assert_close(gaussian.nearest(means + gaps), expected, rtol=1e-9, atol=0.0)


def test_half_the_distance_has_the_gradient_of_its_nearest_gaussian():
    gaussian = Gaussian.of(tensor([[0.0, 0.0], [4.0, 0.0]]), torch.diag(tensor([1.0, 4.0])), "x")
    rows = tensor([[1.0, 2.0], [3.5, -4.0]]).requires_grad_()
    (gaussian.nearest(rows) / 2).sum().backward()
    assert_close(rows.grad, tensor([[1.0, 0.5], [-0.5, -1.0]]), **EXACT)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 / 3])
def test_rounding_of_constant_rows_is_no_variation(value):
    rows, labels = torch.full((1000, 3), value, dtype=torch.float64), torch.arange(1000) % 3
    with pytest.raises(NoVariation, match="here: no feature varies within any class"):
        Gaussian.fit(Rows(rows), labels, 3, "here")


@pytest.mark.parametrize(
    ("method", "space"),
    [
        (Mahalanobis(), "penultimate"),
        (RelativeMahalanobis(), "penultimate"),
        (LogitMahalanobis(), "logits"),
        (ProbMahalanobis(), "probabilities"),
    ],
)
def test_errors_name_the_space(method, space):
    with pytest.raises(ValueError, match=f"^{space}: no feature varies within any class"):
        method.fit(TRAIN[torch.tensor([0, 3, 6])], TRAIN, HEAD)

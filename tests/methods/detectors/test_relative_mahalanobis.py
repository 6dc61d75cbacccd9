"""Relative Mahalanobis against both distances in full, and against its invariances."""

import pytest
import torch
from detector_examples import F1, HEAD, ROTATION, TRAIN, VALUES, features
from stage_examples import clustered, normal, slow_distances
from torch.testing import assert_close
from worked_examples import tensor

from methods.base import Features
from methods.detectors.relative_mahalanobis import RelativeMahalanobis


def test_relative_mahalanobis_drops_from_both_distances_what_cancels():
    fitted = RelativeMahalanobis().fit(TRAIN, TRAIN, HEAD)
    assert fitted.classwise.whitener.shape == fitted.background.whitener.shape == (4, 3)
    d0, dc = tensor(VALUES["rmd.d0"]), tensor(VALUES["rmd.d0"]) - tensor(VALUES["relative_mahalanobis"])
    dropped = d0 - fitted.background.nearest(F1["Q"])
    assert_close(dc - fitted.classwise.nearest(F1["Q"]), dropped, rtol=1e-12, atol=1e-9)  # of some 7e3


def test_relative_mahalanobis_keeps_one_of_the_directions_in_which_class_means_do_not_differ():
    """Three means differ in two directions of four, three are kept: which third one, is up to rounding.

    So no query has a distance that must be dropped. But the kept part of two queries, a unit away from the
    mean along either of the two other directions, is 1 together, whichever direction is kept: a projection
    onto one direction takes from an orthonormal basis, in squares, one.
    """
    fitted = RelativeMahalanobis().fit(TRAIN, TRAIN, HEAD)
    means = torch.stack([F1["H"][TRAIN.labels == c].mean(dim=0) for c in range(3)])
    residuals = F1["H"] - means[TRAIN.labels]
    root = torch.linalg.cholesky(residuals.T @ residuals / len(residuals))  # rows @ root⁻ᵀ have unit variance
    mean = F1["H"].mean(dim=0)
    whitened = torch.linalg.solve_triangular(root, (means - mean).T, upper=False).T
    basis = torch.linalg.svd(whitened).Vh  # the first two span the means, the others do not
    kept = fitted.background.nearest(mean + basis[2:] @ root.T)
    assert_close(kept.sum(), tensor(1.0), rtol=0, atol=1e-9)
    in_full = (basis[:2, None] - whitened).square().sum(dim=2).amin(dim=1)  # nothing is dropped of these
    assert_close(fitted.classwise.nearest(mean + basis[:2] @ root.T), in_full, rtol=1e-9, atol=1e-9)


def test_relative_mahalanobis_does_not_depend_on_affine_coordinates():
    stretch, shift = torch.diag(tensor([1.0, 2.0, 0.5, 4.0])) @ ROTATION, tensor([1.0, -2.0, 3.0, 0.5])
    train = features(F1["H"] @ stretch + shift, TRAIN.labels)
    moved = RelativeMahalanobis().fit(train, train, HEAD).score(features(F1["Q"] @ stretch + shift))
    # The stretch adds up to 64 to a condition number of some 1e2.
    assert_close(moved, tensor(VALUES["relative_mahalanobis"]), rtol=1e-11, atol=1e-11)


def test_relative_mahalanobis_names_the_class_without_images():
    train = TRAIN[TRAIN.labels != 1]
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 3"):
        RelativeMahalanobis().fit(train, train, HEAD)


def slow_relative(train, labels, queries):
    everything = slow_distances(train, torch.zeros_like(labels), queries)
    return everything - slow_distances(train, labels, queries)


@pytest.mark.parametrize("classes", [1, 3, 12])  # as many as directions, and more
def test_relative_mahalanobis_agrees_with_both_distances_in_full(classes):
    rows, labels = clustered(300, 8, classes)
    labels[:20] = 0  # classes of unequal size
    train = Features(torch.zeros(300, classes), rows, labels)
    fitted = RelativeMahalanobis().fit(train, train, HEAD)
    assert fitted.classwise.whitener.shape == (8, min(classes, 8))
    queries = 5 * normal(30, 8, seed=1)
    scores = fitted.score(Features(torch.zeros(30, classes), queries))
    assert_close(scores, slow_relative(rows, labels, queries), rtol=1e-9, atol=1e-9)


def test_relative_mahalanobis_of_features_that_never_fire():
    rows, labels = clustered(300, 8, 3)
    rows[:, [1, 6]] = 0.0
    train = Features(torch.zeros(300, 3), rows, labels)
    fitted = RelativeMahalanobis().fit(train, train, HEAD)
    assert fitted.classwise.whitener.shape == (8, 3)
    queries = 5 * normal(30, 8, seed=1)
    expected = slow_relative(rows, labels, queries)
    assert_close(fitted.score(Features(torch.zeros(30, 3), queries)), expected, rtol=1e-9, atol=1e-9)


def test_relative_mahalanobis_where_only_the_class_means_differ():
    # No class varies in the third feature, all images together do: the covariances differ in rank.
    rows, labels = clustered(300, 5, 3)
    rows[:, 2] = tensor([0.0, 1.0, 5.0])[labels]
    train = Features(torch.zeros(300, 3), rows, labels)
    fitted = RelativeMahalanobis().fit(train, train, HEAD)
    assert fitted.classwise.whitener.shape == (5, 4)
    assert fitted.background.whitener.shape == (5, 5)
    queries = 5 * normal(30, 5, seed=1)
    expected = slow_relative(rows, labels, queries)
    assert_close(fitted.score(Features(torch.zeros(30, 3), queries)), expected, rtol=1e-9, atol=1e-9)


def test_relative_mahalanobis_where_a_direction_counts_within_classes_only():
    # Far class means raise the largest eigenvalue of all images; the fourth feature falls below its share.
    rows, labels = clustered(300, 4, 3)
    rows[:, 3] = 1e-4 * normal(300, seed=3)
    rows[:, 0] += 100.0 * labels
    train = Features(torch.zeros(300, 3), rows, labels)
    fitted = RelativeMahalanobis().fit(train, train, HEAD)
    assert fitted.classwise.whitener.shape == (4, 4)
    assert fitted.background.whitener.shape == (4, 3)
    queries = rows[:30] + 1e-3 * normal(30, 4, seed=1)
    expected = slow_relative(rows, labels, queries)
    assert_close(fitted.score(Features(torch.zeros(30, 3), queries)), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("difference", "directions"), [(1e-5, 5), (0.0, 3)])
def test_relative_mahalanobis_where_class_means_leave_the_directions_that_count(difference, directions):
    # The variance of the third feature is too small to count, in a class as in all images.
    rows, labels = clustered(300, 6, 3)
    rows[:, 2] = 1e-6 * difference * normal(300, seed=3) + difference * tensor([0.0, 1.0, 5.0])[labels]
    train = Features(torch.zeros(300, 3), rows, labels)
    fitted = RelativeMahalanobis().fit(train, train, HEAD)
    assert fitted.classwise.whitener.shape == fitted.background.whitener.shape == (6, directions)

"""Relative Mahalanobis++ against both distances in full, and against its invariances."""

import numpy as np
import pytest
import torch
from detector_examples import F1, HEAD, QUERIES, ROTATION, TRAIN, features
from stage_examples import clustered, normal, slow_distances
from torch.testing import assert_close

from methods.base import Features
from methods.detectors.relative_mahalanobis import RelativeMahalanobis
from methods.detectors.relative_mahalanobis_pp import RelativeMahalanobisPP


def of(rows, labels=None, classes=3):
    return Features(torch.zeros(len(rows), classes), rows, labels)


def divided(rows):
    return rows / rows.norm(dim=1, keepdim=True)


def fit(rows, labels, classes=3):
    train = of(rows, labels, classes)
    return RelativeMahalanobisPP().fit(train, train, HEAD)


def slow_relative(rows, labels, queries):
    rows, queries = divided(rows), divided(queries)
    everything = slow_distances(rows, torch.zeros_like(labels), queries)
    return everything - slow_distances(rows, labels, queries)


@pytest.mark.parametrize("classes", [1, 3, 12])  # as many as directions, and more
def test_relative_mahalanobis_pp_agrees_with_both_distances_in_full(classes):
    rows, labels = clustered(300, 8, classes)
    labels[:20] = 0  # classes of unequal size
    queries = 5 * normal(30, 8, seed=1)
    fitted = fit(rows, labels, classes)
    assert fitted.classwise.whitener.shape == (8, min(classes, 8))
    scores = fitted.score(of(queries, classes=classes))
    assert_close(scores, slow_relative(rows, labels, queries), rtol=1e-8, atol=1e-8)


def test_relative_mahalanobis_pp_on_paper():
    """The directions (1, 0), (3, ±4) / 5 and their mirror images, as for `mahalanobis_pp`.

    There the class means are (±11/15, 0) and Σ = diag(8/225, 32/75), so that Σ₀ = diag(8/225 + 121/225,
    32/75) = diag(129/225, 32/75) about the origin. In the second direction both distances are equal. In the
    first, the query (0, 1) is at (11/15)² / (8/225) = 121/8 of either mean and at 0 of the origin, and (1, 0)
    at 2 of the nearer mean and at 225/129 of the origin.
    """
    rows = torch.tensor([[5.0, 0], [3, 4], [3, -4], [-5, 0], [-3, 4], [-3, -4]]).double()
    fitted = fit(rows, torch.tensor([0, 0, 0, 1, 1, 1]), 2)
    scores = fitted.score(of(torch.tensor([[0.0, 2], [7, 0]]).double(), classes=2))
    expected = torch.from_numpy(np.array([-121 / 8, 225 / 129 - 2]))
    assert_close(scores, expected, rtol=1e-12, atol=1e-12)


def test_relative_mahalanobis_pp_is_relative_mahalanobis_of_divided_features():
    train = features(divided(F1["H"]), TRAIN.labels)
    expected = RelativeMahalanobis().fit(train, train, HEAD).score(features(divided(F1["Q"])))
    scores = RelativeMahalanobisPP().fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    assert_close(scores, expected, rtol=1e-12, atol=1e-12)


def test_relative_mahalanobis_pp_does_not_see_the_length_of_features():
    rows, labels = clustered()
    queries = normal(30, 6, seed=1)
    expected = fit(rows, labels).score(of(queries))
    lengths = torch.logspace(-3, 3, len(rows), dtype=torch.float64)[:, None]
    scores = fit(rows * lengths, labels).score(of(queries * lengths[:30]))
    assert_close(scores, expected, rtol=1e-10, atol=1e-10)


def test_relative_mahalanobis_pp_does_not_see_rotations():
    train = features(F1["H"] @ ROTATION, TRAIN.labels)
    scores = RelativeMahalanobisPP().fit(train, train, HEAD).score(features(F1["Q"] @ ROTATION))
    expected = RelativeMahalanobisPP().fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    assert_close(scores, expected, rtol=1e-9, atol=1e-9)


def test_relative_mahalanobis_pp_of_one_class_tells_nothing():
    rows, _ = clustered()
    scores = fit(rows, torch.zeros(len(rows)).long(), 1).score(of(normal(30, 6, seed=1), classes=1))
    assert_close(scores, torch.zeros(30).double(), rtol=0, atol=1e-9)  # both distances are one


def test_relative_mahalanobis_pp_of_features_of_zeros_is_finite():
    rows, labels = clustered()
    rows[::17] = 0.0
    assert torch.isfinite(fit(rows, labels).score(of(rows))).all()


def test_relative_mahalanobis_pp_of_features_that_never_fire():
    rows, labels = clustered(300, 8, 3)
    rows[:, [1, 6]] = 0.0
    queries = 5 * normal(30, 8, seed=1)
    queries[:10, [1, 6]] = 0.0
    assert_close(
        fit(rows, labels).score(of(queries)), slow_relative(rows, labels, queries), rtol=1e-8, atol=1e-8
    )


def test_relative_mahalanobis_pp_where_classes_differ_in_a_feature_that_no_class_varies():
    """Neither distance cancels then: both are measured in full."""
    rows, labels = clustered(300, 4, 3)
    rows = divided(rows)
    rows = (
        torch.cat([rows, labels[:, None].double()], dim=1) * (1 + labels[:, None].double().square()).rsqrt()
    )
    fitted = fit(rows, labels)
    queries = rows[:30] + 0.1 * normal(30, 5, seed=2)
    assert fitted.background.whitener.shape[1] > fitted.classwise.whitener.shape[1]
    assert_close(fitted.score(of(queries)), slow_relative(rows, labels, queries), rtol=1e-6, atol=1e-6)


def test_relative_mahalanobis_pp_of_classes_that_vary_in_length_alone():
    rows = torch.eye(3).double().repeat(4, 1) * torch.linspace(1, 2, 12).double()[:, None]
    with pytest.raises(ValueError, match="penultimate, of length one: no feature varies within any class"):
        fit(rows, torch.arange(12) % 3)


def test_relative_mahalanobis_pp_names_the_class_without_images():
    rows, labels = clustered()
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 3"):
        fit(rows[labels != 1], labels[labels != 1])

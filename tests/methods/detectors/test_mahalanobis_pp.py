"""Mahalanobis++ against paper arithmetic, a slow transcription, and its invariances."""

import pytest
import torch
from detector_examples import F1, HEAD, QUERIES, ROTATION, TRAIN, features
from stage_examples import clustered, normal, slow_distances
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features
from methods.detectors.mahalanobis import Mahalanobis
from methods.detectors.mahalanobis_pp import MahalanobisPP


def of(rows, labels=None, classes=3):
    return Features(torch.zeros(len(rows), classes), rows, labels)


def divided(rows):
    return rows / rows.norm(dim=1, keepdim=True)


def fit(rows, labels, classes=3):
    train = of(rows, labels, classes)
    return MahalanobisPP().fit(train, train, HEAD)


def test_mahalanobis_pp_on_paper():
    """Two classes of three directions each: 5 (1, 0), (3, ±4) and their mirror images.

    Of length one, the first class has the mean (1 + 0.6 + 0.6, 0) / 3 = (11/15, 0), and the residuals
    (4/15, 0) and (-2/15, ±4/5). The other class mirrors them. So Σ is diagonal with (24/225) / 3 = 8/225 and
    (32/25) / 3 = 32/75. The query (0, 2) is (0, 1), at (11/15)² / (8/225) + 1 / (32/75) = 121/8 + 75/32 of
    both means; (7, 0) is (1, 0), at (4/15)² / (8/225) = 2 of the first.
    """
    rows = tensor([[5.0, 0], [3, 4], [3, -4], [-5, 0], [-3, 4], [-3, -4]])
    fitted = fit(rows, torch.tensor([0, 0, 0, 1, 1, 1]), 2)
    scores = fitted.score(of(tensor([[0.0, 2], [7, 0], [-0.1, 0]]), classes=2))
    assert_close(scores, -tensor([121 / 8 + 75 / 32, 2, 2]), **EXACT)


@pytest.mark.parametrize("classes", [1, 3, 12])
def test_mahalanobis_pp_is_the_slow_transcription(classes):
    rows, labels = clustered(300, 8, classes)
    queries = 5 * normal(30, 8, seed=1)
    expected = -slow_distances(divided(rows), labels, divided(queries))
    assert_close(
        fit(rows, labels, classes).score(of(queries, classes=classes)), expected, rtol=1e-9, atol=1e-9
    )


def test_mahalanobis_pp_is_mahalanobis_of_divided_features():
    train = features(divided(F1["H"]), TRAIN.labels)
    expected = Mahalanobis().fit(train, train, HEAD).score(features(divided(F1["Q"])))
    assert_close(MahalanobisPP().fit(TRAIN, TRAIN, HEAD).score(QUERIES), expected, **EXACT)


def test_mahalanobis_pp_does_not_see_the_length_of_features():
    rows, labels = clustered()
    queries = normal(30, 6, seed=1)
    expected = fit(rows, labels).score(of(queries))
    lengths = torch.logspace(-3, 3, len(rows), dtype=torch.float64)[:, None]
    scores = fit(rows * lengths, labels).score(of(queries * lengths[:30]))
    assert_close(scores, expected, rtol=1e-10, atol=1e-10)


def test_mahalanobis_pp_does_not_see_rotations():
    train = features(F1["H"] @ ROTATION, TRAIN.labels)
    scores = MahalanobisPP().fit(train, train, HEAD).score(features(F1["Q"] @ ROTATION))
    expected = MahalanobisPP().fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    assert_close(scores, expected, rtol=1e-9, atol=1e-9)  # distances up to some 1e4


def test_mahalanobis_pp_of_features_of_zeros_is_the_distance_of_the_origin():
    rows, labels = clustered()
    fitted = fit(rows, labels)
    assert_close(
        fitted.score(of(torch.zeros(1, 6).double())),
        -slow_distances(divided(rows), labels, torch.zeros(1, 6)),
        rtol=1e-9,
        atol=1e-9,
    )
    rows[::17] = 0.0  # among the training images too
    assert torch.isfinite(fit(rows, labels).score(of(rows))).all()


def test_mahalanobis_pp_of_features_that_never_fire():
    rows, labels = clustered()
    expected = fit(rows, labels).score(of(rows[:20] + 1))
    dead = torch.zeros(len(rows), 2).double()
    widened = torch.cat([rows, dead], dim=1)
    assert_close(
        fit(widened, labels).score(of(torch.cat([rows[:20] + 1, dead[:20]], dim=1))),
        expected,
        rtol=1e-9,
        atol=1e-9,
    )


def test_mahalanobis_pp_of_classes_that_vary_in_length_alone():
    rows = torch.eye(3).double().repeat(4, 1) * torch.linspace(1, 2, 12).double()[:, None]
    with pytest.raises(ValueError, match="penultimate, of length one: no feature varies within any class"):
        fit(rows, torch.arange(12) % 3)


def test_mahalanobis_pp_names_the_class_without_images():
    rows, labels = clustered()
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 3"):
        fit(rows[labels != 1], labels[labels != 1])


def test_mahalanobis_pp_finds_short_outliers_that_mahalanobis_takes_for_inliers():
    """Features are one to a hundred long; the outlier is shorter than all, and points away from both."""
    labels = torch.arange(200) % 2
    long = torch.tensor([[1.0, 0.0, 0.3], [0.0, 1.0, 0.3]]).double()[labels]
    rows = (long + 0.02 * normal(200, 3)) * torch.logspace(0, 2, 200).double()[:, None]
    outliers = of(0.05 * torch.tensor([[-1.0, -1.0, 0.5]]).double(), classes=2)
    train = of(rows, labels, 2)
    plain = Mahalanobis().fit(train, train, HEAD)
    assert plain.score(outliers) > plain.score(train).quantile(0.05)
    fitted = fit(rows, labels, 2)
    assert fitted.score(outliers) < fitted.score(train).min()

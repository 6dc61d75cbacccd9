"""Mahalanobis distances, held to pytorch-ood's."""

import pytest
import torch
from pytorch_ood_world import equal, ood
from torch import nn
from torch.testing import assert_close

from methods.statistics import pooled


def without_ridge(theirs):
    """Take the 1e-6 that they add to the diagonal off again."""
    eye = 1e-6 * torch.eye(len(theirs.cov))
    theirs.precision = torch.linalg.inv(theirs.cov - eye)
    if getattr(theirs, "background_cov", None) is not None:
        theirs.background_precision = torch.linalg.inv(theirs.background_cov - eye)
    return theirs


MAHALANOBIS = {"rtol": 1e-8, "atol": 1e-8}


def test_mahalanobis_is_scaled_and_has_a_ridge(world):
    theirs = ood.Mahalanobis(None).fit_features(world.train.h, world.train.labels)
    to_ours = 2 * len(world.train.h)  # they halve, and their scatter is N covariances
    ours = world.score("mahalanobis")
    with_ridge = to_ours * theirs.predict_features(world.queries.h)
    assert not torch.allclose(with_ridge, -ours, rtol=1e-9)
    assert_close(with_ridge, -ours, rtol=1e-2, atol=0)
    equal(to_ours * without_ridge(theirs).predict_features(world.queries.h), ours, **MAHALANOBIS)


def test_relative_mahalanobis_is_scaled_and_has_a_ridge(world):
    theirs = ood.RMD(None).fit_features(world.train.h, world.train.labels)
    found = len(world.train.h) * without_ridge(theirs).predict_features(world.queries.h)
    equal(found, world.score("relative_mahalanobis"), rtol=1e-8, atol=1e-6)


def test_relative_mahalanobis_is_not_mahalanobis(world):
    # A background without its 1 / N next to a class covariance that has it would hardly count.
    one, other = world.score("relative_mahalanobis"), world.score("mahalanobis")
    assert torch.corrcoef(torch.stack([ranks(one), ranks(other)]))[0, 1] < 0.99


def ranks(scores):
    return scores.argsort().argsort().double()


@pytest.mark.parametrize("step", [0.002, 0.05])
def test_mahalanobis_with_a_step(world, step):
    theirs = ood.MahalanobisODIN(world.network.penultimate, eps=step)
    without_ridge(theirs._base.fit_features(world.train.h, world.train.labels))
    found = 2 * len(world.train.h) * theirs.predict(world.queries.images)
    ours = world.fit("mahalanobis", magnitude=step)
    scores = ours.score_images(world.features, world.queries.images)
    assert ((scores - world.score("mahalanobis")).abs() > 1e-3).all()
    equal(found, scores, **MAHALANOBIS)


def test_multi_mahalanobis_is_shifted_by_the_mean_of_the_validation_images(world):
    ours = world.fit("mahalanobis_ensemble")
    weights = 2 * len(world.train.h) / ours.deviations
    theirs = ood.MultiMahalanobis([nn.Identity(), nn.Identity()], alpha=weights.tolist())
    theirs.fit_structured([pooled(m) for m in world.train.maps], world.train.labels)
    eyes = [1e-6 * torch.eye(len(cov)) for cov in theirs.cov]
    theirs.precision = [torch.linalg.inv(cov - eye) for cov, eye in zip(theirs.cov, eyes, strict=True)]
    found = theirs.predict_structured([pooled(m) for m in world.queries.maps])
    shift = (ours.means / ours.deviations).sum()
    equal(found + shift, ours.score(world.queries.ours), **MAHALANOBIS)

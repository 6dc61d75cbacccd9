"""Detectors of features and the head, held to pytorch-ood's."""

import pytest
import torch
from pytorch_ood_world import CLASSES, WIDTH, as_maps, equal, ood
from torch import nn

from methods.base import Features


@pytest.mark.parametrize("variant", ["s", "p", "b"])
@pytest.mark.parametrize("percent", [65, 90])
def test_ash(world, variant, percent):
    head = nn.Sequential(nn.Flatten(), world.linear)
    theirs = ood.ASH(None, head, variant=f"ash-{variant}", percentile=percent / 100)
    equal(world.on_pooled(theirs), world.score("ash", variant=variant, percentile=float(percent)))


@pytest.mark.parametrize("percent", [65, 85])
def test_scale(world, percent):
    theirs = ood.SCALE(None, nn.Sequential(nn.Flatten(), world.linear), percentile=percent / 100)
    equal(world.on_pooled(theirs), world.score("scale", percentile=float(percent)))


@pytest.mark.parametrize("percent", [90, 99])
def test_react(world, percent):
    theirs = ood.ReAct(None, nn.Sequential(nn.Flatten(), world.linear), percentile=percent / 100)
    equal(world.on_pooled(theirs), world.score("react", percentile=float(percent)))


def test_react_of_softmax(world):
    head = nn.Sequential(nn.Flatten(), world.linear)
    theirs = ood.ReAct(None, head, percentile=0.9, detector=ood.MaxSoftmax.score)
    equal(world.on_pooled(theirs), world.score("react", base="msp"))


VRA_ROUNDING = {"rtol": 1e-6, "atol": 1e-6}  # NumPy rounds their thresholds to float32


def test_vra_where_no_feature_is_low(world):
    theirs = ood.VRA(
        None, nn.Sequential(nn.Flatten(), world.linear), lower_percentile=0.0, upper_percentile=0.9
    )
    theirs_scores = world.on_pooled(theirs)
    ours = world.fit("vra", low=0.0, high=0.9)
    inside = (world.queries.h >= ours.alpha).all(dim=1)
    assert inside.sum() > 100
    equal(theirs_scores[inside], ours.score(world.queries.ours[inside]), **VRA_ROUNDING)


def test_vra_raises_low_features_where_ours_removes_them(world):
    theirs = ood.VRA(
        None, nn.Sequential(nn.Flatten(), world.linear), lower_percentile=0.6, upper_percentile=0.9
    )
    theirs_scores = world.on_pooled(theirs)
    ours = world.fit("vra", low=0.6, high=0.9)
    raised = Features(world.queries.logits, torch.maximum(world.queries.h, ours.alpha))
    assert ((theirs_scores + ours.score(world.queries.ours)).abs() > 0.1).any()
    equal(theirs_scores, ours.score(raised), **VRA_ROUNDING)
    # And with the low features removed beforehand, theirs with no lower threshold left is ours.
    removed = torch.where(world.queries.h < ours.alpha, 0.0, world.queries.h)
    theirs._lower_threshold = torch.zeros_like(theirs._lower_threshold)
    found = theirs.predict_feature_maps(as_maps(removed))
    equal(found, ours.score(world.queries.ours), **VRA_ROUNDING)


def test_rankfeat(world):
    theirs = ood.RankFeat(None, world.head_of_maps()).predict_feature_maps(world.queries.maps[-1])
    equal(theirs, world.score("rankfeat"))


@pytest.mark.parametrize("percent", [0.7, 0.9])
def test_dice(world, percent):
    theirs = ood.DICE(None, world.linear.weight, world.linear.bias, p=percent)
    theirs.fit_features(world.train.h, world.train.labels)
    equal(theirs.predict_features(world.queries.h), world.score("dice", percentile=100 * percent))


def test_fdbd_is_scaled_by_the_number_of_boundaries(world):
    theirs = ood.fDBD(None, world.linear).fit_features(world.train.h)
    equal((CLASSES - 1) * theirs.predict_features(world.queries.h), world.score("fdbd"))


@pytest.mark.parametrize("alpha", [0.0, 1e-4, 0.3])
def test_nci(world, alpha):
    theirs = ood.NCI(None, world.linear, alpha=alpha).fit_features(world.train.h)
    equal(theirs.predict_features(world.queries.h), world.score("nci", alpha=alpha))


@pytest.mark.parametrize("k", [1, 10, 50])
def test_knn(world, k):
    theirs = ood.KNN(None, k=k, algorithm="kd_tree").fit_features(world.train.h, world.train.labels)
    equal(theirs.predict_features(world.queries.h), world.score("knn", k=k))


@pytest.mark.parametrize("k", [1, 10, 100])
def test_nnguide(world, k):
    theirs = ood.NNGuide(None, world.linear, k=k).fit_features(world.train.h, world.train.labels)
    equal(theirs.predict_features(world.queries.h), world.score("nnguide", k=k, fraction=1.0))


def test_she(world):
    theirs = ood.SHE(None, world.linear).fit_features(world.train.h, world.train.labels)
    equal(theirs.predict_features(world.queries.h), world.score("she", metric="inner"))


@pytest.mark.parametrize("kept", [0.05, 0.25])
def test_lts(world, kept):
    theirs = ood.LTS(None, world.linear, p=kept).predict_features(world.queries.h)
    equal(theirs, world.score("lts", percentile=100 * (1 - kept)))


@pytest.mark.parametrize("dim", [8, WIDTH // 2, WIDTH - 1])
def test_vim(world, dim):
    theirs = ood.ViM(None, d=dim, w=world.linear.weight, b=world.linear.bias)
    theirs.fit_features(world.train.h, world.train.labels)
    equal(theirs.predict_features(world.queries.h), world.score("vim", dim=dim), rtol=1e-7, atol=1e-7)


def test_pnml(world):
    theirs = ood.PNML(None, world.linear, eps=0.0).fit_features(world.train.h, world.train.labels)
    equal(theirs.predict_features(world.queries.h), world.score("pnml"), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("ridge", [1e-6, 1e-2])
def test_gmm(world, ridge):
    theirs = ood.GMM(None, reg=ridge).fit_features(world.train.h, world.train.labels)
    ours = world.score("gmm", covariance="full", shrinkage=ridge)
    equal(theirs.predict_features(world.queries.h), ours, rtol=1e-8, atol=1e-8)

"""Detectors of gradients, masks and feature maps, held to pytorch-ood's."""

import pytest
import torch
from pytorch_ood_world import CLASSES, TIGHT, WIDTH, equal, ood
from torch import nn
from torch.testing import assert_close

from methods.base import Features
from methods.registry import detector


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_gradnorm(world, temperature):
    theirs = ood.GradNorm(
        world.network, param_filter=lambda name: name == "fc.weight", temperature=temperature
    )
    equal(theirs.predict(world.queries.images), world.score("gradnorm", temperature=temperature))


def test_gradient_uncertainty(world):
    theirs = ood.GradUncertainty(world.network, param_filter=lambda name: name.startswith("fc."))
    equal(theirs.predict(world.queries.images), world.score("gradient_uncertainty"))


@pytest.mark.parametrize(("temperature", "step"), [(1000.0, 0.0014), (1.0, 0.05), (10.0, 0.0)])
def test_odin(world, temperature, step):
    theirs = ood.ODIN(world.network, eps=step, temperature=temperature).predict(world.queries.images)
    ours = detector("odin", temperature=temperature, epsilon=step)
    scores = ours.score_images(world.features, world.queries.images)
    tolerance = {"rtol": 1e-12, "atol": 0}  # at T = 1000 scores agree in their first digits
    assert_close(theirs, -scores, **tolerance)
    assert scores.std() > 1e6 * 1e-12 * scores.mean()


def test_odin_preprocessing(world):
    stepped = ood.odin_preprocessing(world.network, world.queries.images, eps=0.01, temperature=10.0)
    ours = detector("odin", temperature=10.0, epsilon=0.01)
    direction = ours.direction(world.features, world.queries.images)
    assert_close(stepped, world.queries.images - 0.01 * direction, **TIGHT)


def test_a_pixel_without_a_gradient_moves_in_ours_alone(world):
    def blind(images):
        return world.network(torch.cat([images[:, :2], torch.zeros_like(images[:, 2:])], dim=1))

    images = world.queries.images
    stepped = ood.odin_preprocessing(blind, images, eps=0.01, temperature=10.0)
    ours = detector("odin", temperature=10.0, epsilon=0.01)
    moved = images - 0.01 * ours.direction(lambda x: Features(blind(x)), images)
    assert torch.equal(stepped[:, 2], images[:, 2])
    assert_close(moved[:, 2], images[:, 2] - 0.01, **TIGHT)
    assert_close(moved[:, :2], stepped[:, :2], **TIGHT)


class Masked(nn.Module):
    """A layer of dropout, followed by the head, whose masks are ours in turn."""

    def __init__(self, masks, linear):
        super().__init__()
        self.masks, self.linear, self.passes = masks, linear, 0

    def forward(self, h):
        mask = self.masks[self.passes]
        self.passes += 1
        return self.linear(mask * h)


def test_mc_dropout(world):
    ours = world.fit("mc_dropout", passes=20, rate=0.3)
    theirs = ood.MCD(Masked(ours.masks, world.linear), samples=20, mode="mean")
    equal(theirs.predict(world.queries.h), ours.score(world.queries.ours))


def test_nac_with_our_bins(world, monkeypatch):
    from pytorch_ood.detector import nac

    ours = world.fit("nac", enough=50)
    edges = torch.sigmoid(ours.steepness * ours.edges)
    replaced = []

    def our_bins(z_hat, m):
        replaced.append(m)
        return torch.bucketize(z_hat, edges, right=True)

    monkeypatch.setattr(nac, "_bin_indices_geometric", our_bins)
    layer = nn.Linear(WIDTH, WIDTH, bias=False)
    layer.weight.data.copy_(torch.eye(WIDTH))
    model = nn.Sequential(layer, world.linear)
    theirs = ood.NACUE(model, [layer], m_bins=ours.bins, alpha=ours.steepness, o_star=ours.enough)
    theirs.fit([(world.train.h, world.train.labels)])
    found = theirs.predict(world.queries.h)
    assert len(replaced) == 2
    scores = ours.score(world.queries.ours)
    apart = (found + scores).abs()
    # They count in float32, and look up a rounded sigmoid: a state that lies on an edge may fall either way.
    assert (apart < 1e-6).double().mean() > 0.95
    assert apart.max() < 3 / (WIDTH * ours.enough)
    assert scores.std() > 20 * 3 / (WIDTH * ours.enough)


def gram_of_theirs(world, train):
    theirs = ood.Gram(
        world.head_of_maps(), [world.network.edges, world.network.last], CLASSES, [1, 2, 3, 4, 5]
    )
    theirs.validation_fraction = 0.0  # all images make the ranges, and every layer's unit is 1
    return theirs.fit([(train.images, train.labels)])


def test_gram_with_our_units_and_confidence(world):
    train = world.train[world.train.logits.argmax(dim=1) == world.train.labels]
    ours = world.fit("gram", train=train)
    theirs = gram_of_theirs(world, train)
    assert (theirs.layer_norm == 1).all()
    theirs.layer_norm = ours.units + 1e-7
    confidence = world.queries.logits.softmax(dim=1).amax(dim=1)
    found = theirs.predict_structured(world.queries.logits, world.queries.maps)
    assert_close(found, theirs.predict(world.queries.images), **TIGHT)
    equal(found / confidence, ours.score(world.queries.ours), rtol=1e-8, atol=1e-8)


def test_gram_takes_ranges_of_predictions_where_theirs_takes_labels(world):
    # Images that are labelled as they are predicted: then both are the same, whatever the labels were.
    relabelled = world.train[:]
    relabelled.labels = relabelled.logits.argmax(dim=1)
    ours, theirs = world.fit("gram"), gram_of_theirs(world, relabelled)
    by_label = gram_of_theirs(world, world.train)
    for stage in range(2):
        low = torch.cat(theirs.feature_min[stage], dim=1)
        assert_close(low, ours.lowest[stage], **TIGHT)
        assert_close(torch.cat(theirs.feature_max[stage], dim=1), ours.highest[stage], **TIGHT)
        assert not torch.allclose(torch.cat(by_label.feature_min[stage], dim=1), low)

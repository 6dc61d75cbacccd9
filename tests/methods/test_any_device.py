"""Case L20: a method computes where its inputs lie. On a pretended device, for want of another.

Every detector is held to it on many features, besides what the conformance suite does with images; detectors
that mix devices are made here to see that they are caught.
"""

import numpy as np
import pytest
import torch
from plain_features import BIAS, CLASSES, DETECTORS, HEAD, WEIGHT, WIDTH, features, made
from torch.testing import assert_close

from benchmark.conformance.pretended import pretended
from methods.base import Detector, Features, Head, Signal, fitted
from methods.detectors._kmeans import kmeans
from methods.detectors._rows import Rows
from methods.registry import detector

ANOTHER_WAY = {  # hyper-parameters that lead where the defaults do not
    "gen": {"top": 3},
    "gmm": {"components": 6},
    "nnguide": {"fraction": 0.5},
    "relation": {"power": 2.0},
    "ssd_score": {"clusters": 3},
    "vra": {"gamma": 0.5},
}
MANY = 2000  # enough for a search that leaves most columns out


def check_that_it_computes_there(detector, name="", images=MANY):
    """Fit and score on the CPU and on the device: the scores lie where the features do, and are the same."""
    train, val, test = (features(n, seed, name=name) for n, seed in ((images, 0), (60, 1), (20, 5)))

    def rng():
        return torch.Generator().manual_seed(0)

    expected = detector.fit(train, val, HEAD, rng()).score(test)
    with pretended() as device:
        learnt = detector.fit(train.on(device), val.on(device), HEAD.on(device), rng())
        scores = learnt.score(test.on(device))
        assert scores.device == device
    assert_close(scores.here, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", DETECTORS)
def test_l20_a_detector_fitted_on_a_device_scores_there(name):
    check_that_it_computes_there(made(DETECTORS[name]), name)


@pytest.mark.parametrize("name", ANOTHER_WAY)
def test_l20_other_hyperparameters_do_too(name):
    check_that_it_computes_there(detector(name, **ANOTHER_WAY[name]), name, 300)


class Mixing(Detector):
    """The distance to the mean training feature, but for what goes wrong on the way."""

    name, needs = "mixing", frozenset({Signal.PENULTIMATE})
    mean: torch.Tensor = fitted()

    def fit(self, train, val, head, rng=None):
        return self.with_state(mean=train.penultimate.mean(dim=0))

    def score(self, features):
        return -torch.linalg.vector_norm(features.penultimate - self.mean, dim=1)


class CountsOnTheCPU(Mixing):
    def score(self, features):
        return super().score(features) + 0 * torch.arange(len(features))


class FillsATensorOfTheCPU(Mixing):
    def score(self, features):
        found = torch.empty(len(features), dtype=torch.float64)
        for rows in torch.arange(len(features)).split(7):
            found[rows] = super().score(features[rows])
        return found


class AsksNumPy(Mixing):
    def fit(self, train, val, head, rng=None):
        return self.with_state(mean=torch.as_tensor(np.median(train.penultimate.numpy(), axis=0)))


class KeepsAStateOnTheCPU(Mixing):
    def fit(self, train, val, head, rng=None):
        return self.with_state(mean=train.penultimate.mean(dim=0).cpu())


class DrawsThere(Mixing):
    def fit(self, train, val, head, rng=None):
        noise = torch.rand(WIDTH, generator=rng, dtype=torch.float64, device=train.penultimate.device)
        return self.with_state(mean=noise)


class SelectsByTheCPU(Mixing):
    def score(self, features):
        order = torch.randperm(len(features))
        return super().score(features).gather(0, order.argsort())


class ComesBackToTheCPU(Mixing):
    def score(self, features):
        return super().score(features).cpu()


MIXING = [
    CountsOnTheCPU, FillsATensorOfTheCPU, AsksNumPy, KeepsAStateOnTheCPU, DrawsThere, SelectsByTheCPU,
    ComesBackToTheCPU,
]  # fmt: skip


def test_l20_a_detector_that_mixes_nothing_passes():
    check_that_it_computes_there(Mixing())


@pytest.mark.parametrize("cls", MIXING, ids=[cls.__name__ for cls in MIXING])
def test_l20_one_that_mixes_devices_is_caught(cls):
    assert len(cls().fit(features(60), features(60), HEAD, torch.Generator()).score(features(20))) == 20
    with pytest.raises((RuntimeError, TypeError, AssertionError), match=r"device|numpy|generator"):
        check_that_it_computes_there(cls())


def test_l20_labels_and_a_head_of_elsewhere_join_the_features():
    train, cls = features(200), DETECTORS["vim"]
    expected = cls().fit(train, head=HEAD).score(features(20))
    with pretended() as device:
        there = train.on(device)
        joined = Features(there.logits, there.penultimate, train.labels)
        assert joined.labels.device == device
        scores = cls().fit(joined, head=HEAD).score(features(20).on(device))
        assert_close(scores.cpu(), expected, rtol=1e-12, atol=1e-12)
        back = cls().fit(train, head=Head(WEIGHT.to(device), BIAS.to(device))).score(features(20))
    assert_close(back, expected, rtol=1e-12, atol=1e-12)


def test_l20_clusters_are_found_on_a_device():
    rows = features(300).penultimate
    expected = kmeans(Rows(rows), CLASSES, torch.Generator().manual_seed(0))
    with pretended() as device:
        found = kmeans(Rows(rows.to(device)), CLASSES, torch.Generator().manual_seed(0))
        assert found.device == device
    assert torch.equal(found.here, expected)

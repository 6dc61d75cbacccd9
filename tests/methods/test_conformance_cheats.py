"""Labels tell nothing to a score: in a run test images have labels and outliers have none.

The suite holds every registered detector to it; detectors that cheat are made here to see that they would be
caught, and that they gain nothing, because `score` is handed no labels at all.
"""

import inspect
from dataclasses import dataclass

import pytest
import torch
from plain_features import CLASSES, DETECTORS, HEAD, features, made

from benchmark.conformance.dependence import labels
from benchmark.conformance.subject import Subject
from methods.base import Detector, EnsembleDetector, Features, GradientDetector, NotApplicable, Signal


class Cheat(Detector):
    """The largest logit, and a bonus for images that come with labels."""

    name, needs = "cheat", frozenset({Signal.LOGITS})

    def knows(self, features):
        return "labels" in features.collected()

    def score(self, features):
        return features.logits.amax(dim=1).double() + 100.0 * self.knows(features)


class AsksAndCatches(Cheat):
    def knows(self, features):
        try:
            return features.labels is not None
        except NotApplicable:
            return False


class LooksInside(Cheat):
    def knows(self, features):
        return "labels" in vars(features)["_found"]


class ByRows(Cheat):
    def knows(self, features):
        return any(len(parts) == 1 and parts[0].ndim == 1 for parts in features[:1].collected().values())


class OfAnother(Cheat):
    """Cheats in a detector that it makes and asks."""

    def score(self, features):
        return LooksInside().score(features)


@dataclass(frozen=True)
class Stepping(GradientDetector):
    epsilon: float = 0.0

    step_name = "epsilon"
    name, needs = "stepping", frozenset({Signal.LOGITS})

    def loss(self, features):
        return -self.score(features)

    score = inspect.unwrap(Cheat.score)
    knows = Cheat.knows


@dataclass(frozen=True)
class Several(EnsembleDetector):
    members: int = 2

    name, needs = "several", frozenset({Signal.LOGITS})

    def score(self, members):
        return sum(inspect.unwrap(Cheat.score)(Cheat(), member) for member in members)


CHEATS = [Cheat(), AsksAndCatches(), LooksInside(), ByRows(), OfAnother(), Stepping(), Several()]


@pytest.mark.parametrize("cheat", CHEATS, ids=[type(cheat).__name__ for cheat in CHEATS])
def test_r15_a_detector_that_looks_for_labels_fails_the_suite(cheat):
    (found,) = labels(Subject(type(cheat)))
    assert "labels that come with the images change 80 of 80 scores" in found.message


@pytest.mark.parametrize("cheat", CHEATS, ids=[type(cheat).__name__ for cheat in CHEATS])
def test_r15_a_detector_that_looks_for_labels_sees_none(cheat):
    with_labels, without = (features(20, 5, labelled) for labelled in (True, False))
    if isinstance(cheat, EnsembleDetector):
        with_labels, without = [with_labels] * 2, [without] * 2
    learnt = cheat.fit(features(200), features(60, 1), HEAD)
    assert torch.equal(learnt.score(with_labels), learnt.score(without))
    if isinstance(cheat, Detector):
        assert torch.equal(cheat.raw_score(with_labels), cheat.raw_score(without))


def test_r15_labels_that_a_network_gives_do_not_reach_a_score_of_images():
    images = torch.rand(10, 3, 2, 2, generator=torch.Generator().manual_seed(0))

    def network(x, labels=None):
        return Features(x.flatten(1)[:, :CLASSES], labels=labels)

    for epsilon in (0.0, 0.1):
        plain = Stepping(epsilon).score_images(network, images)
        told = Stepping(epsilon).score_images(lambda x: network(x, torch.zeros(10, dtype=torch.long)), images)
        assert torch.equal(plain, told)


def test_r15_fit_does_see_labels():
    centres = made(DETECTORS["mahalanobis"]).fit(features(200)).gaussian.centres
    assert len(centres) == CLASSES

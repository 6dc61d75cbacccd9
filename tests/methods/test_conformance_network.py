"""What the conformance suite asks of detectors that are given the network itself, with one of timm's.

The network of the harness can be reached in more ways than the stand-in of `test_conformance`, so that a
detector could change the one and not the other.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest
import torch
from pretended_device import pretended
from torch.testing import assert_close

from benchmark.backbones.create import create_network
from benchmark.backbones.extract import Tap
from benchmark.jobs.untouched import Untouched
from methods.base import Detector, GradientDetector, Paper, Signal
from methods.errors import ChangedInputs
from methods.registry import detectors

GRADIENT = {name: cls for name, cls in detectors().items() if issubclass(cls, GradientDetector)}
OF_IMAGES = GRADIENT | {name: cls for name, cls in detectors().items() if Signal.MAPS in cls.needs}
CLASSES, PER_CLASS = 3, 6


class FullTap(Tap):
    """Gives outputs besides the logits, too, as the head of an objective may."""

    def __call__(self, images, *what, maps=False):
        found = super().__call__(images, *what, maps=maps)
        surest = torch.sigmoid(found.logits.amax(dim=1, keepdim=True))
        return found.including(outputs=torch.cat([found.logits, surest], dim=1))


def make_tap() -> Tap:
    torch.manual_seed(0)
    network = create_network("test_resnet", CLASSES, 32)
    network.requires_grad_(requires_grad=False)
    return FullTap(network, torch.rand(2, 3, 32, 32))


@pytest.fixture(scope="module")
def tap():
    return make_tap()


def check_that_the_network_is_left_alone(cls: type[GradientDetector], tap: Tap) -> None:
    """Fit on random images, score others: weights, modules and images must be as before."""
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(CLASSES * PER_CLASS, 3, 32, 32, generator=rng)
    untouched = Untouched(tap.network)
    labels = torch.arange(len(images)) % CLASSES
    with torch.no_grad():
        features = tap(images).including(labels=labels)
    scorer = cls()
    if scorer.step == 0:
        scorer = scorer.with_step(0.01)  # as the harness does where it is to be chosen
    scorer = scorer.fit(features, features, tap.head, rng)
    with untouched.by(cls.name, images):
        scorer = scorer.calibrated(scorer.calibration(tap, images))
        scorer.score_images(tap, images)


@pytest.mark.parametrize("cls", GRADIENT.values(), ids=GRADIENT)
def test_r16_the_network_and_the_images_are_left_as_they_were(cls, tap):
    check_that_the_network_is_left_alone(cls, tap)


def scores_through(tap: Tap, cls: type[Detector], images: torch.Tensor) -> torch.Tensor:
    """Of a detector fitted on what the tap gives for the images."""
    with torch.no_grad():
        features = tap(images, maps=True).including(labels=torch.arange(len(images)) % CLASSES)
    scorer = cls()
    if not isinstance(scorer, GradientDetector):
        return scorer.fit(features, head=tap.head).score(features)
    scorer = scorer.with_step(0.01).fit(features, features, tap.head, torch.Generator())
    scorer = scorer.calibrated(scorer.calibration(tap, images))
    return scorer.score_images(tap, images)


@pytest.mark.parametrize("cls", OF_IMAGES.values(), ids=OF_IMAGES)
def test_l20_a_network_on_a_device_is_scored_through_the_tap(cls, tap):
    images = torch.rand(CLASSES * PER_CLASS, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = scores_through(tap, cls, images)
    with pretended() as device:
        there = FullTap(copy.deepcopy(tap.network).to(device), images[:2])
        for given in (images, images.to(device)):
            assert_close(scores_through(there, cls, given), expected, rtol=1e-4, atol=1e-4)


@dataclass(frozen=True)
class Hostile(GradientDetector):
    """ODIN, but for what `spoil` does while images are scored."""

    epsilon: float = 0.01
    paper = Paper(title="t", authors="a", venue="v", year=2000)
    needs = frozenset({Signal.LOGITS})
    step_name = "epsilon"

    def loss(self, features):
        return -features.logits.log_softmax(dim=1).amax(dim=1)

    def score(self, features):
        return features.logits.amax(dim=1).double()

    def score_images(self, network, images, direction=None):
        scores = super().score_images(network, images, direction)
        self.spoil(network.network, images)
        return scores


def halve(network, images):
    for parameter in network.parameters():
        parameter.data.mul_(0.5)


def halve_one_weight(network, images):
    weights = next(network.parameters()).data
    weights[(0,) * weights.ndim] *= 0.5


def shift_statistics(network, images):
    next(b for b in network.buffers() if b.is_floating_point()).add_(1)


def train(network, images):
    network.train()


def hook(network, images):
    network.register_forward_hook(lambda *_: None)


def replace_forward(network, images):
    network.forward = lambda x: x


def darken(network, images):
    images.mul_(0.5)


@pytest.mark.parametrize(
    "spoil", [halve, halve_one_weight, shift_statistics, train, hook, replace_forward, darken]
)
def test_r16_one_that_changes_them_fails(spoil):
    cls = type("Hostile", (Hostile,), {"spoil": staticmethod(spoil), "name": "hostile"})
    with pytest.raises(ChangedInputs, match="hostile: it changed the"):
        check_that_the_network_is_left_alone(cls, make_tap())


def test_r16_one_that_changes_nothing_passes(tap):
    cls = type("Hostile", (Hostile,), {"spoil": staticmethod(lambda *_: None), "name": "honest"})
    check_that_the_network_is_left_alone(cls, tap)

"""What the suite asks of detectors that are given the network itself: those that change it fail."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from benchmark.conformance.networks import network_itself
from benchmark.conformance.subject import Subject
from methods.base import GradientDetector, Paper, Signal


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
    (found,) = network_itself(Subject(cls))
    assert "ChangedInputs: hostile: it changed the" in found.message


def test_r16_one_that_changes_nothing_passes():
    cls = type("Hostile", (Hostile,), {"spoil": staticmethod(lambda *_: None), "name": "honest"})
    assert network_itself(Subject(cls)) == []

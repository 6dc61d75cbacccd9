"""What a score costs, against the bare forward pass of a small network on the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

from benchmark.conformance.findings import Severity, check
from benchmark.conformance.networks import SIDE, fitted_through, full_tap, looks_at_images
from benchmark.conformance.subject import Subject, joined
from methods.base import GradientDetector

IMAGES, TRIES = 240, 3
DEAR = 30.0  # forward passes an image


class Cost(NamedTuple):
    """Of scoring one image."""

    microseconds: float
    forwards: float  # in bare forward passes of ``test_resnet`` at 32 pixels

    def __str__(self) -> str:
        return (
            f"{self.microseconds:.3g} µs an image beside the one pass that all share, "
            f"{self.forwards:.2g} bare forward passes of test_resnet at {SIDE} pixels"
        )


@check("cost", severity=Severity.NOTE)
def cost(subject: Subject) -> Iterator[str]:
    """It says what a score costs."""
    yield str(cost_of(subject))


@check("dear", "work on all images of a batch at once", severity=Severity.WARNING)
def dear(subject: Subject) -> Iterator[str]:
    """A score costs not much more than the forward passes that it needs."""
    found = cost_of(subject)
    if found.forwards > DEAR:
        yield f"a score costs {found.forwards:.0f} forward passes"


def cost_of(subject: Subject) -> Cost:
    """What a score costs, measured once."""
    if subject.cost is None:
        subject.cost = _measured(subject)
    found: Cost = subject.cost
    return found


def _measured(subject: Subject) -> Cost:
    tap = full_tap()
    pixels = torch.rand(IMAGES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        forward = _seconds(lambda: tap.network(pixels))
    if looks_at_images(subject.cls):
        scorer = fitted_through(tap, subject.cls, pixels[:18])
        if isinstance(scorer, GradientDetector):
            seconds = _seconds(lambda: scorer.score_images(tap, pixels))
        else:
            with torch.inference_mode():
                seconds = _seconds(lambda: scorer.score(tap(pixels, maps=True)))
    else:
        both, world, detector = subject.both, subject.world, subject.fitted
        many = joined([both] * (IMAGES // len(both)))
        seconds = _seconds(lambda: world.score(detector, many))
    return Cost(1e6 * seconds / IMAGES, seconds / forward)


def _seconds(act: Callable[[], object]) -> float:
    """Of the quickest of some tries."""
    found = []
    for _ in range(TRIES):
        begun = time.perf_counter()
        act()
        found.append(time.perf_counter() - begun)
    return min(found)


CHECKS = (cost, dear)

"""What holds of detectors that are given the network itself, with one of timm's.

The network of the harness can be reached in more ways than the stand-in of `world`, so that a detector could
change the one and not the other.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmark.backbones.create import create_network
from benchmark.backbones.device import move, moved
from benchmark.backbones.extract import Tap
from benchmark.conformance.findings import check
from benchmark.conformance.pretended import There, pretended
from benchmark.conformance.subject import STEP, Subject, furthest, stepping
from benchmark.jobs.untouched import Untouched
from methods.base import AnyDetector, Detector, Features, GradientDetector, Signal

CLASSES, PER_CLASS, SIDE = 3, 6, 32
SINGLE = 1e-4  # networks compute in float32


class FullTap(Tap):
    """Gives outputs besides the logits, too, as the head of an objective may."""

    def __call__(self, images: Tensor, *what: str, maps: bool = False) -> Features:
        """Features of images (N, 3, H, W)."""
        found = super().__call__(images, *what, maps=maps)
        surest = torch.sigmoid(found.logits.amax(dim=1, keepdim=True))
        return found.including(outputs=torch.cat([found.logits, surest], dim=1))


def full_tap() -> FullTap:
    """A frozen network of timm, its weights drawn with a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = create_network("test_resnet", CLASSES, SIDE)
        network.requires_grad_(requires_grad=False)
        return FullTap(network, torch.rand(2, 3, SIDE, SIDE))


def images_of(parts: Sequence[str]) -> tuple[dict[str, Tensor], Tensor]:
    """Random images (N, 3, H, W) for each part, and labels (N,)."""
    rng = torch.Generator().manual_seed(0)
    count = CLASSES * PER_CLASS
    images = {part: torch.rand(count, 3, SIDE, SIDE, generator=rng) for part in parts}
    return images, torch.arange(count) % CLASSES


def looks_at_images(cls: type[AnyDetector]) -> bool:
    """Whether a detector needs the network itself, or feature maps, which are never cached."""
    return issubclass(cls, GradientDetector) or Signal.MAPS in cls.needs


@check("network itself", "leave the network and the images alone: no hook, no `*_`, no `train()`")
def network_itself(subject: Subject) -> Iterator[str]:
    """A network of timm and the images are left as they were; raises `ChangedInputs` where they are not."""
    if not issubclass(subject.cls, GradientDetector):
        return
    tap, rng = full_tap(), torch.Generator().manual_seed(0)
    shown, labels = images_of(["test"])
    untouched, images = Untouched(tap.network), shown["test"]
    with torch.no_grad():
        features = tap(images).including(labels=labels)
    scorer: Any = stepping(subject.cls()).fit(features, features, tap.head, rng)
    with untouched.by(subject.name, images):
        scorer = scorer.calibrated(scorer.calibration(tap, images))
        scorer.score_images(tap, images)
    yield from ()


@check("network elsewhere", "make tensors where the inputs lie, and move nothing")
def network_elsewhere(subject: Subject) -> Iterator[str]:
    """A network of timm on a device is scored as on the CPU, wherever the images lie."""
    if not looks_at_images(subject.cls):
        return
    tap, (shown, _) = full_tap(), images_of(["test"])
    images = shown["test"]
    expected = _through(tap, subject.cls, images)
    with pretended() as device:
        network = copy.deepcopy(tap.network)
        move(network, device)
        there = FullTap(network, images[:2])
        for given in (images, moved(images, device)):
            found = _through(there, subject.cls, given)
            here = found.here if isinstance(found, There) else found
            if gap := furthest(here, expected, SINGLE):
                yield f"a network on another device changes {gap}"


def fitted_through(tap: Tap, cls: type[AnyDetector], images: Tensor) -> Detector:
    """A detector that looks at images, fitted on what the tap gives for some; with a step."""
    with torch.no_grad():
        features = tap(images, maps=True).including(labels=torch.arange(len(images)) % CLASSES)
    scorer = cls()
    assert isinstance(scorer, Detector)
    if not isinstance(scorer, GradientDetector):
        return scorer.fit(features, features, tap.head, torch.Generator())
    scorer = scorer.with_step(STEP).fit(features, features, tap.head, torch.Generator())
    return scorer.calibrated(scorer.calibration(tap, images))


def _through(tap: Tap, cls: type[AnyDetector], images: Tensor) -> Tensor:
    """Scores by a detector that is fitted on the same images."""
    scorer = fitted_through(tap, cls, images)
    if isinstance(scorer, GradientDetector):
        return scorer.score_images(tap, images)
    with torch.no_grad():
        return scorer.score(tap(images, maps=True))


CHECKS = (network_itself, network_elsewhere)

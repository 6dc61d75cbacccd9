"""A formula in other ways: on another device, by automatic differentiation, one image at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmark.conformance.findings import check
from benchmark.conformance.pretended import There, pretended
from benchmark.conformance.subject import Subject, furthest, stepping
from methods.base import ClosedForm, Detector, GradientDetector


@check("device", "make tensors where the inputs lie: `h.new_zeros(3)`, `torch.arange(3, device=h.device)`")
def device(subject: Subject) -> Iterator[str]:
    """It computes on the device of its inputs, at every choice of names."""
    for chosen in subject.points():
        detector = stepping(subject.cls.configure(chosen))
        world = subject.world
        expected = world.score(world.fit(detector), world.outliers)
        with pretended() as place:
            there = world.on(place)
            scores = there.score(there.fit(detector), there.outliers)
        at = f" at {chosen}" if chosen else ""
        if not isinstance(scores, There):
            yield f"the scores{at} are not on the device of the features"
        elif gap := furthest(scores.here, expected):
            yield f"another device changes{at} {gap}"


@check("closed form", "mend `score` or `by_autograd`")
def closed_form(subject: Subject) -> Iterator[str]:
    """A closed form is what automatic differentiation gives, at every choice of names."""
    if not issubclass(subject.cls, ClosedForm):
        return
    for chosen in subject.points():
        world = subject.world
        detector = world.fit(subject.cls.configure(chosen))
        assert isinstance(detector, ClosedForm)
        assert isinstance(detector, Detector)
        for data in (world.inliers, world.outliers):
            features = data.features
            if gap := furthest(detector.score(features), detector.by_autograd(features)):
                yield f"by automatic differentiation{f' at {chosen}' if chosen else ''} there differ {gap}"


@check("loss", "return (N,), row i of image i alone")
def loss(subject: Subject) -> Iterator[str]:
    """The loss that a step follows is that of each image alone."""
    detector, features = subject.fitted, subject.world.outliers.features
    if isinstance(detector, GradientDetector):
        whole = detector.loss(features)
        if whole.shape != (len(features),):
            yield f"expected a loss of shape ({len(features)},), got {tuple(whole.shape)}"
            return
        alone = torch.cat([detector.loss(features[row : row + 1]) for row in range(0, len(features), 13)])
        if gap := furthest(alone, whole[::13]):
            yield f"alone there differ {gap}"


CHECKS = (device, closed_form, loss)

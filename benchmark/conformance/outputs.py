"""What a detector's scores must be: finite, one an image, higher for what is in-distribution."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmark.conformance.findings import Severity, check
from benchmark.conformance.subject import Subject, furthest
from benchmark.metrics import detection_metrics
from methods.base import check_scores

LOW = 0.9  # AUROC in the suite's world, where every published method has more
SINGLE = 1e-5  # float32 rounds inputs to 6e-8


@check("scores", "return a tensor (N,) of finite float64 without gradient, for no image too")
def scores(subject: Subject) -> Iterator[str]:
    """Scores are finite float64, one an image, without a gradient."""
    world = subject.world
    for data in (world.inliers, world.inliers[:1], world.inliers[:0]):
        found = subject.score(data)
        check_scores(found, len(data))
        if found.dtype != torch.float64:
            yield f"expected float64 for {len(data)} images, got {found.dtype}"
        if found.requires_grad:
            yield f"the scores of {len(data)} images carry a gradient"


@check("float32", "compute in float64, or as exactly in float32: `features.penultimate.double()`")
def float32(subject: Subject) -> Iterator[str]:
    """Float32 inputs give the same scores, in float64."""
    expected, single = subject.score(subject.world.inliers), subject.world.single()
    found = single.score(single.fit(subject.cls()), single.inliers)
    if found.dtype != torch.float64:
        yield f"expected float64 for float32 inputs, got {found.dtype}"
    elif gap := furthest(found, expected, SINGLE):
        yield f"float32 inputs change {gap}"


@check("direction", "higher means more in-distribution; turn the sign round if it is the other way")
def direction(subject: Subject) -> Iterator[str]:
    """Images of one class's patterns score higher than images of any patterns."""
    world = subject.world
    inside, outside = subject.score(world.inliers), subject.score(world.outliers)
    auroc = detection_metrics(inside, outside).auroc
    if not auroc > LOW:
        turned = ": the sign is the wrong way round" if auroc < 1 - LOW else ""
        yield f"AUROC {auroc:.3f} in a world where all of ours have more than {LOW}{turned}"


@check("finite", "bound what is divided by, or take logarithms of sums", severity=Severity.WARNING)
def finite(subject: Subject) -> Iterator[str]:
    """Black, white, grey and saturated images have finite scores."""
    world = subject.world
    shape = world.inliers.images.shape
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(5)).round()
    looks = {
        "black": torch.zeros(shape),
        "white": torch.ones(shape),
        "grey (all features zero)": torch.full(shape, 0.5),
        "saturated": noise,
    }
    for look, images in looks.items():
        pixels = images.to(world.inliers.images)
        found = subject.score(type(world.inliers)(pixels, world.network.features(pixels)))
        if bad := int((~torch.isfinite(found)).sum()):
            yield f"{bad} of {len(found)} scores of {look} images are not finite"


CHECKS = (scores, float32, direction, finite)

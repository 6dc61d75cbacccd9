"""The attack on the detector: images are moved so that in- and out-of-distribution change places.

OOD images climb the detector's score, ID images descend it, by the same signed steps within the same ball. A
detector is gradient-friendly if its score can be differentiated in the image. For others the attack does not
apply, and that is no strength of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from benchmark.attacks.batches import Rows, generator
from benchmark.attacks.checks import check_finite, check_points, no_gradient
from benchmark.backbones.device import in_pieces, on_cpu
from methods.attack import NoGradient, ascend, gradient, uniform_start
from methods.base import AnyDetector, EnsembleDetector, FeatureNetwork, GradientDetector, NotApplicable
from methods.tensors import at_once, check_images

NAME = "detector_pgd"

Part = Literal["id", "ood"]
Score = Callable[[Tensor], Tensor]  # (N,) of images (N, 3, H, W) in [0, 1]: higher = more in-distribution


@dataclass(frozen=True)
class AttackedScores:
    """Scores (N,) and (M,) float64 on the CPU, before and after; higher = more in-distribution."""

    id_clean: Tensor
    id_attacked: Tensor
    ood_clean: Tensor
    ood_attacked: Tensor
    without_gradient: float  # share of the clean images without one: a weak attack is no strong detector

    @staticmethod
    def of(inside: Rows, outside: Rows) -> AttackedScores:
        """Those of all ID and OOD images, by `attack_scores`.

        Raises
        ------
        NotApplicable
            If the score has no gradient for any image.
        """
        without = torch.cat([inside["without_gradient"], outside["without_gradient"]]).double().mean().item()
        if without == 1:
            raise NotApplicable("the gradient of the score is zero or not finite for every image")
        return AttackedScores(
            inside["clean"], inside["attacked"], outside["clean"], outside["attacked"], without
        )


@dataclass(frozen=True)
class ImageScore:
    """A fitted detector as a differentiable score of images: (N, 3, H, W) in [0, 1] to (N,).

    The step that a `GradientDetector` makes on its input is made too, and treated as a constant: its
    direction is a sign, whose derivative is zero almost everywhere.

    Parameters
    ----------
    detector
        Fitted.
    network
        From images to features, with all that the detector needs, differentiable, in eval mode: such as
        ``lambda images: tap(images, "rank_one")``.

    Raises
    ------
    NotApplicable
        If the detector scores by several networks.
    """

    detector: AnyDetector
    network: FeatureNetwork

    def __post_init__(self) -> None:
        if isinstance(self.detector, EnsembleDetector):
            raise NotApplicable(f"{self.detector.name} scores by several networks; the attack is on one")
        if isinstance(self.detector, GradientDetector) and self.detector.calibrates:
            raise NotApplicable(f"{self.detector.name} compares an image with a copy that it moves itself")

    def __call__(self, images: Tensor) -> Tensor:
        """Scores (N,), higher = more in-distribution."""
        detector = self.detector
        assert not isinstance(detector, EnsembleDetector)
        if isinstance(detector, GradientDetector) and detector.step > 0:
            images = images - detector.step * detector.direction(self.network, images)
        return detector.raw_score(self.network(images))


def attack_detector(
    score: Score, id_images: Tensor, ood_images: Tensor, seed: int, **hyperparameters: Any
) -> AttackedScores:
    """Score ID and OOD images before and after a PGD on the score itself.

    Parameters
    ----------
    score
        Differentiable: such as an `ImageScore`.
    id_images, ood_images
        Floats (N, 3, H, W) and (M, 3, H, W) in [0, 1].
    seed
        Of the random starts; ID and OOD images have generators of their own.
    hyperparameters
        As for `attack_scores`, which raises what this does.

    Raises
    ------
    NotApplicable
        If the score cannot be differentiated in the image, or its gradient is zero or not finite
        for all images.
    """
    inside = attack_scores(score, id_images, seed, "id", **hyperparameters)
    return AttackedScores.of(inside, attack_scores(score, ood_images, seed, "ood", **hyperparameters))


def attack_scores(
    score: Score,
    images: Tensor,
    seed: int,
    part: Part,
    *,
    first: int = 0,
    epsilon: float = 8 / 255,
    step_size: float = 2 / 255,
    steps: int = 10,
    random_start: bool = True,
) -> dict[str, Tensor]:
    r"""Score ID images, or OOD images, before and after a PGD on the score itself.

    .. math:: x^{t+1} = \Pi\big(x^t \pm \eta \, \mathrm{sign} \nabla_x s(x^t)\big)

    with + for OOD images and - for ID images, both with the same ε, η and steps, and a random start each.
    Cost: for each image `steps` + 1 forward and backward passes and one forward pass.

    Parameters
    ----------
    score, images, seed
        As for `attack_detector`.
    part
        Which of both they are.
    first
        The place of the first image among all of its part: a multiple of what `at_once` says.
    epsilon, step_size, steps, random_start
        ε in [0, 1], η in (0, 1], steps at least 1.

    Returns
    -------
    Of each image, on the CPU: ``clean`` and ``attacked``, float64 scores (N,), and ``without_gradient``, (N,)
    bool.

    Raises
    ------
    ValueError
        If a number is out of its range, or there are no images.
    NotApplicable
        If the score cannot be differentiated in the image.
    BrokenAttack
        If a score is not finite.
    """
    if not 0 <= epsilon <= 1 or math.isnan(epsilon):
        raise ValueError(f"epsilon: expected a number in [0, 1], got {epsilon}")
    if not 0 < step_size <= 1:
        raise ValueError(f"step_size: expected a number above 0, at most 1, got {step_size}")
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    if not len(images):
        raise ValueError(f"{part}_images: expected at least one")
    check_images(images, f"{part}_images")
    found: list[list[Tensor]] = []
    for batch in torch.split(images.detach(), at_once(images)):
        rng = generator(first, seed, NAME, part)
        start = uniform_start(batch, epsilon, rng) if random_start else batch
        sign = -1 if part == "id" else 1
        climb = partial(_climbed, batch=batch, start=start, sign=sign)
        climb = partial(climb, epsilon=epsilon, step_size=step_size, steps=steps)
        found.append([on_cpu(rows) for rows in in_pieces(climb, score, len(batch))])
        first += len(batch)
    before, after, without = (torch.cat(rows) for rows in zip(*found, strict=True))
    for scores in (before, after):
        check_finite(f"attack {NAME}", scores, f"scores of {part} images")
    return {"clean": before.double(), "attacked": after.double(), "without_gradient": without}


def _climbed(
    score: Score, batch: Tensor, start: Tensor, sign: int, epsilon: float, step_size: float, steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of one batch before and after, and which of its images have no gradient."""
    slope, before = _slope(score, batch)
    point = start
    for point in ascend(lambda x: sign * score(x), start, batch, epsilon, step_size, steps):  # noqa: B007
        pass
    check_points(NAME, point, batch, epsilon)
    with torch.no_grad():
        after = score(point)
    return before, after, no_gradient(slope)


def _slope(score: Score, images: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of the score in the images, and the scores."""
    try:
        return gradient(score, images)
    except NoGradient as error:
        raise NotApplicable("the score does not depend differentiably on the image") from error

"""Projected gradient descent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.attack import Attack, Classifier, ascend, cross_entropy, uniform_noise, uniform_start
from methods.method import Paper
from methods.registry import register


@register("pgd")
@dataclass(frozen=True)
class PGD(Attack):
    r"""Signed gradient steps, each followed by a projection onto the ball (Madry et al. 2018).

    .. math::
        x^{t+1} = \mathrm{clip}_{[0, 1]}\big(\Pi_{[x - \epsilon, x + \epsilon]}(
            x^t + \eta \, \mathrm{sign} \nabla CE(x^t, y))\big)

    The last point is the adversarial one; `path` yields all. Cost: `steps` forward and backward passes.

    Parameters
    ----------
    epsilon
        ε in [0, 1], of pixels in [0, 1].
    steps
        At least 1.
    step_size
        η in (0, 1].
    random_start
        Whether the first point is drawn uniformly from the ball; the start of image i depends on the
        generator and on i alone.
    legacy_center
        Only to reproduce the release of Hendrycks et al. (2019), where the noise of the start changed the
        image itself: the ball lies around the noisy image, so that a point can be 2ε away.

    Deviations from the paper: the defaults are those of Hendrycks et al. (2019), 20 steps of 2/255, with one
    start.
    """

    epsilon: float = 8 / 255
    steps: int = 20
    step_size: float = 2 / 255
    random_start: bool = True
    legacy_center: bool = False

    paper = Paper(
        title="Towards Deep Learning Models Resistant to Adversarial Attacks",
        authors="A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A. Vladu",
        venue="ICLR",
        year=2018,
        arxiv="1706.06083",
    )
    small = {"steps": 8}

    def __post_init__(self) -> None:
        self._check(steps=self.steps)
        if not 0 < self.step_size <= 1:
            raise ValueError(f"step_size: expected a number above 0, at most 1, got {self.step_size}")
        if self.legacy_center and not self.random_start:
            raise ValueError("legacy_center: expected random_start too, there is no noisy image without it")

    @property
    def reach(self) -> float:
        """ε, or 2ε around the image where the ball lies around the noisy one."""
        return self.epsilon * (2 if self.legacy_center else 1)

    def _search(
        self, network: Classifier, images: Tensor, labels: Tensor, rng: torch.Generator
    ) -> Iterator[Tensor]:
        centre = start = images
        if self.legacy_center:
            centre = start = images + uniform_noise(images, self.epsilon, rng)  # not cut to [0, 1]
        elif self.random_start:
            start = uniform_start(images, self.epsilon, rng)
        return ascend(
            lambda x: cross_entropy(network(x), labels),
            start,
            centre,
            self.epsilon,
            self.step_size,
            self.steps,
        )

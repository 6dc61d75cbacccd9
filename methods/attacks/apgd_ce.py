"""Auto-PGD on cross-entropy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.attack import Attack, Classifier, cross_entropy
from methods.attacks._apgd import apgd, last, random_start
from methods.method import Paper
from methods.registry import register

PAPER = Paper(
    title="Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free Attacks",
    authors="F. Croce, M. Hein",
    venue="ICML",
    year=2020,
    arxiv="2003.01690",
)


@register("apgd_ce")
@dataclass(frozen=True)
class APGDCE(Attack):
    r"""Gradient ascent with momentum, whose step is halved where it stops paying (Croce & Hein 2020, alg. 1).

    .. math::
        u &= \Pi(x^t + \eta \, \mathrm{sign} \nabla CE(x^t, y)) \\
        x^{t+1} &= \Pi\big(x^t + a (u - x^t) + (1 - a)(x^t - x^{t-1})\big), \qquad a = 0.75

    with a = 1 in the first step. η starts at 2ε. At checkpoints it is halved, and the search goes on from the
    best point, where at most three quarters of the steps since the last one raised the loss, or where the
    best loss stood still although η had not been halved the last time. The answer is the last point that the
    network erred on, else the one of the largest loss; `path` yields it after each step. The start of image
    i depends on the generator and on i alone. Cost: `steps` + 1 forward and backward passes.

    Parameters
    ----------
    epsilon
        ε in [0, 1], of pixels in [0, 1].
    steps
        At least 1.

    Deviations from the paper: one start. Where references disagree: in the release the first window's count
    of rises begins with a comparison to zero; here it begins with the start's loss.
    """

    epsilon: float = 8 / 255
    steps: int = 100

    paper = PAPER
    small = {"steps": 12}

    def __post_init__(self) -> None:
        self._check(steps=self.steps)

    def _search(
        self, network: Classifier, images: Tensor, labels: Tensor, rng: torch.Generator
    ) -> Iterator[Tensor]:
        start = random_start(images, self.epsilon, rng)
        return apgd(network, images, labels, cross_entropy, self.epsilon, self.steps, start)

    def among(
        self, network: Classifier, images: Tensor, labels: Tensor, rows: Tensor, rng: torch.Generator
    ) -> Tensor:
        """Attack some rows (N,) bool only, from the starts that they have in the whole batch."""
        start = random_start(images, self.epsilon, rng)
        found = images.clone()
        if rows.any():
            some = images[rows], labels[rows]
            found[rows] = last(apgd(network, *some, cross_entropy, self.epsilon, self.steps, start[rows]))
        return found

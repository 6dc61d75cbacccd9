"""Projected gradient descent on the margin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.attack import Attack, Classifier, ascend, uniform_start
from methods.attacks._losses import carlini_wagner
from methods.method import Paper
from methods.registry import register


@register("cw_pgd")
@dataclass(frozen=True)
class CWPGD(Attack):
    r"""PGD that lowers the margin of the label instead of raising cross-entropy (Carlini & Wagner 2017).

    .. math:: L = -\max\big(0, z_y - \max_{j \ne y} z_j + \kappa\big)

    The steps raise L. Cost: `steps` forward and backward passes.

    Parameters
    ----------
    epsilon
        ε in [0, 1], of pixels in [0, 1].
    steps
        At least 1.
    step_size
        η in (0, 1]; None is ε/10.
    confidence
        κ ≥ 0: how far below the others the label's logit is driven.
    random_start
        Whether the first point is drawn uniformly from the ball; without it nothing is drawn.

    Deviations from the paper: it minimises a sum of distance and margin; here the margin alone is lowered
    within a fixed ball, as evaluations of adversarial training do.
    """

    epsilon: float = 8 / 255
    steps: int = 30
    step_size: float | None = None
    confidence: float = 50.0
    random_start: bool = False

    paper = Paper(
        title="Towards Evaluating the Robustness of Neural Networks",
        authors="N. Carlini, D. Wagner",
        venue="IEEE Symposium on Security and Privacy",
        year=2017,
        arxiv="1608.04644",
    )
    small = {"steps": 12}

    def __post_init__(self) -> None:
        self._check(steps=self.steps)
        if self.step_size is not None and not 0 < self.step_size <= 1:
            raise ValueError(f"step_size: expected None or a number above 0, at most 1, got {self.step_size}")
        if not 0 <= self.confidence < math.inf:
            raise ValueError(f"confidence: expected a finite number of at least 0, got {self.confidence}")

    def _search(
        self, network: Classifier, images: Tensor, labels: Tensor, rng: torch.Generator
    ) -> Iterator[Tensor]:
        return ascend(
            lambda x: carlini_wagner(network(x), labels, self.confidence),
            uniform_start(images, self.epsilon, rng) if self.random_start else images,
            images,
            self.epsilon,
            self.epsilon / 10 if self.step_size is None else self.step_size,
            self.steps,
        )

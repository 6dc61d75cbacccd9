"""VRA: the energy after low features are removed and high ones are cut."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.registry import register


@register("vra")
@dataclass(frozen=True)
class VRA(Detector):
    r"""Energy of features that are rectified from both sides (Xu et al. 2023).

    .. math::
        \tilde h_d = \begin{cases}
            0 & h_d < \alpha_d \\
            h_d + \gamma & \alpha_d \le h_d \le \beta_d \\
            \beta_d & h_d > \beta_d
        \end{cases}, \qquad
        s = \log \sum_k \exp(W \tilde h + b)_k

    with :math:`\alpha_d` and :math:`\beta_d` quantiles of feature d over the training images (linear
    interpolation). Without the removal of low features it is `react` with a limit a feature.

    Shapes: features (N, D), weight (K, D), bias (K,) → scores (N,). Cost: fit O(ND log N), score O(NKD).

    Parameters
    ----------
    low
        The quantile below which a feature is removed, at least 0.
    high
        The quantile above which a feature is cut, at least `low`, at most 1.
    gamma
        γ, added to what lies between; 0 is the paper's VRA and above 0 its VRA+.

    Deviations from the paper: the defaults are the release's for CIFAR-10, which were searched for with
    Gaussian noise as outliers; here no data is used. Where references disagree: the release takes fixed
    thresholds (0.5 and 1) on ImageNet; one benchmark
    takes one pair of thresholds for all features, from validation images, and sets low features to α instead
    of 0; one library does the same for each position of the feature map. Signed features are treated alike: a
    feature below a negative α rises to 0, as in the release.
    """

    low: float = 0.6
    high: float = 0.9
    gamma: float = 0.0

    alpha: Tensor = fitted()  # (D,)
    beta: Tensor = fitted()  # (D,)
    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)

    paper = Paper(
        title="VRA: Variational Rectified Activation for Out-of-distribution Detection",
        authors="M. Xu, Z. Lian, B. Liu, J. Tao",
        venue="NeurIPS",
        year=2023,
        arxiv="2302.11716",
    )
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        if not 0 <= self.low <= 1:
            raise ValueError(f"low: expected a number from 0 to 1, got {self.low}")
        if not self.low <= self.high <= 1:
            raise ValueError(f"high: expected a number from low, {self.low}, to 1, got {self.high}")
        if not 0 <= self.gamma < math.inf:
            raise ValueError(f"gamma: expected a finite number of at least 0, got {self.gamma}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the thresholds; keep the head."""
        weight, bias = head.weight.double(), head.bias.double()
        h = train.penultimate.double().numpy()
        alpha, beta = (torch.from_numpy(t) for t in np.quantile(h, [self.low, self.high], axis=0))
        return self.with_state(alpha=alpha, beta=beta, weight=weight, bias=bias)

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        h = features.penultimate.double()
        kept = torch.where(h > self.beta, self.beta, h + self.gamma)
        kept = kept.masked_fill_(h < self.alpha, 0.0)
        return torch.logsumexp(torch.addmm(self.bias, kept, self.weight.T), dim=1)

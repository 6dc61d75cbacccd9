"""VRA: the energy after low features are removed and high ones are cut."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks, head_logits, log_sum_exp, working_type
from methods.detectors._quantiles import feature_quantiles, quantiles
from methods.registry import register

Rule = Literal["remove", "clip"]


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

    Logits of float32 features are computed in float32, and the score of them in float64. Shapes: features
    (N, D), weight (K, D), bias (K,) → scores (N,). Cost: fit O(ND log N), score O(NKD).

    Parameters
    ----------
    low
        The quantile below which a feature is removed, at least 0.
    high
        The quantile above which a feature is cut, at least `low`, at most 1.
    gamma
        γ, added to what lies between; 0 is the paper's VRA and above 0 its VRA+.
    rule
        ``remove``: as above. ``clip``: α and β are quantiles of all features together, and what is below α
        is raised to α.

    Deviations from the paper: the defaults are the release's for CIFAR-10, which were searched for with
    Gaussian noise as outliers; here no data is used. Where references disagree: the release takes fixed
    thresholds (0.5 and 1) on ImageNet; one benchmark
    takes one pair of thresholds for all features, from validation images, and sets low features to α instead
    of 0; one library does the same for each position of the feature map. Signed features are treated alike: a
    feature below a negative α rises to 0, as in the release.

    Differs from: OpenOOD v1.5 clips: it raises low features to α instead of removing them, with one α and β
    for all features together, the 10 % and 90 % quantiles of validation images or what validation outliers
    choose; that is `rule` ``clip`` and the entry `vra_clip`, but for the images. pytorch-ood 0.4.0 clips at
    the 1 % and 99 % quantiles of each position of the map, before it is pooled.
    """

    low: float = 0.6
    high: float = 0.9
    gamma: float = 0.0
    rule: Rule = "remove"

    alpha: Tensor = fitted()  # (D,), or of all features ()
    beta: Tensor = fitted()  # the same
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
        if self.rule not in get_args(Rule):
            raise ValueError(f"rule: expected one of {', '.join(get_args(Rule))}, got {self.rule!r}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the thresholds; keep the head."""
        weight, bias = head.weight.double(), head.bias.double()
        of = feature_quantiles if self.rule == "remove" else quantiles
        alpha, beta = of(train.penultimate, [self.low, self.high])
        return self.with_state(alpha=alpha, beta=beta, weight=weight, bias=bias)

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        kind = working_type(features.penultimate)
        alpha, beta, weight, bias = (t.to(kind) for t in (self.alpha, self.beta, self.weight, self.bias))

        def score(h: Tensor) -> Tensor:
            h = h.to(kind)
            kept = torch.minimum(h, beta)
            if self.gamma:
                kept = kept + self.gamma * (h <= beta).to(kind)  # a truth value times a float is float32
            if self.rule == "clip":
                return log_sum_exp(head_logits(kept.maximum(alpha), weight, bias))
            # Ones and zeros in the type of the features: torch multiplies by truth values far slower.
            kept *= torch.ge(h.detach(), alpha, out=torch.empty_like(h))
            return log_sum_exp(head_logits(kept, weight, bias))

        return by_blocks(score, features.penultimate)

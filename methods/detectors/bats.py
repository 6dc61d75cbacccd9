"""BATS: scores after each penultimate feature is moved into its typical range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks, head_logits, log_sum_exp, working_type
from methods.detectors._rows import Rows
from methods.registry import register

Base = Literal["energy", "msp"]


@register("bats")
@dataclass(frozen=True)
class BATS(Detector):
    r"""Energy of the logits that follow from typical features (Zhu et al. 2022).

    .. math::
        \tilde h_d &= \min\big( \max(h_d, \mu_d - \lambda \sigma_d), \mu_d + \lambda \sigma_d \big) \\
        s &= \log \sum_k \exp(\tilde h W^\top + b)_k

    with :math:`\mu_d` and :math:`\sigma_d` the mean and the standard deviation (with 1/N) of feature d over
    the training images. Features that are far from their mean, on either side, say little of what the network
    learnt. `react` has one limit for all features, from above alone; with a large λ this is `energy`.

    Logits of float32 features are computed in float32, and the score of them in float64. Shapes: features
    (N, D), weight (K, D), bias (K,) → scores (N,). Cost: fit O(ND), score O(NKD).

    Parameters
    ----------
    deviations
        λ ≥ 0: how many standard deviations a feature may lie from its mean. None takes the release's: 1.05
        for at least 1000 classes and else 3.25.
    base
        The score taken from the rectified logits: ``energy``, at temperature 1, or ``msp``.

    Deviations from the paper: its typical set is that of batch normalisation, by that layer's own mean and
    deviation in the network; the release rectifies penultimate features by the statistics of training
    features, which it keeps in files, and so does this. Whether these files have 1/N or 1/(N - 1) is not
    established. Where references disagree: the release has 3.25 for a ResNet-18 on CIFAR-10 and 1.05 for a
    ViT-B/16 on ImageNet, whose features are signed, and nothing for other networks; which λ the paper takes
    for a ResNet-50 is not established. Its other scores, ODIN and GradNorm of typical features, are left out.
    Signed features need nothing special; a feature that never fires in training is held at its mean.

    Differs from: none to compare with: OpenOOD v1.5 and pytorch-ood 0.4.0 do not have it.
    """

    deviations: float | None = None
    base: Base = "energy"

    low: Tensor = fitted()  # (D,): μ - λσ
    high: Tensor = fitted()  # (D,): μ + λσ
    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)

    paper = Paper(
        title="Boosting Out-of-distribution Detection with Typical Features",
        authors="Y. Zhu, Y. Chen, C. Xie, X. Li, R. Zhang, H. Xue, X. Tian, B. Zheng, Y. Chen",
        venue="NeurIPS",
        year=2022,
        arxiv="2210.04200",
    )
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        if self.deviations is not None and not 0 <= self.deviations < math.inf:
            raise ValueError(
                f"deviations: expected None or a finite number of at least 0, got {self.deviations}"
            )
        if self.base not in get_args(Base):
            raise ValueError(f"base: expected one of {', '.join(get_args(Base))}, got {self.base!r}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the typical range of each feature; keep the head."""
        weight, rows = head.weight.double(), Rows(train.penultimate)
        published = 1.05 if len(weight) >= 1000 else 3.25
        mean = rows.mean()
        reach = (published if self.deviations is None else self.deviations) * rows.deviation(mean)
        return self.with_state(low=mean - reach, high=mean + reach, weight=weight, bias=head.bias.double())

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        kind = working_type(features.penultimate)
        low, high, weight, bias = (t.to(kind) for t in (self.low, self.high, self.weight, self.bias))

        def score(h: Tensor) -> Tensor:
            logits = head_logits(h.to(kind).clamp(low, high), weight, bias)  # (K, n)
            if self.base == "energy":
                return log_sum_exp(logits)
            return torch.softmax(logits, dim=0).amax(dim=0)

        return by_blocks(score, features.penultimate)

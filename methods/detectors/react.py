"""ReAct: scores after the penultimate features are clipped from above."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks, head_logits, log_sum_exp, working_type
from methods.detectors._quantiles import quantiles
from methods.method import check_percent
from methods.registry import register

Base = Literal["energy", "msp"]


@register("react")
@dataclass(frozen=True)
class ReAct(Detector):
    r"""Energy of the logits that follow from rectified features (Sun, Guo & Li 2021).

    .. math::
        \bar h &= \min(h, c) \\
        s &= \log \sum_k \exp(\bar h W^\top + b)_k

    with c the p-th percentile of all N·D in-distribution training features together, not of each feature,
    linearly interpolated. Outliers tend to fire a few features very strongly, and lose more by the clipping.

    Logits of float32 features are computed in float32, and the score of them in float64. Shapes: features
    (N, D), weight (K, D), bias (K,) → scores (N,). Cost: fit O(ND), score O(NKD).

    Parameters
    ----------
    percentile
        p, in percent, from 0 to 100.
    base
        The score taken from the rectified logits: ``energy``, at temperature 1, or ``msp``.

    Deviations from the paper: none. Where references disagree: some code takes the percentile of validation
    or test features, or a fixed c = 1; ViM's comparison uses p = 99. Signed features (ViT, ConvNeXt) are
    clipped from above alone, and the percentile is of their signed values.

    Differs from: OpenOOD v1.5 takes the percentile of validation images, pytorch-ood 0.4.0 that of the map's
    entries, which it clips before they are pooled.
    """

    percentile: float = 90.0
    base: Base = "energy"

    threshold: float = fitted()  # c
    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)

    paper = Paper(
        title="ReAct: Out-of-distribution Detection With Rectified Activations",
        authors="Y. Sun, C. Guo, Y. Li",
        venue="NeurIPS",
        year=2021,
        arxiv="2111.12797",
    )
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        check_percent("percentile", self.percentile)
        if not 0 <= self.percentile <= 100:
            raise ValueError(f"percentile: expected a number from 0 to 100, got {self.percentile}")
        if self.base not in get_args(Base):
            raise ValueError(f"base: expected one of {', '.join(get_args(Base))}, got {self.base!r}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the threshold; keep the head."""
        threshold = float(quantiles(train.penultimate, [self.percentile / 100]))
        return self.with_state(threshold=threshold, weight=head.weight.double(), bias=head.bias.double())

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        kind = working_type(features.penultimate)
        weight, bias = self.weight.to(kind), self.bias.to(kind)

        def score(h: Tensor) -> Tensor:
            logits = head_logits(h.to(kind).clamp(max=self.threshold), weight, bias)  # (K, n)
            if self.base == "energy":
                return log_sum_exp(logits)
            return torch.softmax(logits, dim=0).amax(dim=0)

        return by_blocks(score, features.penultimate)

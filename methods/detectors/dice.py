"""DICE: scores from the weights that contribute most, the others set to zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks, head_logits, log_sum_exp
from methods.detectors._rows import Rows
from methods.method import check_percent
from methods.registry import register


@register("dice")
@dataclass(frozen=True)
class DICE(Detector):
    r"""Energy of the logits of a sparsified head (Sun & Li 2022).

    .. math::
        V_{kd} &= W_{kd} \, m_d, \qquad m = \frac{1}{N} \sum_i h_i \\
        s &= \log \sum_k \exp\big(h (W \circ [V > t])^\top + b\big)_k

    with t the p-th percentile of all K·D contributions V together, linearly interpolated, and the mean over
    all training images, whatever their class. The bias stays. Weights that contribute little to any training
    image add noise to the logits, and more of it for outliers.

    Shapes: features (N, D), weight (K, D), bias (K,) → scores (N,). Cost: fit O(ND + KD log KD), score
    O(NKD).

    Parameters
    ----------
    percentile
        p, in percent, from 0 to 100: the share of weights set to zero. None takes the published 70 for at
        least 1000 classes and else 90.

    Deviations from the paper: none. The comparison is strict: weights at t go too. Signed features (ViT,
    ConvNeXt) are taken as they are: where the mean is negative, negative weights contribute.

    Differs from: OpenOOD v1.5 takes 90 for any number of classes; pytorch-ood 0.4.0 has no default.
    """

    percentile: float | None = None

    threshold: float = fitted()  # t
    weight: Tensor = fitted()  # (K, D), sparsified
    bias: Tensor = fitted()  # (K,)

    paper = Paper(
        title="DICE: Leveraging Sparsification for Out-of-Distribution Detection",
        authors="Y. Sun, Y. Li",
        venue="ECCV",
        year=2022,
        arxiv="2111.09805",
    )
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        check_percent("percentile", self.percentile)
        if self.percentile is not None and not 0 <= self.percentile <= 100:
            raise ValueError(f"percentile: expected None or a number from 0 to 100, got {self.percentile}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn which weights contribute; keep those and the bias."""
        weight = head.weight.double()
        contribution = weight * Rows(train.penultimate).mean()  # (K, D)
        published = 70.0 if len(weight) >= 1000 else 90.0
        percentile = published if self.percentile is None else self.percentile
        # NumPy, because torch.quantile refuses more than 2²⁴ values.
        threshold = float(np.percentile(contribution.cpu().numpy(), percentile))
        kept = weight.where(contribution > threshold, 0.0)
        return self.with_state(threshold=threshold, weight=kept, bias=head.bias.double())

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        return by_blocks(
            lambda h: log_sum_exp(head_logits(h.double(), self.weight, self.bias)),
            features.penultimate,
        )

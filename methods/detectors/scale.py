"""SCALE: scores after each image's activations are scaled by how concentrated they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks, head_logits, largest_of_each, log_sum_exp
from methods.detectors.ash import amplification, count_kept, require_positive_sums
from methods.method import check_percent
from methods.registry import register


@register("scale")
@dataclass(frozen=True)
class Scale(Detector):
    r"""Energy of the logits that follow from scaled activations (Xu, Chen, Franchi & Yao 2024).

    .. math::
        k &= D - \mathrm{round}(D p / 100), \qquad
            s_1 = \sum_d h_d, \quad s_2 = \sum_{d \in \text{top } k} h_d \\
        s &= \log \sum_k \exp\big(\exp(s_1 / s_2) \, h W^\top + b\big)_k

    This is ASH-S (see `ash`) without the pruning: every activation is scaled, and the k largest of the image
    only set the factor.

    Shapes: features (N, D), weight (K, D), bias (K,) → scores (N,). Cost: fit O(ND), score O(ND + NKD), k
    taken as constant.

    Parameters
    ----------
    percentile
        p, in percent, at least 0 and below 100: the share of activations outside s₂.

    Deviations from the paper: none for its post-hoc use; its training (ISH) is not part of this. Signed
    features (ViT, ConvNeXt): as for ASH-S, s₁ / s₂ is limited to [0, 20], and a network where s₂ ≤ 0 for more
    than 1 % of training images is not applicable.

    Differs from: OpenOOD v1.5 starts from 85 too and then takes what validation outliers choose from 65 to
    95; pytorch-ood 0.4.0 scales by the map before it is pooled, by default with 65.
    """

    percentile: float = 85.0

    kept: int = fitted()  # k
    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)

    paper = Paper(
        title="Scaling for Training Time and Post-hoc Out-of-distribution Detection Enhancement",
        authors="K. Xu, R. Chen, G. Franchi, A. Yao",
        venue="ICLR",
        year=2024,
        arxiv="2310.00227",
    )
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        check_percent("percentile", self.percentile)
        if not 0 <= self.percentile < 100:
            raise ValueError(f"percentile: expected a number of at least 0, below 100, got {self.percentile}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Check that the activations can be scaled; keep the head. Nothing is learned.

        Raises
        ------
        HyperparameterError
            If `percentile` leaves no activation for s₂.
        NotApplicable
            If the scale would divide by sums that are not positive.
        """
        kept = count_kept(head.weight.shape[1], self.percentile)
        require_positive_sums(train.penultimate, kept)
        return self.with_state(kept=kept, weight=head.weight.double(), bias=head.bias.double())

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        return by_blocks(self._score, features.penultimate)

    def _score(self, h: Tensor) -> Tensor:
        top = largest_of_each(h, self.kept).double()
        h = h.double()
        unscaled = head_logits(h, self.weight, torch.zeros_like(self.bias))  # (K, n)
        return log_sum_exp(amplification(h, top)[:, 0] * unscaled + self.bias[:, None])

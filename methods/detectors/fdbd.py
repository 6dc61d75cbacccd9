"""fDBD: distance of features to the decision boundaries, relative to that from the training mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks, head_logits, working_type
from methods.detectors._rows import Rows
from methods.registry import register

Centre = Literal["mean", "zero"]


@register("fdbd")
@dataclass(frozen=True)
class FDBD(Detector):
    r"""Summed distance to the decision boundaries over the distance from the mean feature (Liu & Qin 2024).

    .. math::
        s = \frac{1}{\lVert h - \mu \rVert} \sum_{c \ne \hat y}
            \frac{|z_{\hat y} - z_c|}{\lVert w_{\hat y} - w_c \rVert}, \qquad
        \mu = \frac{1}{N} \sum_i h_i, \quad \hat y = \arg\max_k z_k

    Each term is the exact distance in feature space from h to the plane where classes ŷ and c have equal
    logits. Features far from the mean are far from the boundaries too, which the division takes out.

    Products of float32 features are computed in float32, all that follows from them in float64. Shapes:
    features (N, D), weight (K, D), bias (K,) → scores (N,). Cost: fit O(ND + K²D), score O(NKD).

    Parameters
    ----------
    centre
        μ: the ``mean`` of the training features, or ``zero``, which divides by the norm of the features.

    Deviations from the paper: the sum and not the average, as in the release: K - 1 times as much, the same
    ranking. Classes with equal weights have no boundary between them and are left out. A distance from the
    centre below 1e-12 counts as 1e-12. Where references disagree: one benchmark chooses the centre by
    validation. Signed features need nothing special.

    Differs from: OpenOOD v1.5 lets validation outliers choose the centre; pytorch-ood 0.4.0 divides the sum
    by K - 1 (same ranking).
    """

    centre: Centre = "mean"

    mean: Tensor = fitted()  # (D,): μ
    inverse_gaps: Tensor = fitted()  # (K, K): 1 / ‖w_c - w_k‖, 0 for equal weights
    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)

    paper = Paper(
        title="Fast Decision Boundary based Out-of-Distribution Detector",
        authors="L. Liu, Y. Qin",
        venue="ICML",
        year=2024,
        arxiv="2312.11536",
    )
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        if self.centre not in get_args(Centre):
            raise ValueError(f"centre: expected one of {', '.join(get_args(Centre))}, got {self.centre!r}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the centre and how far apart the weights of any two classes are; keep the head."""
        mean, weight = Rows(train.penultimate).mean(), head.weight.double()
        # From differences, not inner products, so that equal weights are exactly 0 apart.
        gaps = torch.cdist(weight, weight, compute_mode="donot_use_mm_for_euclid_dist")
        return self.with_state(
            mean=mean if self.centre == "mean" else torch.zeros_like(mean),
            inverse_gaps=torch.where(gaps > 0, 1 / gaps, 0.0),
            weight=weight,
            bias=head.bias.double(),
        )

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        kind = working_type(features.penultimate)
        mean, weight, bias = (t.to(kind) for t in (self.mean, self.weight, self.bias))

        def score(h: Tensor) -> Tensor:
            h = h.to(kind)
            logits = head_logits(h, weight, bias)  # (K, n)
            largest, predicted = logits.max(dim=0)
            gaps = self.inverse_gaps.index_select(1, predicted)  # faster than by [:, predicted]
            distances = (largest - logits) * gaps  # (K, n), 0 for ŷ itself
            from_centre: Tensor = torch.linalg.vector_norm(h - mean, dim=1).double()
            return distances.sum(dim=0) / from_centre.clamp(min=1e-12)

        return by_blocks(score, features.penultimate)

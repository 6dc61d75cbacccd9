"""RankFeat: the energy without the leading singular component of the last feature map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, NotApplicable, Paper, Signal, fitted
from methods.registry import register

ROWS = 4096  # compared at once
SAME = 1e-5  # what is left of float32 features, as a share of the largest, if nothing is


@register("rankfeat")
@dataclass(frozen=True)
class RankFeat(Detector):
    r"""Energy of the features less the rank-one part of the last feature map (Song, Sebe & Wang 2022).

    .. math::
        F &= \sum_i \sigma_i u_i v_i^\top \in \mathbb{R}^{D \times S} \\
        h' &= h - \sigma_1 u_1 \, \overline{v_1} \\
        s &= \log \sum_k \exp(W h' + b)_k

    where F is the last feature map, S its number of positions, h its average over them and
    :math:`\overline{v_1}` the average entry of :math:`v_1`. The paper removes the component from the map; the
    average and the head are linear, so removing its average from h is the same. The paper finds
    :math:`\sigma_1` larger in outliers, so that their energy falls more.

    Shapes: features and their component (N, D), weight (K, D), bias (K,) → scores (N,). Cost: O(NKD). No
    hyper-parameters.

    Deviations from the paper: it removes the component from the map of the last block but one too, sends the
    rest through the last block, and averages both logits; that needs a second run of the last block and is
    left out, so this is its ablation with the last block alone. The temperature is 1. Where references
    disagree: code for large maps finds the component by some 20 power iterations from a random start; here it
    is the exact one.

    Differs from: OpenOOD v1.5 averages the logits of the last block with those of the last but one, whose
    component is removed before it passes the last block, as the paper does: a second run of part of the
    network, which no hyper-parameter of features can express. pytorch-ood 0.4.0 has one map, as here.
    """

    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)

    paper = Paper(
        title="RankFeat: Rank-1 Feature Removal for Out-of-distribution Detection",
        authors="Y. Song, N. Sebe, W. Wang",
        venue="NeurIPS",
        year=2022,
        arxiv="2209.08590",
    )
    needs = frozenset({Signal.RANK_ONE, Signal.PENULTIMATE, Signal.HEAD})

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Keep the head; nothing is learned.

        Raises
        ------
        NotApplicable
            If the component is all of every training image's features.
        """
        weight, bias = head.weight.double(), head.bias.double()
        pairs = zip(torch.split(train.penultimate, ROWS), torch.split(train.rank_one, ROWS), strict=True)
        if all((h - component).abs().amax() <= SAME * h.abs().amax() for h, component in pairs):
            raise NotApplicable(
                "the last feature map has rank one, such as a map of one position: nothing is left of it"
            )
        return self.with_state(weight=weight, bias=bias)

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D) and their leading component (N, D): (N,) float64."""
        rest = features.penultimate.double() - features.rank_one.double()
        return torch.logsumexp(rest @ self.weight.T + self.bias, dim=1)

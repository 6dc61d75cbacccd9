"""Maximum logit."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.base import Detector, Features, Paper, Signal
from methods.registry import register


@register("max_logit")
@dataclass(frozen=True)
class MaxLogit(Detector):
    r"""Largest logit: what the softmax of `msp` divides away is kept (Hendrycks et al. 2022).

    .. math:: s = \max_k z_k

    Shapes: logits (N, K) → scores (N,). Cost: O(NK). No hyper-parameters. Deviations from the paper: none; it
    states the score as :math:`-s`. A constant added to all logits changes it, so compare scores of one
    network only.

    Differs from: none: OpenOOD v1.5 (as MLS) and pytorch-ood 0.4.0 have the same score.
    """

    paper = Paper(
        title="Scaling Out-of-Distribution Detection for Real-World Settings",
        authors="D. Hendrycks, S. Basart, M. Mazeika, A. Zou, J. Kwon, M. Mostajabi, J. Steinhardt, D. Song",
        venue="ICML",
        year=2022,
        arxiv="1911.11132",
    )
    aliases = ("mls", "max_logit_score", "maximum_logit_score")
    needs = frozenset({Signal.LOGITS})

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K): (N,) float64."""
        return features.logits.amax(dim=1).double()

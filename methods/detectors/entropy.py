"""Shannon entropy of the prediction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.base import Detector, Features, Paper, Signal
from methods.detectors._blocks import by_blocks, classes_first
from methods.registry import register


@register("entropy")
@dataclass(frozen=True)
class Entropy(Detector):
    r"""Negative entropy of the softmax; with `energy`, a pair of the logit-versus-softmax study.

    .. math:: s = \sum_k p_k \log p_k = -H(p), \qquad p = \mathrm{softmax}(z)

    where :math:`0 \log 0 = 0`. The score runs from :math:`-\log K`, the uniform prediction, to 0, the certain
    one.

    Shapes: logits (N, K) → scores (N,). Cost: O(NK). No hyper-parameters.

    Deviations from the paper: the entropy is as old as Shannon (1948) and no paper owns it as a score of
    outliers; the one named takes the entropy of an ensemble's mean prediction, here of one network's. Where
    references disagree: some libraries return :math:`+H` as an outlier score. In float64 it does not tie
    where `msp` does: when the largest probability rounds to 1, the small ones still tell by how much.

    Differs from: pytorch-ood 0.4.0 holds probabilities above 1e-7; OpenOOD v1.5 does not have it.
    """

    paper = Paper(
        title="Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles",
        authors="B. Lakshminarayanan, A. Pritzel, C. Blundell",
        venue="NeurIPS",
        year=2017,
        arxiv="1612.01474",
    )
    aliases = ("negative_entropy", "softmax_entropy")
    needs = frozenset({Signal.LOGITS})

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K): (N,) float64."""
        return -by_blocks(_entropy, features.logits)


def _entropy(logits: Tensor) -> Tensor:
    entropy: Tensor = torch.special.entr(torch.softmax(classes_first(logits), dim=0)).sum(dim=0)
    return entropy

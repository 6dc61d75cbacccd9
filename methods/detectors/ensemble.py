"""Deep ensemble: several networks, trained with different seeds, averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.base import EnsembleDetector, Features, Paper, Signal
from methods.detectors._averaging import Statistic, agreement, check_statistic
from methods.registry import register


@register("ensemble")
@dataclass(frozen=True)
class Ensemble(EnsembleDetector):
    r"""Average the probabilities of M networks of different seeds (Lakshminarayanan et al. 2017).

    .. math:: \bar p = \frac{1}{M} \sum_{m=1}^{M} \mathrm{softmax}(z_m)

    The score is the largest entry of :math:`\bar p`, minus its entropy, or minus the mutual information of
    prediction and member, :math:`\mathrm{MI} = H(\bar p) - \frac{1}{M} \sum_m H(p_m)`, which counts only what
    the members disagree about.

    Shapes: logits (N, K) of each member, in the same order of images and of classes → scores (N,). Cost:
    O(NMK), after M forward passes.

    Parameters
    ----------
    members
        M, of how many networks, at least 2.
    statistic
        ``msp``, ``entropy`` or ``mutual_information``.

    Deviations from the paper: the members are trained without its adversarial examples. Where references
    disagree: some benchmarks average logits, which is another estimator; the paper averages probabilities.

    Differs from: OpenOOD v1.5 averages logits; pytorch-ood 0.4.0 does not have it.
    """

    members: int = 5
    statistic: Statistic = "msp"

    paper = Paper(
        title="Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles",
        authors="B. Lakshminarayanan, A. Pritzel, C. Blundell",
        venue="NeurIPS",
        year=2017,
        arxiv="1612.01474",
    )
    aliases = ("deep_ensemble", "deep_ensembles")
    needs = frozenset({Signal.LOGITS})

    def __post_init__(self) -> None:
        if self.members < 2:
            raise ValueError(f"members: expected at least 2, got {self.members}")
        check_statistic(self.statistic)

    def score(self, members: Sequence[Features]) -> Tensor:
        """Score logits (N, K) of each member: (N,) float64.

        Raises
        ------
        ValueError
            If their logits differ in shape.
        """
        shapes = sorted({tuple(member.logits.shape) for member in members})
        if len(shapes) > 1:
            raise ValueError(f"members: expected logits of one shape, got {' and '.join(map(str, shapes))}")
        return agreement(torch.stack([member.logits.double() for member in members], dim=1), self.statistic)

"""Distance to the k-th nearest training image in logit space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._nearest import check_k, kth_distance
from methods.registry import register


@register("logit_knn")
@dataclass(frozen=True)
class LogitKNN(Detector):
    r"""Distance to the k-th nearest training logits; paired with `prob_knn` (Aigrain & Detyniecki 2019).

    .. math:: s = -\lVert z - z_{(k)} \rVert

    where :math:`z_{(k)}` is the k-th nearest of the logits of the M training images (the bank), counted from
    1. Nothing is normalised, so the scale of the logits, which the softmax divides away, counts. The paper
    claims that this loss hinders detection; `prob_knn` is the same detector after the softmax, and what
    separates the two scores is the softmax alone.

    Shapes: logits (N, K) → scores (N,). Cost: O(NMK), in blocks of rows that hold 2²⁴ distances at once.

    Parameters
    ----------
    k
        Which neighbour, at least 1.

    Deviations from the paper: its own two detectors could not be verified, so this is a controlled comparison
    of its claim and not a reproduction; k = 50 is the published default of `knn` on CIFAR-10.
    """

    k: int = 50

    bank: Tensor = fitted()  # (M, K)

    paper = Paper(
        title="How the Softmax Activation Hinders the Detection of Adversarial and Out-of-Distribution "
        "Examples in Neural Networks",
        authors="J. Aigrain, M. Detyniecki",
        venue="ICLR 2020 submission, OpenReview Byx55pVKDB",
        year=2019,
    )
    needs = frozenset({Signal.LOGITS})

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k: expected at least 1, got {self.k}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Keep the training logits.

        Raises
        ------
        HyperparameterError
            If `k` is larger than the number of training images.
        """
        check_k(self.k, len(train))
        return self.with_state(bank=train.logits.double())

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K): (N,) float64."""
        return -kth_distance(features.logits.double(), self.bank, self.k)

"""Distance to the k-th nearest training image in probability space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._nearest import check_k, kth_distance
from methods.registry import register


@register("prob_knn")
@dataclass(frozen=True)
class ProbKNN(Detector):
    r"""Distance to the k-th nearest training softmax; paired with `logit_knn` (Aigrain & Detyniecki 2019).

    .. math:: s = -\lVert p - p_{(k)} \rVert, \qquad p = \mathrm{softmax}(z)

    where :math:`p_{(k)}` is the k-th nearest of the probabilities of the M training images (the bank),
    counted from 1. An image far beyond the training images along a class has the probabilities of that class,
    and so is near here and far in `logit_knn`.

    Shapes: logits (N, K) → scores (N,). Cost: O(NMK), in blocks of rows that hold 2²⁴ distances at once.

    Parameters
    ----------
    k
        Which neighbour, at least 1.

    Deviations from the paper: its own two detectors could not be verified, so this is a controlled comparison
    of its claim and not a reproduction; k = 50 is the published default of `knn` on CIFAR-10. The softmax is
    taken in float64, so that rounding does not tie what the claim is about.
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
        """Keep the training probabilities.

        Raises
        ------
        HyperparameterError
            If `k` is larger than the number of training images.
        """
        check_k(self.k, len(train))
        return self.with_state(bank=_probabilities(train))

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K): (N,) float64."""
        return -kth_distance(_probabilities(features), self.bank, self.k)


def _probabilities(features: Features) -> Tensor:
    return torch.softmax(features.logits.double(), dim=1)

"""Mahalanobis distance to the nearest class mean, in logit space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors.mahalanobis import Mahalanobis
from methods.registry import register


@register("logit_mahalanobis")
@dataclass(frozen=True)
class LogitMahalanobis(Detector):
    r"""`mahalanobis` of the logits; paired with `prob_mahalanobis` (Aigrain & Detyniecki 2019).

    .. math::
        \Sigma &= \frac{1}{N} \sum_i (z_i - \mu_{y_i})(z_i - \mu_{y_i})^\top \\
        s &= -\min_c \; (z - \mu_c)^\top \Sigma^{+} (z - \mu_c)

    with :math:`\mu_c` the mean logits of the training images labelled c. The computation is that of
    `mahalanobis`, which sees the logits in place of the features; `prob_mahalanobis` is the same after the
    softmax, and what separates the two scores is the softmax alone. Logits are affine in the features, so Σ
    is singular where the head is, such as where its rows sum to zero: hence the pseudo-inverse.

    Shapes: logits (N, K), labels (N,) → scores (N,). Cost: fit O(NK² + K³), score O(NK²). No
    hyper-parameters. The specification calls it ``logit_maha``.

    Deviations from the paper: its own two detectors could not be verified, so this is a controlled comparison
    of its claim and not a reproduction.
    """

    gaussian: Mahalanobis = fitted()

    paper = Paper(
        title="How the Softmax Activation Hinders the Detection of Adversarial and Out-of-Distribution "
        "Examples in Neural Networks",
        authors="J. Aigrain, M. Detyniecki",
        venue="ICLR 2020 submission, OpenReview Byx55pVKDB",
        year=2019,
    )
    needs = frozenset({Signal.LOGITS})

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn class means and the shared covariance of the logits.

        Raises
        ------
        ValueError
            If a class has no training image, or no logit varies within any class.
        """
        logits = Features(train.logits, train.logits, train.labels)
        return self.with_state(gaussian=Mahalanobis().fit(logits, val, head))

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K): (N,) float64."""
        return self.gaussian.score(Features(features.logits, features.logits))

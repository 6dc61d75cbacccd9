"""Mahalanobis distance to the nearest class mean, in probability space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors.mahalanobis import Mahalanobis
from methods.registry import register


@register("prob_mahalanobis")
@dataclass(frozen=True)
class ProbMahalanobis(Detector):
    r"""`mahalanobis` of the softmax; paired with `logit_mahalanobis` (Aigrain & Detyniecki 2019).

    .. math::
        p &= \mathrm{softmax}(z) \\
        \Sigma &= \frac{1}{N} \sum_i (p_i - \mu_{y_i})(p_i - \mu_{y_i})^\top \\
        s &= -\min_c \; (p - \mu_c)^\top \Sigma^{+} (p - \mu_c)

    with :math:`\mu_c` the mean probabilities of the training images labelled c. The computation is that of
    `mahalanobis`, which sees the probabilities in place of the features. They sum to 1, so Σ has rank K - 1
    at most and the pseudo-inverse is a necessity. An image far beyond the training images along a class has
    the probabilities of that class, and so is near here and far in `logit_mahalanobis`.

    Shapes: logits (N, K), labels (N,) → scores (N,). Cost: fit O(NK² + K³), score O(NK²). No
    hyper-parameters. The specification calls it ``prob_maha``.

    Deviations from the paper: its own two detectors could not be verified, so this is a controlled comparison
    of its claim and not a reproduction. The softmax is taken in float64, so that rounding does not tie what
    the claim is about. Where the network is certain of its training images, Σ is tiny and the distance of
    an image of which it is not is huge.
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
        """Learn class means and the shared covariance of the probabilities.

        Raises
        ------
        ValueError
            If a class has no training image, or no probability varies within any class.
        """
        p = _probabilities(train)
        return self.with_state(gaussian=Mahalanobis().fit(Features(p, p, train.labels), val, head))

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K): (N,) float64."""
        p = _probabilities(features)
        return self.gaussian.score(Features(p, p))


def _probabilities(features: Features) -> Tensor:
    return torch.softmax(features.logits.double(), dim=1)

"""OptFS: the predicted logit of features that a step function shapes, one learnt in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, NotApplicable, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks, head_logits, log_sum_exp
from methods.detectors._quantiles import quantiles
from methods.detectors._rows import Rows
from methods.registry import register

Base = Literal["max_logit", "energy"]

LENGTH = 1000.0  # of all factors together, as in the release
LEAST = 1e-12  # of the largest feature: a range below is rounding


@register("optfs")
@dataclass(frozen=True)
class OptFS(Detector):
    r"""Score of features times a factor that depends on which interval they lie in (Zhao et al. 2024).

    .. math::
        I_m &= \frac{1}{N} \sum_i \sum_{d \,:\, h_{id} \in B_m} w_{\hat y_i d} \, h_{id}, \qquad
            \theta = 1000 \, \frac{I}{\lVert I \rVert_2} \\
        \tilde h_d &= \theta_m h_d \;\text{ for } h_d \in B_m, \;\text{ else } 0 \\
        s &= \sum_d w_{\hat y d} \, \tilde h_d, \qquad \hat y = \arg\max_k z_k

    with M half-open intervals :math:`B_m` of equal width that together reach from the τ-quantile of all N·D
    training features to their (1 - τ)-quantile, linearly interpolated. :math:`I_m` is what the features of an
    interval add to the predicted logit of a training image. Of all θ of one length, this one gives training
    images the largest mean score: no outlier has a say.

    Shapes: features (N, D), logits (N, K), weight (K, D), bias (K,) → scores (N,). Cost: fit O(ND log M),
    score O(ND log M), with ``energy`` and O(NKD).

    Parameters
    ----------
    intervals
        M, at least 1.
    tail
        τ, the share of features left out at each end: at least 0, below 1/2.
    base
        ``max_logit``: as above, the shaped logit of the class that the unshaped logits predict, without its
        bias. ``energy``: the log of the summed exponentials of all shaped logits, bias included.

    Deviations from the release: where rounding gives it one more interval beyond the upper quantile, here are
    exactly M. Training features that do not vary between the two quantiles, or add nothing to the predicted
    logits, are not applicable, where it divides by zero. The length of θ, 1000, is the release's; it does not
    change the ranking by ``max_logit``, and for ``energy`` it makes logits so large that the score is close
    to the largest of them. Its variant that predicts by the shaped logits and learns again, ten times, is
    left out. Equation numbers of the paper are not established here. Signed features need nothing special:
    quantiles and products are of signed values.

    Differs from: none to compare with: OpenOOD v1.5 and pytorch-ood 0.4.0 do not have it.
    """

    intervals: int = 100
    tail: float = 0.001
    base: Base = "max_logit"

    edges: Tensor = fitted()  # (M + 1,), ascending
    factors: Tensor = fitted()  # (M + 2,): θ, with 0 for what lies below and above
    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)

    paper = Paper(
        title="Towards Optimal Feature-Shaping Methods for Out-of-Distribution Detection",
        authors="Q. Zhao, M. Xu, K. Gupta, A. Asthana, L. Zheng, S. Gould",
        venue="ICLR",
        year=2024,
        arxiv="2402.00865",
    )
    needs = frozenset({Signal.LOGITS, Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        if self.intervals < 1:
            raise ValueError(f"intervals: expected at least 1, got {self.intervals}")
        if not 0 <= self.tail < 0.5:
            raise ValueError(f"tail: expected a share of at least 0 and below 0.5, got {self.tail}")
        if self.base not in get_args(Base):
            raise ValueError(f"base: expected one of {', '.join(get_args(Base))}, got {self.base!r}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the intervals and their factors; keep the head.

        Raises
        ------
        NotApplicable
            If the training features are all alike between the two quantiles, or those of no interval add to
            the predicted logits.
        """
        low, high = quantiles(train.penultimate, [self.tail, 1 - self.tail]).tolist()
        if high - low <= LEAST * max(abs(low), abs(high)):
            raise NotApplicable(
                f"the training features do not vary between their quantiles {self.tail:g} and "
                f"{1 - self.tail:g}, {low:.6g} and {high:.6g}: there is no interval to learn of"
            )
        weight = head.weight.double()
        edges = torch.linspace(low, high, self.intervals + 1, dtype=torch.float64).to(weight)
        cells = self.intervals + 2

        def added(h: Tensor, predicted: Tensor) -> Tensor:
            products = weight[predicted] * h
            found = torch.bincount(_cells(h, edges).flatten(), products.flatten(), cells)
            return found[1:-1]  # what lies outside all intervals has no say

        rows = Rows(train.penultimate)
        means = rows.total(added, train.logits.argmax(dim=1)) / len(rows)
        length: Tensor = torch.linalg.vector_norm(means)
        if not length > 0:
            raise NotApplicable("no training feature adds to a predicted logit: there is nothing to learn of")
        factors = torch.nn.functional.pad(LENGTH * means / length, (1, 1))
        return self.with_state(edges=edges, factors=factors, weight=weight, bias=head.bias.double())

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D) of images with logits (N, K): (N,) float64."""
        return by_blocks(self._score, features.penultimate, features.logits)

    def _score(self, h: Tensor, logits: Tensor) -> Tensor:
        h = h.double()
        shaped = self.factors[_cells(h.detach(), self.edges)] * h  # (n, D)
        if self.base == "energy":
            return log_sum_exp(head_logits(shaped, self.weight, self.bias))
        return (self.weight[logits.argmax(dim=1)] * shaped).sum(dim=1)


def _cells(h: Tensor, edges: Tensor) -> Tensor:
    """Which interval each of h (n, D) lies in, counted from 1; 0 is below all of them, M + 1 above."""
    return torch.bucketize(h, edges, right=True)

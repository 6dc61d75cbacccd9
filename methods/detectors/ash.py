"""ASH: scores after each image's smaller activations are removed and the others reshaped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, HyperparameterError, NotApplicable, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks, head_logits, largest_of_each, log_sum_exp
from methods.method import check_percent
from methods.registry import register

Variant = Literal["s", "p", "b"]

LARGEST_RATIO = 20.0  # of s1 / s2, whose exponential scales the features
TOLERATED = 0.01  # share of training images whose largest activations may sum to nothing


@register("ash")
@dataclass(frozen=True)
class ASH(Detector):
    r"""Energy of the logits that follow from shaped activations (Djurisic, Bozanic, Ashok & Liu 2023).

    .. math::
        k &= D - \mathrm{round}(D p / 100), \qquad
            s_1 = \sum_d h_d, \quad s_2 = \sum_{d \in \text{top } k} h_d \\
        h'_d &= \begin{cases}
            h_d \exp(s_1 / s_2) & \text{ASH-S} \\ h_d & \text{ASH-P} \\ s_1 / k & \text{ASH-B}
            \end{cases} \quad \text{for } d \text{ in the top } k, \text{ else } 0 \\
        s &= \log \sum_k \exp(h' W^\top + b)_k

    The k largest activations are each image's own, the first of equal ones being the larger; s₁ is of the
    activations before any is removed.

    Shapes: features (N, D), weight (K, D), bias (K,) → scores (N,). Cost: fit O(ND), score O(ND log D + NKD).

    Parameters
    ----------
    percentile
        p, in percent, at least 0 and below 100: the share of activations removed.
    variant
        ``s``: scale the rest; ``p``: prune only; ``b``: make the rest equal.

    Deviations from the paper: it shapes pooled features, where the release shapes the map before pooling for
    some networks. The release's p is tuned to the network (90 and 95 for S, 99 for B and for DenseNet on
    ImageNet); the default is that of ResNet-50 on ImageNet.

    Signed features (ViT, ConvNeXt): s₁ / s₂ is limited to [0, 20], because it explodes where s₂ is near 0. A
    network where s₂ ≤ 0 for more than 1 % of training images is not applicable to S. P and B do not divide by
    s₂ and take signed features as they are.

    Differs from: OpenOOD v1.5 has B, at 90 and then at what validation outliers choose from 65 to 95; its
    setting is the entry `ash_b`. pytorch-ood 0.4.0 shapes the map before it is pooled, by default with S at
    65.
    """

    percentile: float = 90.0
    variant: Variant = "s"

    kept: int = fitted()  # k
    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)

    paper = Paper(
        title="Extremely Simple Activation Shaping for Out-of-Distribution Detection",
        authors="A. Djurisic, N. Bozanic, A. Ashok, R. Liu",
        venue="ICLR",
        year=2023,
        arxiv="2209.09858",
    )
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        check_percent("percentile", self.percentile)
        if not 0 <= self.percentile < 100:
            raise ValueError(f"percentile: expected a number of at least 0, below 100, got {self.percentile}")
        if self.variant not in get_args(Variant):
            raise ValueError(f"variant: expected one of {', '.join(get_args(Variant))}, got {self.variant!r}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Check that the activations can be shaped; keep the head. Nothing is learned.

        Raises
        ------
        HyperparameterError
            If `percentile` removes every activation.
        NotApplicable
            If ASH-S would divide by sums that are not positive.
        """
        kept = count_kept(head.weight.shape[1], self.percentile)
        if self.variant == "s":
            require_positive_sums(train.penultimate, kept)
        return self.with_state(kept=kept, weight=head.weight.double(), bias=head.bias.double())

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        return by_blocks(self._score, features.penultimate)

    def _score(self, h: Tensor) -> Tensor:
        top = largest_of_each(h, self.kept).double()
        h = h.double()
        kept = _kept(h, top[:, :1], self.kept)
        # What an image's activations are multiplied by its logits can be multiplied by, but for the bias.
        shaped, factor = kept * h, torch.ones_like(h[:, 0])
        if self.variant == "b":
            shaped, factor = kept, h.sum(dim=1) / self.kept
        elif self.variant == "s":
            factor = amplification(h, top)[:, 0]
        unscaled = head_logits(shaped, self.weight, torch.zeros_like(self.bias))  # (K, n)
        return log_sum_exp(factor * unscaled + self.bias[:, None])


def _kept(h: Tensor, least: Tensor, count: int) -> Tensor:
    """1 where an activation of h (n, D) is among the `count` largest, down to `least` (n, 1), and else 0."""
    # In the type of the activations: torch multiplies by truth values far slower.
    kept = torch.ge(h.detach(), least.detach(), out=torch.empty_like(h))
    surplus = (kept.sum(dim=1) > count).nonzero()[:, 0]
    if len(surplus):  # several are equal to the least: the first of them
        rows, bound = h[surplus], least[surplus]
        above, equal = rows > bound, rows == bound
        room = count - above.sum(dim=1, keepdim=True)
        kept[surplus] = (above | (equal & (equal.cumsum(dim=1) <= room))).to(kept)
    return kept


def count_kept(width: int, percentile: float) -> int:
    """Count the activations that are left when the lowest `percentile` percent of `width` are removed."""
    kept = width - round(width * percentile / 100)
    if kept == 0:
        raise HyperparameterError(
            f"percentile: {percentile} removes all of {width} features; choose a lower one"
        )
    return kept


def require_positive_sums(h: Tensor, kept: int) -> None:
    """Raise `NotApplicable` if the `kept` largest of the rows h (N, D) too often sum to nothing or less."""
    sums = by_blocks(lambda rows: largest_of_each(rows, kept).sum(dim=1, dtype=torch.float64), h)
    share = float((sums <= 0).double().mean())
    if share > TOLERATED:
        raise NotApplicable(
            f"the {kept} largest features sum to 0 or less for {share:.1%} of training images, more than "
            f"{TOLERATED:.0%}: they cannot be scaled by that sum"
        )


def amplification(h: Tensor, top: Tensor) -> Tensor:
    """exp(s₁ / s₂), as (N, 1), of activations h (N, D) and the largest of each row, top (N, k)."""
    ratio = h.sum(dim=1, keepdim=True) / top.sum(dim=1, keepdim=True)
    # 0 / 0 comes of a row of zeros alone, which no factor changes.
    return ratio.nan_to_num(nan=0.0).clamp(0.0, LARGEST_RATIO).exp()

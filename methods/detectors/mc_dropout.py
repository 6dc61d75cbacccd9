"""Monte Carlo dropout before the head: one network, several times, with different features left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._averaging import Statistic, agreement, check_statistic
from methods.registry import register

LOGITS = 2**20  # held at once: 8 MiB


@register("mc_dropout")
@dataclass(frozen=True)
class MCDropout(Detector):
    r"""Average predictions over random masks of the penultimate features (Gal & Ghahramani 2016, eq. 6).

    .. math::
        z_m &= W (m_m \odot h) / (1 - r) + b, \qquad m_{md} \sim \mathrm{Bernoulli}(1 - r) \\
        \bar p &= \frac{1}{M} \sum_{m=1}^{M} \mathrm{softmax}(z_m)

    The score is the largest entry of :math:`\bar p`, minus its entropy, or minus the mutual information of
    prediction and mask, :math:`\mathrm{MI} = H(\bar p) - \frac{1}{M} \sum_m H(p_m)`.

    The M masks are drawn once, in `fit`, and shared by all images, so that a score depends neither on the
    batch nor on the order of the images. The same seed gives the same masks, whatever the data.

    Shapes: features (N, D), weight (K, D), bias (K,) → scores (N,). Cost: O(NMKD), as one matrix product with
    the masked weights of all passes.

    Parameters
    ----------
    passes
        M, how many masks, at least 2.
    rate
        r, the share of features that is left out on average: above 0, below 1.
    statistic
        ``msp``, ``entropy`` or ``mutual_information``.

    Deviations from the paper: there is dropout before the head alone, and it is put there whether or not the
    network was trained with it; other layers of dropout stay off. The paper draws new masks for every image.
    Where references disagree: some benchmarks average logits, which is another estimator; here probabilities
    are averaged, and 30 passes of this cheap kind replace a benchmark's 5 of the whole network.

    Differs from: OpenOOD v1.5 has 5 passes and averages logits; pytorch-ood 0.4.0 has 30 passes of the
    dropout layers that the network has, and by default the mean variance of the probabilities.
    """

    passes: int = 30
    rate: float = 0.5
    statistic: Statistic = "msp"

    masks: Tensor = fitted()  # (M, D): 0 or 1 / (1 - r)
    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)

    paper = Paper(
        title="Dropout as a Bayesian Approximation: Representing Model Uncertainty in Deep Learning",
        authors="Y. Gal, Z. Ghahramani",
        venue="ICML",
        year=2016,
        arxiv="1506.02142",
    )
    aliases = ("dropout", "monte_carlo_dropout")
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        if self.passes < 2:
            raise ValueError(f"passes: expected at least 2, got {self.passes}")
        if not 0 < self.rate < 1:
            raise ValueError(f"rate: expected a number above 0 and below 1, got {self.rate}")
        check_statistic(self.statistic)

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Draw the masks; keep the head.

        Raises
        ------
        ValueError
            If there is no `rng`.
        """
        weight, bias = head.weight.double(), head.bias.double()
        if rng is None:
            raise ValueError(f"rng: {self.passes} masks are drawn; pass a torch.Generator")
        kept = torch.rand(self.passes, weight.shape[1], generator=rng, dtype=torch.float64) >= self.rate
        return self.with_state(masks=kept.to(weight) / (1 - self.rate), weight=weight, bias=bias)

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        masked = (self.masks[:, None] * self.weight).flatten(0, 1)  # (M K, D)
        bias, shape = self.bias.repeat(self.passes), (-1, self.passes, len(self.bias))
        rows = max(1, LOGITS // len(masked))
        blocks = torch.split(features.penultimate, rows)
        return torch.cat(
            [agreement(torch.addmm(bias, h.double(), masked.T).view(shape), self.statistic) for h in blocks]
        )

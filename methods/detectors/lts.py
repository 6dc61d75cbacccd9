"""LTS: the energy of logits that are scaled by how concentrated the activations are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.base import Detector, Features, Paper, Signal
from methods.detectors._blocks import by_blocks, classes_first, largest_of_each, log_sum_exp
from methods.method import check_percent
from methods.registry import register


@register("lts")
@dataclass(frozen=True)
class LTS(Detector):
    r"""Energy of scaled logits (Djurisic, Liu & Nikolic 2025, logit scaling).

    .. math::
        k &= D - \mathrm{round}(D p / 100), \qquad
            s_1 = \sum_d h_d^+, \quad s_2 = \sum_{d \in \text{top } k} h_d^+ \\
        s &= \log \sum_k \exp\big( (s_1 / s_2)^2 \, z_k \big), \qquad h^+ = \max(h, 0)

    The factor is that of `scale` with a square for the exponential. It multiplies the logits, bias and all,
    so that no head is needed.

    Shapes: features (N, D), logits (N, K) → scores (N,). Cost: O(ND + NK), k taken as constant.

    Parameters
    ----------
    percentile
        p, in percent, at least 0 and below 100: the share of activations outside s₂. The paper's top 5 % are
        p = 95.

    Deviations from the paper: negative activations count as zero, which only the release says and which
    concerns signed features (ViT, ConvNeXt) alone. An image without a positive activation has factor 1, where
    the release divides 0 by 0, and k is at least 1, where the release would sum nothing. The paper allows
    other scores of the scaled logits; its results are for the energy.

    Differs from: none: pytorch-ood 0.4.0 has the same share; OpenOOD v1.5 does not have it.
    """

    percentile: float = 95.0

    paper = Paper(
        title="Logit Scaling for Out-of-Distribution Detection",
        authors="A. Djurisic, R. Liu, M. Nikolic",
        venue="Machine Vision and Applications",
        year=2025,
        arxiv="2409.01175",
    )
    aliases = ("logit_scaling",)
    needs = frozenset({Signal.LOGITS, Signal.PENULTIMATE})

    def __post_init__(self) -> None:
        check_percent("percentile", self.percentile)
        if not 0 <= self.percentile < 100:
            raise ValueError(f"percentile: expected a number of at least 0, below 100, got {self.percentile}")

    def score(self, features: Features) -> Tensor:
        """Score features (N, D) of images with logits (N, K): (N,) float64."""
        return by_blocks(self._score, features.penultimate, features.logits)

    def _score(self, h: Tensor, logits: Tensor) -> Tensor:
        width = h.shape[1]
        kept = max(1, width - round(width * self.percentile / 100))
        largest = largest_of_each(h, kept).double().clamp_min(0).sum(dim=1)
        ratio = torch.where(largest > 0, h.double().clamp_min(0).sum(dim=1) / largest, 1.0)
        return log_sum_exp(ratio.square() * classes_first(logits))

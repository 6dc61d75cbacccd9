"""NAC: in how well filled a range of its training states each feature is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import ClosedForm, Detector, Features, Head, Paper, Signal, fitted
from methods.registry import register

BASE = 1000.0  # of the logarithm that spaces the bins


@register("nac")
@dataclass(frozen=True)
class NAC(Detector, ClosedForm):
    r"""Neuron activation coverage of the penultimate features (Liu, Tian, Li, Ma & Wang 2024, NAC-UE).

    A feature's state is the feature times how it drives the divergence from the uniform prediction. Coverage
    counts in which of M bins the states of training images lay, up to O*:

    .. math::
        v_d &= h_d \, \frac{\partial \mathrm{KL}(u \Vert p)}{\partial h_d}, \qquad
            \hat z_d = \frac{1}{1 + \exp(-\alpha v_d)} \\
        s &= \frac{1}{D} \sum_d \min\!\left( 1,
            \frac{\#\{i : \hat z_{id} \text{ in the bin of } \hat z_d\}}{O^*} \right)

    The gradient is :math:`W^\top (p - u)`, so that no backward pass is needed. The bins are half open and
    mirrored about 1/2, the state of a feature that does not fire. Up to 1/2 their edges are
    :math:`\log_{1000} e_j` with M/2 evenly spaced :math:`e_j` from 1 to :math:`\sqrt{1000}`, so that they are
    finest there.

    The logits follow from h and the head in float64. Shapes: features (N, D), weight (K, D), bias (K,) →
    scores (N,). Cost: O(NKD + ND log M).

    Parameters
    ----------
    bins
        M, even and at least 4; the release counts thresholds by it, two more than there are bins.
    steepness
        α > 0.
    enough
        O* ≥ 1: the count from which on a bin is covered in full.

    Deviations from the paper: one layer, the last, where the paper combines up to four, because only the
    gradient of this one follows from the head. The defaults are the release's for this layer of a ResNet-18
    on CIFAR-10. It tunes all three for each network, and for ImageNet starts from α = 3000 and O* = 10. As
    there, `fit` sees 1000 training images. Where references disagree: the bins are those of the release for
    OpenOOD, on whose code alone they rest; pytorch-ood 0.4.0 has M bins that are finest at 0 and 1.

    Differs from: pytorch-ood 0.4.0 has other bins and sees all training images; OpenOOD v1.5 does not have
    it.
    """

    bins: int = 50
    steepness: float = 100.0
    enough: int = 50

    fit_limit = 1000

    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)
    edges: Tensor = fitted()  # (M - 3,): between bins, in terms of v
    coverage: Tensor = fitted()  # (D, M - 2): min(1, count / O*)

    paper = Paper(
        title="Neuron Activation Coverage: Rethinking Out-of-distribution Detection and Generalization",
        authors="Y. Liu, C. X. Tian, H. Li, L. Ma, S. Wang",
        venue="ICLR",
        year=2024,
        arxiv="2306.02879",
    )
    aliases = ("nac_ue",)
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        if self.bins < 4 or self.bins % 2:
            raise ValueError(f"bins: expected an even number of at least 4, got {self.bins}")
        if not 0 < self.steepness < math.inf:
            raise ValueError(f"steepness: expected a finite number above 0, got {self.steepness}")
        if self.enough < 1:
            raise ValueError(f"enough: expected a whole number of at least 1, got {self.enough}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Count the states of the training images in each feature's bins; keep the head."""
        rising = torch.linspace(1, math.sqrt(BASE), self.bins // 2, dtype=torch.float64)
        below = (rising.log() / math.log(BASE))[1:-1].logit() / self.steepness
        edges = torch.cat([below, below.new_zeros(1), -below.flip(0)])
        weight, bias = head.weight.double(), head.bias.double()
        keeping = self.with_state(weight=weight, bias=bias, edges=edges.to(weight))
        cells = keeping._cells(keeping._drive(train.penultimate.double()))
        width, bins = train.penultimate.shape[1], self.bins - 2
        counts = torch.bincount(cells.flatten(), minlength=width * bins).reshape(width, bins)
        return keeping.with_state(coverage=(counts.double() / self.enough).clamp_max(1))

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        return self._covered(self._drive(features.penultimate.double()))

    def by_autograd(self, features: Features) -> Tensor:
        """Differentiate KL(u ‖ p) in the features, and look up the states that follow."""
        with torch.enable_grad():
            h = features.penultimate.double().clone().requires_grad_()
            log_p = torch.log_softmax(h @ self.weight.T + self.bias, dim=1)
            (gradient,) = torch.autograd.grad(-log_p.mean(dim=1).sum(), h)
        return self._covered(h.detach() * gradient)

    def _drive(self, h: Tensor) -> Tensor:
        """Compute v (N, D)."""
        p = torch.softmax(h @ self.weight.T + self.bias, dim=1)
        return h * ((p - 1 / p.shape[1]) @ self.weight)

    def _cells(self, v: Tensor) -> Tensor:
        """Index of each state's bin in the coverage, flattened: (N, D)."""
        first = (self.bins - 2) * torch.arange(v.shape[1], device=v.device)
        return torch.bucketize(v, self.edges, right=True).add_(first)

    def _covered(self, v: Tensor) -> Tensor:
        return torch.take(self.coverage, self._cells(v)).mean(dim=1)

"""GradNorm: how strongly an image would pull at the last layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from methods.base import ClosedForm, Detector, Features, Head, Paper, Signal, fitted
from methods.registry import register

Norm = Literal["l1", "l2", "linf", "l0.5"]
Factor = Literal["UV", "U", "V"]

_ORDER: dict[Norm, float] = {"l1": 1.0, "l2": 2.0, "linf": math.inf, "l0.5": 0.5}


@register("gradnorm")
@dataclass(frozen=True)
class GradNorm(Detector, ClosedForm):
    r"""Norm of the last layer's gradient of the divergence from the uniform prediction (Huang et al. 2021).

    .. math::
        L &= \mathrm{KL}(u \,\Vert\, p), \qquad p = \mathrm{softmax}(z / T), \quad u_k = 1 / K \\
        s &= \lVert \partial L / \partial W \rVert_q

    The gradient has rank one, :math:`\partial L / \partial W = (p - u) h^\top / T`, and every entrywise norm
    of such a matrix is a product, so no backward pass is needed:

    .. math:: s = U V / T, \qquad U = \lVert h \rVert_q, \quad V = \lVert p - u \rVert_q

    The logits z follow from h and the head in float64. Shapes: features (N, D), weight (K, D), bias (K,) →
    scores (N,). Cost: O(NKD).

    Parameters
    ----------
    norm
        The entrywise norm: q = 1, 2, ∞ or 0.5.
    factor
        The ablation of the paper: the product, the features' factor U alone or the output's factor V alone.
    temperature
        T > 0, in the units of the logits.

    Deviations from the paper: none; the bias gradient is left out as there. Where references disagree: the
    release's loss is K times this one, and so is its score (same ranking). It goes one image at a time; a
    batch's mean gradient is not this score.

    Differs from: OpenOOD v1.5 has the release's loss (same ranking); pytorch-ood 0.4.0 takes the gradient of
    all parameters unless it is told which.
    """

    norm: Norm = "l1"
    factor: Factor = "UV"
    temperature: float = 1.0

    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)

    paper = Paper(
        title="On the Importance of Gradients for Detecting Distributional Shifts in the Wild",
        authors="R. Huang, A. Geng, Y. Li",
        venue="NeurIPS",
        year=2021,
        arxiv="2110.00218",
    )
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        if self.norm not in get_args(Norm):
            raise ValueError(f"norm: expected one of {', '.join(get_args(Norm))}, got {self.norm!r}")
        if self.factor not in get_args(Factor):
            raise ValueError(f"factor: expected one of {', '.join(get_args(Factor))}, got {self.factor!r}")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature: expected a finite number above 0, got {self.temperature}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Keep the head; nothing is learned."""
        return self.with_state(weight=head.weight.double(), bias=head.bias.double())

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        h, order = features.penultimate.double(), _ORDER[self.norm]
        p = torch.softmax((h @ self.weight.T + self.bias) / self.temperature, dim=1)  # (N, K)
        u = torch.linalg.vector_norm(h, order, dim=1)
        v = torch.linalg.vector_norm(p - 1 / p.shape[1], order, dim=1)
        return self._combine(u * v / self.temperature, u, v)

    def by_autograd(self, features: Features) -> Tensor:
        """Differentiate KL(u ‖ p) in the weight, and the bias for the factors: ∂L/∂b = (p - u)/T."""
        order = _ORDER[self.norm]

        def divergence(weight: Tensor, bias: Tensor, h: Tensor) -> Tensor:
            log_p = torch.log_softmax((weight @ h + bias) / self.temperature, dim=0)
            return -math.log(len(bias)) - log_p.mean()

        def norms(h: Tensor) -> tuple[Tensor, Tensor]:
            by_weight, by_bias = torch.func.grad(divergence, argnums=(0, 1))(self.weight, self.bias, h)
            return torch.linalg.vector_norm(by_weight, order), torch.linalg.vector_norm(by_bias, order)

        of_weight, of_bias = torch.func.vmap(norms, chunk_size=64)(features.penultimate.double())
        return self._combine(of_weight, of_weight / of_bias, of_bias * self.temperature)

    def _combine(self, uv: Tensor, u: Tensor, v: Tensor) -> Tensor:
        return {"UV": uv, "U": u, "V": v}[self.factor]

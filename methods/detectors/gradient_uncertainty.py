"""Gradient uncertainty: the last layer's gradient for a label that is every class at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import ClosedForm, Detector, Features, Head, Paper, Signal, fitted
from methods.registry import register


@register("gradient_uncertainty")
@dataclass(frozen=True)
class GradientUncertainty(Detector, ClosedForm):
    r"""Squared norm of the last layer's gradient for a confounding label (Lee & AlRegib 2020).

    The label is every class at once, and the loss its binary cross-entropy with the prediction:

    .. math::
        L &= -\sum_k \log p_k, \qquad p = \mathrm{softmax}(z) \\
        s &= \lVert \partial L / \partial W \rVert^2 + \lVert \partial L / \partial b \rVert^2

    The gradient by the logits is :math:`K p - 1`, so that no backward pass is needed:

    .. math:: s = \lVert K p - 1 \rVert^2 \, (\lVert h \rVert^2 + 1)

    A uniform prediction has gradient 0, and a sure one the largest. This is `gradnorm` with the squared
    Euclidean norm and the bias, times K².

    The logits z follow from h and the head in float64. Shapes: features (N, D), weight (K, D), bias (K,) →
    scores (N,). Cost: O(NKD). No hyper-parameters.

    Deviations from the paper: it hands the squared norms of all layers to a classifier trained on outliers;
    here is the last layer alone, weight and bias, without a classifier. Where references disagree: that the
    sum of squared norms is a score, larger in distribution, rests on pytorch-ood 0.4.0 alone. With its filter
    set to the last layer its score is minus this one where every probability is above 1e-12. Of smaller ones
    the gradient of its loss vanishes, so that the score of a confident network falls to a third of this one
    and less, and sure predictions may score below unsure ones; here the norm grows with how sure they are.

    Differs from: pytorch-ood 0.4.0 takes the gradient of all parameters unless it is told which; OpenOOD v1.5
    does not have it.
    """

    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)

    paper = Paper(
        title="Gradients as a Measure of Uncertainty in Neural Networks",
        authors="J. Lee, G. AlRegib",
        venue="ICIP",
        year=2020,
        arxiv="2008.08030",
    )
    aliases = ("grad_uncertainty",)
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Keep the head; nothing is learned."""
        return self.with_state(weight=head.weight.double(), bias=head.bias.double())

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        h = features.penultimate.double()
        by_logits = len(self.bias) * torch.softmax(h @ self.weight.T + self.bias, dim=1) - 1  # (N, K)
        return by_logits.square().sum(dim=1) * (h.square().sum(dim=1) + 1)

    def by_autograd(self, features: Features) -> Tensor:
        """Differentiate the loss in weight and bias, for every row."""

        def loss(weight: Tensor, bias: Tensor, h: Tensor) -> Tensor:
            return -torch.log_softmax(weight @ h + bias, dim=0).sum()

        def squared_norm(h: Tensor) -> Tensor:
            by_weight, by_bias = torch.func.grad(loss, argnums=(0, 1))(self.weight, self.bias, h)
            total: Tensor = by_weight.square().sum() + by_bias.square().sum()
            return total

        found: Tensor = torch.func.vmap(squared_norm, chunk_size=64)(features.penultimate.double())
        return found

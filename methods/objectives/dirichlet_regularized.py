"""Dirichlet prior network whose precision is regularised: high for images, low for outliers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.method import Paper
from methods.objective import Batch, Data, Objective, TrainableNetwork
from methods.objectives._outliers import both_logits, uniform_cross_entropy
from methods.registry import register

Variant = Literal["minus", "plus"]
_SHIFTS = {"minus": -0.5, "plus": 0.5}


def id_terms(logits: Tensor, labels: Tensor, variant: Variant) -> Tensor:
    """Loss of each image, from logits (B, K) and labels (B,): (B,)."""
    precision = torch.sigmoid(logits).mean(dim=1)
    return functional.cross_entropy(logits, labels, reduction="none") - (1 + _SHIFTS[variant]) * precision


def outlier_terms(logits: Tensor, variant: Variant) -> Tensor:
    """Loss of each outlier, from logits (O, K): (O,)."""
    precision = torch.sigmoid(logits).mean(dim=1)
    return uniform_cross_entropy(logits) - (1 / logits.shape[1] + _SHIFTS[variant]) * precision


def dirichlet_regularized_loss(
    logits: Tensor, labels: Tensor, outlier_logits: Tensor, variant: Variant
) -> Tensor:
    """Scalar loss of logits (B, K), labels (B,) and the logits (O, K) of outliers."""
    terms = [id_terms(logits, labels, variant), outlier_terms(outlier_logits, variant)]
    return torch.cat(terms).mean()


@register("dirichlet_regularized")
@dataclass(frozen=True)
class DirichletRegularized(Objective):
    r"""Cross-entropy to labels or to the uniform prediction, and a reward for precision (Nandy et al. 2020).

    .. math::
        \ell_i &= -\log \mathrm{softmax}(z_i)_{y_i} - \lambda_\mathrm{in} S(z_i), \qquad
            S(z) = \frac{1}{K} \sum_k \sigma(z_k) \\
        \ell_j &= \log \sum_k e^{z_{jk}} - \frac{1}{K} \sum_k z_{jk} - \lambda_\mathrm{out} S(z_j) \\
        L &= \frac{1}{B + O} \Big( \sum_i \ell_i + \sum_j \ell_j \Big)

    with i over the images of the batch and j over its outliers, half as many, all of equal weight. S grows
    with the precision α_0 of the Dirichlet distribution of α = exp(z). Rewarding it for images alone keeps an
    ambiguous image, with a flat but precise distribution, apart from an outlier.

    Parameters
    ----------
    variant
        ``minus``: λ_in = 1/2 and λ_out = 1/K - 1/2, which is negative where K > 2: outliers' concentrations
        fall below 1. ``plus``: λ_in = 3/2 and λ_out = 1/K + 1/2.

    Deviations from the paper: one stage of training and not two; optimizer, schedule and augmentation are
    those of the track. The formulas are those of the authors' later code, from which the first version's are
    inferred.
    """

    variant: Variant = "minus"

    paper = Paper(
        title="Towards Maximizing the Representation Gap between In-Domain & Out-of-Distribution Examples",
        authors="J. Nandy, W. Hsu, M. L. Lee",
        venue="NeurIPS",
        year=2020,
        arxiv="2010.10474",
    )
    needs = frozenset({Data.OUTLIERS})
    outlier_ratio = 0.5
    detectors = ("dirichlet", "energy", "msp")  # energy ranks as the precision does
    cost = 1.5

    def __post_init__(self) -> None:
        if self.variant not in get_args(Variant):
            raise ValueError(f"variant: expected one of {', '.join(get_args(Variant))}, got {self.variant!r}")

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch and its outliers."""
        logits, outlier_logits = both_logits(self, network, batch)
        return dirichlet_regularized_loss(logits, batch.labels, outlier_logits, self.variant)

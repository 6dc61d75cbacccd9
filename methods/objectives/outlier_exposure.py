"""Outlier exposure: cross-entropy to the uniform prediction on outliers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from methods.method import Paper
from methods.objective import Batch, Data, Objective, TrainableNetwork
from methods.objectives._outliers import both_logits, uniform_cross_entropy
from methods.registry import register


def outlier_exposure_loss(logits: Tensor, labels: Tensor, outlier_logits: Tensor, weight: float) -> Tensor:
    """Scalar loss of logits (B, K), labels (B,) and the logits (O, K) of outliers."""
    return functional.cross_entropy(logits, labels) + weight * uniform_cross_entropy(outlier_logits).mean()


@register("outlier_exposure")
@dataclass(frozen=True)
class OutlierExposure(Objective):
    r"""Fine-tuning with the cross-entropy of outliers to the uniform prediction (Hendrycks et al. 2019).

    .. math::
        L = -\frac{1}{B} \sum_i \log \mathrm{softmax}(z_i)_{y_i}
            + \frac{\lambda}{O} \sum_j \Big( \log \sum_k e^{z_{jk}} - \frac{1}{K} \sum_k z_{jk} \Big)

    with i over the images of the batch and j over its outliers, twice as many. The gradient is that of
    `confidence_loss` with β = λ: the second term is KL(u ‖ p) + log K. What differs is the training: this one
    starts from the cross-entropy network.

    Parameters
    ----------
    weight
        λ ≥ 0; 0.5 is the paper's value for images.

    Deviations from the paper: of its two modes this is ``tune``, not training from scratch; no dropout is
    added to the network; outliers are drawn at random. The data set of the paper's outliers, 80 Million Tiny
    Images, is withdrawn. Optimizer and schedule are those of the track.
    """

    weight: float = 0.5

    aliases = ("oe", "outlier_exposure_loss")
    paper = Paper(
        title="Deep Anomaly Detection with Outlier Exposure",
        authors="D. Hendrycks, M. Mazeika, T. Dietterich",
        venue="ICLR",
        year=2019,
        arxiv="1812.04606",
    )
    needs = frozenset({Data.OUTLIERS})
    outlier_ratio = 2.0
    starts_from = "cross_entropy"
    detectors = ("msp", "xent_uniform")
    cost = 3.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight: expected a finite number of at least 0, got {self.weight}")

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch and its outliers."""
        logits, outlier_logits = both_logits(self, network, batch)
        return outlier_exposure_loss(logits, batch.labels, outlier_logits, self.weight)

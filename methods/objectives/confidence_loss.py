"""Confidence loss: uniform predictions for outliers."""

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


def kl_from_uniform(logits: Tensor) -> Tensor:
    """KL(u ‖ softmax(z)) of each row of logits (N, K), u being uniform: (N,)."""
    return uniform_cross_entropy(logits) - math.log(logits.shape[1])


def confidence_loss(logits: Tensor, labels: Tensor, outlier_logits: Tensor, beta: float) -> Tensor:
    """Scalar loss of logits (B, K), labels (B,) and the logits (O, K) of outliers."""
    return functional.cross_entropy(logits, labels) + beta * kl_from_uniform(outlier_logits).mean()


@register("confidence_loss")
@dataclass(frozen=True)
class ConfidenceLoss(Objective):
    r"""Cross-entropy, and the divergence of outliers' predictions from the uniform one (Lee et al. 2018).

    .. math::
        L = -\frac{1}{B} \sum_i \log \mathrm{softmax}(z_i)_{y_i}
            + \frac{\beta}{O} \sum_j \mathrm{KL}(u \,\|\, \mathrm{softmax}(z_j)), \qquad
        \mathrm{KL}(u \| p) = -\frac{1}{K} \sum_k \log p_k - \log K

    with i over the images of the batch and j over its outliers, as many. The direction is that of the paper:
    a class to which an outlier gives no probability costs without bound.

    Parameters
    ----------
    beta
        β ≥ 0. The release's default is 1, which the paper takes for SVHN; 0.1 is its value for CIFAR-10.

    Deviations from the paper: images and outliers share one forward pass, so that batch normalisation sees
    both; the paper's VGG-13 has none. Optimizer and schedule are those of the track.
    """

    beta: float = 1.0

    paper = Paper(
        title="Training Confidence-calibrated Classifiers for Detecting Out-of-Distribution Samples",
        authors="K. Lee, H. Lee, K. Lee, J. Shin",
        venue="ICLR",
        year=2018,
        arxiv="1711.09325",
    )
    needs = frozenset({Data.OUTLIERS})
    detectors = ("msp",)
    cost = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.beta < math.inf:
            raise ValueError(f"beta: expected a finite number of at least 0, got {self.beta}")

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch and its outliers."""
        logits, outlier_logits = both_logits(self, network, batch)
        return confidence_loss(logits, batch.labels, outlier_logits, self.beta)

"""Class-balanced cost: errors on rare classes weigh more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.imbalance import BETA, class_weights
from methods.method import Paper
from methods.objective import Batch, Objective, Setup, TrainableNetwork
from methods.objectives._precision import widened
from methods.registry import register


class ClassWeights(nn.Module):
    """One weight for each class, kept with the training's state."""

    weights: Tensor  # (K,)

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self) -> Tensor:
        """(K,) weights."""
        return self.weights


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Scalar loss of logits (B, K), labels (B,) and weights (K,), a sum divided by B."""
    total = functional.cross_entropy(logits, labels, weight=weights.to(logits), reduction="sum")
    return total / len(labels)


@register("class_balanced")
@dataclass(frozen=True)
class ClassBalanced(Objective):
    r"""Cross-entropy weighted by one over the effective number of a class's images (Cui et al. 2019).

    .. math::
        L = -\frac{1}{B} \sum_i w_{y_i} \log \mathrm{softmax}(z_i)_{y_i}, \qquad
        w_k \propto \frac{1 - \beta}{1 - \beta^{n_k}}, \quad \sum_k w_k = K

    with :math:`n_k` the number of training images of class k. The sum is divided by B, not by the weights in
    the batch, which would take the weight from a batch of one class. A sampler that shows classes
    equally often is another remedy for the same: with both, rare classes are favoured twice.

    Parameters
    ----------
    weights
        ``effective`` as above; ``inverse``: :math:`w_k \propto 1 / n_k`, the limit of β → 1.
    beta
        β in [0, 1); for ``effective`` only. 0 weighs all classes alike.
    defer
        Share of the epochs, between 0 and 1, in which all weights are 1: deferred re-weighting (Cao et al.
        2019, 160 of 200 epochs: 0.8). None: no such epochs.

    Deviations from the paper: none in the loss. Cao et al. lower the learning rate when the weights set in;
    here optimizer and schedule are those of the track.
    """

    weights: Literal["effective", "inverse"] = "effective"
    beta: float = BETA
    defer: float | None = None

    paper = Paper(
        title="Class-Balanced Loss Based on Effective Number of Samples",
        authors="Y. Cui, M. Jia, T.-Y. Lin, Y. Song, S. Belongie",
        venue="CVPR",
        year=2019,
        arxiv="1901.05555",
    )
    detectors = ("msp",)

    def __post_init__(self) -> None:
        if not 0 <= self.beta < 1:
            raise ValueError(f"beta: expected a number of at least 0 and below 1, got {self.beta}")
        if self.defer is not None and not 0 < self.defer < 1:
            raise ValueError(f"defer: expected a number between 0 and 1, or None, got {self.defer}")

    def modules(self, setup: Setup) -> Mapping[str, nn.Module]:
        """Make the weights, from the training labels."""
        counts = torch.bincount(setup.labels.cpu(), minlength=setup.classes)
        if len(counts) > setup.classes:
            raise ValueError(
                f"setup.labels: expected class indices below {setup.classes}, got {len(counts) - 1}"
            )
        empty = (counts == 0).nonzero().flatten().tolist()
        if empty:
            raise ValueError(
                f"setup.labels: class_balanced expected training images of all {setup.classes} classes, "
                f"got none of: {', '.join(map(str, empty))}"
            )
        beta = None if self.weights == "inverse" else self.beta
        return {"class_weights": ClassWeights(class_weights(counts, beta))}

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch."""
        logits = widened(network(batch.images))
        if self.defer is not None and batch.progress < self.defer * batch.epochs:
            return functional.cross_entropy(logits, batch.labels)
        return weighted_cross_entropy(logits, batch.labels, modules["class_weights"]())

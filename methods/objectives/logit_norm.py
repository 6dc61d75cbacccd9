"""LogitNorm: cross-entropy of logits of constant norm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.method import Paper
from methods.objective import Batch, Objective, TrainableNetwork
from methods.objectives._precision import widened
from methods.registry import register


def normalised(logits: Tensor, temperature: float) -> Tensor:
    """Logits (N, K) of norm 1 / temperature, nearly: (N, K)."""
    norms: Tensor = torch.linalg.vector_norm(logits, dim=1, keepdim=True)
    return logits / (temperature * (norms + 1e-7))


def logit_norm_loss(logits: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Scalar loss of logits (B, K) and labels (B,)."""
    return functional.cross_entropy(normalised(logits, temperature), labels)


@register("logit_norm")
@dataclass(frozen=True)
class LogitNorm(Objective):
    r"""Cross-entropy after each image's logits are divided by their norm (Wei et al. 2022).

    .. math::
        L = -\frac{1}{B} \sum_i \log \mathrm{softmax}\Big(
            \frac{z_i}{\tau (\lVert z_i \rVert_2 + 10^{-7})} \Big)_{y_i}

    The loss cannot fall by making the logits longer, so that their norm keeps no trace of the training. It is
    at least :math:`\log(1 + (K - 1) e^{-\sqrt{K / (K - 1)} / \tau})`, which the logits of a regular simplex
    reach; the paper's bound, with 2 in place of the root, is lower. Detectors are given the logits as they
    are.

    Parameters
    ----------
    temperature
        τ > 0; 0.04 is the paper's value for CIFAR-10.

    Deviations from the paper: none. Where references disagree: the release's example command takes τ = 0.01.
    """

    temperature: float = 0.04

    paper = Paper(
        title="Mitigating Neural Network Overconfidence with Logit Normalization",
        authors="H. Wei, R. Xie, H. Cheng, L. Feng, B. An, Y. Li",
        venue="ICML",
        year=2022,
        arxiv="2205.09310",
    )
    detectors = ("msp",)

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature: expected a finite number above 0, got {self.temperature}")

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch."""
        return logit_norm_loss(widened(network(batch.images)), batch.labels, self.temperature)

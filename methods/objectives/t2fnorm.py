"""T2FNorm: features of constant norm in training, and as they are in use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from methods.method import Paper
from methods.objective import Batch, Objective, ObjectiveHead, TrainableNetwork
from methods.objectives._precision import widened
from methods.registry import register


class TemperedHead(ObjectiveHead):
    """Logits of features (N, D) divided by a temperature; `trained` gives those of normalised features."""

    def __init__(self, dimension: int, classes: int, temperature: float) -> None:
        super().__init__()
        self.classifier = nn.Linear(dimension, classes)
        self.temperature = temperature

    @property
    def linear(self) -> nn.Linear:
        """The same with the temperature in the weights."""
        weight, bias = self.classifier.weight.detach(), self.classifier.bias.detach()
        classes, dimension = weight.shape
        made = nn.Linear(dimension, classes, device="meta")  # draws no numbers
        made.weight = nn.Parameter(weight / self.temperature, requires_grad=False)
        made.bias = nn.Parameter(bias, requires_grad=False)
        return made

    def forward(self, penultimate: Tensor) -> Tensor:
        """Logits (N, K)."""
        logits: Tensor = self.classifier(penultimate / self.temperature)
        return logits

    def trained(self, penultimate: Tensor) -> Tensor:
        """Logits (N, K) that the loss is of."""
        return self.forward(functional.normalize(penultimate, dim=1))


@register("t2fnorm")
@dataclass(frozen=True)
class T2FNorm(Objective):
    r"""Cross-entropy of the logits of normalised features (Regmi et al. 2024).

    .. math::
        L = -\frac{1}{B} \sum_i \log \mathrm{softmax}\Big(
            \frac{W h_i}{\tau \max(\lVert h_i \rVert, 10^{-12})} + b \Big)_{y_i}, \qquad
        z = \frac{W h}{\tau} + b \quad \text{in use}

    The loss does not feel the length of the features, which then is small for outliers; in use, features are
    as long as they are, so that what is short has a flat prediction. Detectors are given h, z and the linear
    layer W/τ, b.

    Shapes: features h (N, D), weight W (K, D), bias b (K,). Cost: that of cross-entropy.

    Parameters
    ----------
    temperature
        τ > 0.

    Deviations from the paper: classes are predicted from z, by which outliers are told too; the authors' code
    has the normalised features in use for the class alone, from which z differs by the bias's share. Where
    references disagree: the authors' code leaves τ out in use for the network that it fine-tunes, on
    ImageNet. The default is that of the code.
    """

    temperature: float = 0.1

    paper = Paper(
        title="T2FNorm: Train-time Feature Normalization for OOD Detection in Image Classification",
        authors="S. Regmi, B. Panthi, S. Dotel, P. K. Gyawali, D. Stoyanov, B. Bhattarai",
        venue="CVPRW",
        year=2024,
        arxiv="2305.17797",
    )
    detectors = ("msp", "energy")

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature: expected a finite number above 0, got {self.temperature}")

    def head(self, dimension: int, classes: int) -> ObjectiveHead:
        """Make the linear layer, behind a temperature."""
        return TemperedHead(dimension, classes, self.temperature)

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch.

        Raises
        ------
        TypeError
            If the network does not end in this objective's head.
        """
        head = network.head
        if not isinstance(head, TemperedHead):
            raise TypeError(
                f"the network ends in {type(head).__name__}, not in this objective's TemperedHead"
            )
        logits = head.trained(widened(network.penultimate(batch.images)))
        return functional.cross_entropy(widened(logits), batch.labels)

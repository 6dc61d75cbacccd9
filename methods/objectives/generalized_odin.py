"""Generalized ODIN: logits as a quotient, of how near a class is and of how much in-distribution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.method import Paper
from methods.objective import Batch, Objective, ObjectiveHead, TrainableNetwork
from methods.registry import register

Similarity = Literal["inner", "euclid", "cosine"]
LEAST = 1e-6  # of g, so that the quotient stays finite
TINY = 1e-4  # added to norms


class DecomposedHead(ObjectiveHead):
    """Logits h / g of features (N, D); its outputs are h (N, K) and, in a last column, g."""

    def __init__(self, dimension: int, classes: int, similarity: Similarity) -> None:
        super().__init__()
        self.similarity = similarity
        self.weight = nn.Parameter(torch.empty(classes, dimension))
        self.bias = nn.Parameter(torch.zeros(classes)) if similarity == "inner" else None
        self.doubt = nn.Sequential(nn.Linear(dimension, 1), nn.BatchNorm1d(1))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, penultimate: Tensor) -> Tensor:
        """Logits (N, K)."""
        return self.h(penultimate) / self.g(penultimate).clamp(min=LEAST)

    def h(self, penultimate: Tensor) -> Tensor:
        """(N, K) how near each class is."""
        if self.similarity == "euclid":
            return -(penultimate[:, None] - self.weight).square().mean(dim=2)
        inner = functional.linear(penultimate, self.weight, self.bias)
        if self.similarity == "inner":
            return inner
        lengths: Tensor = torch.linalg.vector_norm(penultimate, dim=1, keepdim=True) + TINY
        of_weights: Tensor = torch.linalg.vector_norm(self.weight, dim=1) + TINY
        return inner / (lengths * of_weights)

    def g(self, penultimate: Tensor) -> Tensor:
        """(N, 1) within (0, 1): how much in-distribution."""
        g: Tensor = torch.sigmoid(self.doubt(penultimate))
        return g

    def outputs(self, penultimate: Tensor) -> Tensor:
        """(N, K + 1): h, then g."""
        return torch.cat([self.h(penultimate), self.g(penultimate)], dim=1)

    def no_weight_decay(self) -> set[str]:
        """What h is made of."""
        return {"weight"} if self.bias is None else {"weight", "bias"}


@register("generalized_odin")
@dataclass(frozen=True)
class GeneralizedODIN(Objective):
    r"""Cross-entropy of logits that are a quotient of two heads (Hsu et al. 2020).

    .. math::
        g(x) &= \sigma(\mathrm{BN}(w_g^\top f + b_g)) \\
        h_k(x) &= w_k^\top f + b_k \;\text{ or }\; -\frac{1}{D} \lVert f - w_k \rVert^2 \\
               &\quad \;\text{ or }\; f^\top w_k \,/\,
                  \left[ (\lVert f \rVert + 10^{-4})(\lVert w_k \rVert + 10^{-4}) \right] \\
        z_k &= h_k / \max(g, 10^{-6}), \qquad L = -\frac{1}{B} \sum_i \log \mathrm{softmax}(z_i)_{y_i}

    The detector `godin` reads h or g. No outliers are used. The weights of h are not decayed.

    Shapes: features f (N, D), h (N, K), g (N, 1). Cost: that of cross-entropy.

    Parameters
    ----------
    h
        ``inner``, ``euclid`` or ``cosine``, in the order of the formula.

    Deviations from the paper: ``euclid`` is the mean over dimensions, as in the release, where the paper has
    the sum: D times less. g is kept above 1e-6, where the release has no bound.
    """

    h: Similarity = "cosine"

    aliases = ("godin",)
    paper = Paper(
        title="Generalized ODIN: Detecting Out-of-distribution Image without Learning from "
        "Out-of-distribution Data",
        authors="Y.-C. Hsu, Y. Shen, H. Jin, Z. Kira",
        venue="CVPR",
        year=2020,
        arxiv="2002.11297",
    )
    detectors = ("godin", "msp")

    def __post_init__(self) -> None:
        if self.h not in ("inner", "euclid", "cosine"):
            raise ValueError(f"h: expected 'inner', 'euclid' or 'cosine', got {self.h!r}")

    def head(self, dimension: int, classes: int) -> ObjectiveHead:
        """Make the two heads: h with Kaiming-normal weights."""
        return DecomposedHead(dimension, classes, self.h)

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar cross-entropy of one batch."""
        return functional.cross_entropy(network(batch.images), batch.labels)

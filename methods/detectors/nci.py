"""NCI: how well features align with the weights of the predicted class, and how long they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks, head_logits
from methods.detectors._rows import Rows
from methods.registry import register

SHORTEST = 1e-12  # a norm below this counts as this


@register("nci")
@dataclass(frozen=True)
class NCI(Detector):
    r"""Projection of the predicted weight on the centred feature, plus its length (Liu & Qin 2025).

    .. math::
        s = \frac{\langle w_{\hat y}, \, h - \mu \rangle}{\max(\lVert h - \mu \rVert, 10^{-12})}
            + \alpha \lVert h \rVert_1, \qquad \hat y = \arg\max_k z_k

    with μ the mean of the training features. Under neural collapse, centred features point along the weight
    of their class, so the first term, the cosine times :math:`\lVert w_{\hat y} \rVert`, is large; outliers
    lie near the origin, which the second term sees.

    The logits z follow from h and the head in float64, and the lowest of equal classes is predicted. Shapes:
    features (N, D), weight (K, D), bias (K,) → scores (N,). Cost: fit O(ND), score O(NKD).

    Parameters
    ----------
    alpha
        α ≥ 0, the weight of the length.

    Deviations from the paper: it chooses α with validation outliers; here it is the default of the authors'
    release, the least of its grid 1e-4, 1e-3, 1e-2, 0.1, and no data is used. Where references disagree: one
    library takes α = 0. Signed features need nothing special.

    Differs from: OpenOOD v1.5 starts from this α and then takes what validation outliers choose; pytorch-ood
    0.4.0 has α = 0.
    """

    alpha: float = 1e-4

    mean: Tensor = fitted()  # (D,): μ
    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)

    paper = Paper(
        title="Detecting Out-of-Distribution Through the Lens of Neural Collapse",
        authors="L. Liu, Y. Qin",
        venue="CVPR",
        year=2025,
        arxiv="2311.01479",
    )
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < math.inf:
            raise ValueError(f"alpha: expected a finite number of at least 0, got {self.alpha}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the mean feature; keep the head."""
        weight, bias = head.weight.double(), head.bias.double()
        return self.with_state(mean=Rows(train.penultimate).mean(), weight=weight, bias=bias)

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        return by_blocks(self._score, features.penultimate)

    def _score(self, h: Tensor) -> Tensor:
        h = h.double()
        predicted = head_logits(h, self.weight, self.bias).argmax(dim=0)
        centred = h - self.mean
        aligned = (centred * self.weight[predicted]).sum(dim=1)
        length = torch.linalg.vector_norm(centred, dim=1).clamp_min(SHORTEST)
        scores: Tensor = aligned / length + self.alpha * torch.linalg.vector_norm(h, 1, dim=1)
        return scores

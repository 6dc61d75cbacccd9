"""SHE: how well features match the stored pattern of the predicted class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor
from torch.nn import functional

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks
from methods.detectors._gaussian import class_means
from methods.detectors._rows import Rows
from methods.registry import register

Metric = Literal["inner", "euclidean", "cosine"]


@register("she")
@dataclass(frozen=True)
class SHE(Detector):
    r"""Simplified Hopfield energy: similarity to the predicted class's mean feature (Zhang et al. 2023).

    .. math::
        S_k &= \operatorname{mean} \{ h_i : y_i = k, \; \hat y_i = k \} \\
        s &= \langle h, S_{\hat y} \rangle, \qquad \hat y = \arg\max_k z_k

    with the mean over the training images that are classified correctly, and the lowest class of equal logits
    predicted.

    Shapes: features (N, D), logits (N, K), labels (N,) → scores (N,). Cost: fit O(ND + NK), score O(ND + NK).

    Parameters
    ----------
    metric
        ``inner``: the inner product; ``euclidean``: minus the distance; ``cosine``: the cosine of the angle,
        norms below 1e-12 counted as 1e-12.

    Deviations from the release: a class of which no training image is classified correctly has the mean of
    all its images for a pattern, where the release leaves zeros. The inner product grows with the norm of the
    features, which makes the method fragile where outliers have large ones. Signed features need nothing
    special.

    Differs from: none in the settings. OpenOOD v1.5 has no pattern of a class without a correct image,
    pytorch-ood 0.4.0 refuses it.
    """

    metric: Metric = "inner"

    patterns: Tensor = fitted()  # (K, D): S

    paper = Paper(
        title="Out-of-Distribution Detection based on In-Distribution Data Patterns Memorization with "
        "Modern Hopfield Energy",
        authors="J. Zhang et al.",
        venue="ICLR",
        year=2023,
    )
    aliases = ("simplified_hopfield_energy",)
    needs = frozenset({Signal.LOGITS, Signal.PENULTIMATE})

    def __post_init__(self) -> None:
        if self.metric not in get_args(Metric):
            raise ValueError(f"metric: expected one of {', '.join(get_args(Metric))}, got {self.metric!r}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the pattern of each class.

        Raises
        ------
        ValueError
            If a class has no training image.
        """
        labels, classes = train.labels.long(), train.logits.shape[1]
        correct = train.logits.argmax(dim=1) == labels
        recognised = torch.bincount(labels[correct], minlength=classes) > 0  # (K,)
        labels = labels.where(correct | ~recognised[labels], classes)  # which leaves out the others
        return self.with_state(patterns=class_means(Rows(train.penultimate), labels, classes))

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D) of images with logits (N, K): (N,) float64."""
        return by_blocks(self._score, features.penultimate, features.logits)

    def _score(self, h: Tensor, logits: Tensor) -> Tensor:
        h = h.double()
        pattern = self.patterns[logits.argmax(dim=1)]  # (n, D)
        if self.metric == "euclidean":
            distance: Tensor = torch.linalg.vector_norm(h - pattern, dim=1)
            return -distance
        if self.metric == "cosine":
            h, pattern = (functional.normalize(rows, dim=1, eps=1e-12) for rows in (h, pattern))
        return (h * pattern).sum(dim=1)

"""The paired detectors of the logit-versus-softmax study: each pair differs in its space alone.

Not detectors themselves: files that begin with an underscore are not registered.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._gaussian import Gaussian
from methods.detectors._nearest import check_k, kth_distance
from methods.detectors._rows import Rows

_PAPER = Paper(
    title="How the Softmax Activation Hinders the Detection of Adversarial and Out-of-Distribution "
    "Examples in Neural Networks",
    authors="J. Aigrain, M. Detyniecki",
    venue="ICLR 2020 submission, OpenReview Byx55pVKDB",
    year=2019,
)


class Paired(Detector):
    """A detector that looks at images in the space of their logits, or in that of their probabilities."""

    space: ClassVar[str]  # its name in errors

    paper = _PAPER
    needs = frozenset({Signal.LOGITS})

    @abstractmethod
    def coordinates(self, logits: Tensor) -> Tensor:
        """Where images of logits (N, K), float64, lie in the space: (N, K)."""


class Logits(Paired):
    """Looks at the logits."""

    space = "logits"

    def coordinates(self, logits: Tensor) -> Tensor:
        """Give the logits."""
        return logits


class Probabilities(Paired):
    """Looks at the softmax."""

    space = "probabilities"

    def coordinates(self, logits: Tensor) -> Tensor:
        """Take the softmax."""
        return torch.softmax(logits, dim=1)


@dataclass(frozen=True)
class PairedKNN(Paired):
    """Minus the distance to the k-th nearest training image."""

    searches = True

    k: int = 50

    bank: Rows = fitted()  # (M, K)

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k: expected at least 1, got {self.k}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Keep the coordinates of the training images.

        Raises
        ------
        HyperparameterError
            If `k` is larger than the number of training images.
        """
        check_k(self.k, len(train))
        return self.with_state(bank=Rows(train.logits, self.coordinates).held())

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K): (N,) float64."""
        return -kth_distance(self.coordinates(features.logits.double()), self.bank, self.k)


@dataclass(frozen=True)
class PairedMahalanobis(Paired):
    """Minus the squared Mahalanobis distance to the nearest class mean."""

    gaussian: Gaussian = fitted()

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn class means and the shared covariance of the coordinates.

        Raises
        ------
        ValueError
            If a class has no training image, or no coordinate varies within any class.
        """
        labels, classes = train.labels.long(), train.logits.shape[1]
        rows = Rows(train.logits, self.coordinates)
        return self.with_state(gaussian=Gaussian.fit(rows, labels, classes, self.space))

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K): (N,) float64."""
        return -self.gaussian.nearest(self.coordinates(features.logits.double()))

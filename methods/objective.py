"""The contract of a training objective."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from methods.method import Method


class DifferentiableNetwork(Protocol):
    """A network as an `Objective` sees it."""

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, 3, H, W) with pixels in [0, 1]; normalisation happens inside."""


@dataclass(frozen=True)
class Batch:
    """One training step's data: images (B, 3, H, W) in [0, 1] and class indices (B,)."""

    images: Tensor
    labels: Tensor


class Objective(Method):
    """How a network is trained on the in-distribution data."""

    @abstractmethod
    def loss(self, network: DifferentiableNetwork, batch: Batch) -> Tensor:
        """Scalar training loss of one batch, differentiable in the network's weights."""

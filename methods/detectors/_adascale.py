"""What AdaSCALE-A and -L share: how an image's percentile follows from a shift of its activations.

Not a detector: files that begin with an underscore are not registered.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import FeatureNetwork, Features, GradientDetector, Head, NotFitted, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks
from methods.detectors.ash import count_kept
from methods.method import check_percent
from methods.tensors import check_image_batch


@dataclass(frozen=True)
class AdaScale(GradientDetector):
    """Scaled activations with a percentile of each image's own: all of it stands in `adascale_a`.

    What is made of the ratio r differs: `_energy`.
    """

    low: float = 75.0
    high: float = 85.0
    shifted: float = 1.0
    corrected: float = 5.0
    emphasis: float = 10.0
    share: float = 0.05
    epsilon: float = 0.113

    tops: tuple[int, int] = fitted()  # k_Q and k_C, in activations
    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)
    reference: Tensor = fitted()  # (M,), ascending: λQ + C of in-distribution images

    paper = Paper(
        title="AdaSCALE: Adaptive Scaling for OOD Detection",
        authors="S. Regmi",
        venue="arXiv",
        year=2025,
        arxiv="2503.08023",
    )
    needs = frozenset({Signal.LOGITS, Signal.PENULTIMATE, Signal.HEAD})
    step_name = "epsilon"
    calibrates = True

    def __post_init__(self) -> None:
        check_percent("low", self.low)
        check_percent("high", self.high)
        if not 0 <= self.low < 100:
            raise ValueError(f"low: expected a number of at least 0, below 100, got {self.low}")
        if not self.low <= self.high < 100:
            raise ValueError(
                f"high: expected a number of at least low, {self.low}, below 100, got {self.high}"
            )
        for name, value in (("shifted", self.shifted), ("corrected", self.corrected)):
            if not 0 < value <= 100:
                raise ValueError(f"{name}: expected percent above 0, at most 100, got {value}")
        if not 0 <= self.emphasis < math.inf:
            raise ValueError(f"emphasis: expected a finite number of at least 0, got {self.emphasis}")
        if not 0 <= self.share <= 1:
            raise ValueError(f"share: expected a number from 0 to 1, got {self.share}")
        if not 0 <= self.epsilon < math.inf:
            raise ValueError(f"epsilon: expected a finite number of at least 0, got {self.epsilon}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Keep the head; where nothing is moved, learn the distribution from validation features.

        Raises
        ------
        HyperparameterError
            If `high` leaves no activation for the top.
        """
        width = head.weight.shape[1]
        count_kept(width, self.high)
        tops = tuple(max(1, int(width * percent / 100)) for percent in (self.shifted, self.corrected))
        kept = self.with_state(tops=tops, weight=head.weight.double(), bias=head.bias.double())
        return kept.calibrated(kept._statistic(val, val)) if self.step == 0 else kept

    def with_step(self, step: float) -> Self:
        """Return a copy with that ε, which must be calibrated anew if it is another one."""
        twin = super().with_step(step)
        if twin.step != self.step:
            vars(twin).pop("reference", None)
        return twin

    def calibration(self, network: FeatureNetwork, images: Tensor) -> Tensor:
        """What `calibrated` learns from: λQ + C (N,) of in-distribution images (N, 3, H, W) in [0, 1]."""
        return self._statistic(*self._both(network, images, None))

    def calibrated(self, values: Tensor) -> Self:
        """Return a copy that knows how in-distribution images shift, by their `calibration` (M,)."""
        return self.with_state(reference=values.detach().double().sort().values)

    def loss(self, features: Features) -> Tensor:
        """Minus the predicted logit (N,)."""
        return -features.logits.amax(dim=1)

    def direction(self, network: FeatureNetwork, images: Tensor) -> Tensor:
        """Signs of the loss's input gradient where that is smallest, and 0 elsewhere, like `images`."""
        flat = self.gradient(network, images).flatten(1)
        count = int(flat.shape[1] * self.share)
        smallest = flat.abs().topk(count, dim=1, largest=False).indices
        return torch.zeros_like(flat).scatter_(1, smallest, flat.sign().gather(1, smallest)).view_as(images)

    def score_images(
        self, network: FeatureNetwork, images: Tensor, direction: Tensor | None = None
    ) -> Tensor:
        """Score images (N, 3, H, W) in [0, 1] by their activations and those of the moved images: (N,)."""
        return self._score(*self._both(network, images, direction))

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D) of images that are not moved: (N,) float64."""
        return self._score(features, features)

    @abstractmethod
    def _energy(self, logits: Tensor, r: Tensor) -> Tensor:
        """Energy (n,) of logits without bias (K, n), scaled by r (n,)."""

    def _both(
        self, network: FeatureNetwork, images: Tensor, direction: Tensor | None
    ) -> tuple[Features, Features]:
        """Features of images and of the moved images."""
        check_image_batch(images)
        with torch.no_grad():
            features = self._check("features", network(images))
        if self.step == 0:
            return features, features
        direction = self.direction(network, images) if direction is None else direction
        with torch.no_grad():
            return features, self._check("features", network(images - self.step * direction))

    def _statistic(self, features: Features, moved: Features) -> Tensor:
        """λQ + C: (N,) float64."""
        return by_blocks(self._shift, features.penultimate, moved.penultimate)

    def _shift(self, h: Tensor, moved: Tensor) -> Tensor:
        h, moved = h.double(), moved.double()
        order = h.sort(dim=1, descending=True, stable=True).indices
        of_shift, of_correction = (order[:, :top] for top in self.tops)
        shift = (h - moved).abs().gather(1, of_shift).sum(dim=1)
        return self.emphasis * shift + moved.clamp(min=0).gather(1, of_correction).sum(dim=1)

    def _score(self, features: Features, moved: Features) -> Tensor:
        weight = self.weight  # which is there once `fit` was called
        if "reference" not in vars(self):
            raise NotFitted(
                f"{self._title}: learns from how in-distribution images shift; after fit, use "
                "calibrated(calibration(network, images)) with some"
            )
        below = torch.searchsorted(self.reference, self._statistic(features, moved), right=True)
        unlike = below.double() / len(self.reference)  # F
        percentile = self.low + (1 - unlike) * (self.high - self.low)

        def score(h: Tensor, p: Tensor) -> Tensor:
            h = h.double()
            return self._energy(weight @ h.T, _ratio(h.clamp(min=0), p))

        return by_blocks(score, features.penultimate, percentile)


def _ratio(h: Tensor, percentile: Tensor) -> Tensor:
    """Sum of each row of h ≥ 0 (n, D) over that of what its percentile (n,) leaves of the largest: r (n,).

    1 where all are zero.
    """
    kept = h.shape[1] - (h.shape[1] * percentile / 100).round().long()  # (n,)
    top = h.sort(dim=1, descending=True).values.cumsum(dim=1).gather(1, kept[:, None] - 1)[:, 0]
    return (h.sum(dim=1) / top).nan_to_num(nan=1.0)

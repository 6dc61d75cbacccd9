"""Relative Mahalanobis++: the relative Mahalanobis distance of features of length one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Signal, fitted
from methods.detectors._blocks import by_blocks
from methods.detectors._gaussian import Gaussian, class_means, covariance
from methods.detectors._rows import Rows, normalised
from methods.detectors.mahalanobis_pp import MahalanobisPP
from methods.detectors.relative_mahalanobis import _same_support
from methods.registry import register


@register("relative_mahalanobis_pp")
@dataclass(frozen=True)
class RelativeMahalanobisPP(Detector):
    r"""`relative_mahalanobis` of features divided by their Euclidean norm (Müller & Hein 2025).

    .. math::
        \hat h &= h / \max(\lVert h \rVert, 10^{-12}) \\
        d_c^2 &= (\hat h - \mu_c)^\top \Sigma^{+} (\hat h - \mu_c), \qquad
            d_0^2 = (\hat h - \mu_0)^\top \Sigma_0^{+} (\hat h - \mu_0) \\
        s &= -\min_c \; (d_c^2 - d_0^2)

    with the class means :math:`\mu_c` and their shared covariance Σ, and the mean :math:`\mu_0` and
    covariance :math:`\Sigma_0` of all images, each of the divided features, as in `mahalanobis_pp`. What is
    equal in both distances is left out of both, as in `relative_mahalanobis`. A factor above zero on an
    image's features changes nothing, neither in `fit` nor in `score`.

    Shapes: features (N, D), labels (N,) → scores (N,); K class means. Cost: fit O(ND² + D³), score O(NKD).
    No hyper-parameters.

    Deviations from the paper: features of zeros stay zeros and have a finite score, where the division by
    their length in the release gives NaN. Where references disagree: the release has it twice, by both
    covariances in full, in float64 for its own study and in float32 for OpenOOD. Signed features need nothing
    special.

    Differs from: neither OpenOOD v1.5 nor pytorch-ood 0.4.0 has it.
    """

    classwise: Gaussian = fitted()  # its distance is d_c², but for what cancels
    background: Gaussian = fitted()  # its distance is d_0², but for what cancels

    paper = MahalanobisPP.paper
    aliases = ("rmds_pp",)
    needs = frozenset({Signal.PENULTIMATE})

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the class means, their shared covariance, and the mean and covariance of all images.

        Raises
        ------
        ValueError
            If a class has no training image, or no divided feature varies within any class.
        """
        rows, labels, classes = (
            Rows(train.penultimate, normalised),
            train.labels.long(),
            train.logits.shape[1],
        )
        means = class_means(rows, labels, classes)
        within = covariance(rows, labels, means)
        share = torch.bincount(labels, minlength=classes).double() / len(labels)  # (K,)
        origin = share @ means
        spread = share.sqrt()[:, None] * (means - origin)  # (K, D)
        classwise = Gaussian.of(means, within, "penultimate, of length one")
        background = Gaussian.of(origin[None], within + spread.T @ spread, "penultimate, of length one")
        if _same_support(classwise, background, spread):
            # Where Σ is the identity, Σ₀ is 1 + β along the K or fewer axes that the class means span, and 1
            # along all others, which cancel.
            _, roots, axes = torch.linalg.svd(spread @ classwise.whitener, full_matrices=False)
            projection = classwise.whitener @ axes.T  # (D, at most K)
            classwise = Gaussian(origin, projection, (means - origin) @ projection)
            shrunk = projection / (1 + roots.square()).sqrt()
            background = Gaussian(origin, shrunk, torch.zeros_like(shrunk[:1]))
        return self.with_state(classwise=classwise, background=background)

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        return by_blocks(self._score, features.penultimate)

    def _score(self, h: Tensor) -> Tensor:
        direction = normalised(h.double())
        return self.background.nearest(direction) - self.classwise.nearest(direction)

"""Relative Mahalanobis++: the relative Mahalanobis distance of features of length one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Signal, fitted
from methods.detectors._blocks import by_blocks
from methods.detectors._gaussian import Gaussian
from methods.detectors._relative import relative
from methods.detectors._rows import Rows, normalised
from methods.detectors.mahalanobis_pp import MahalanobisPP
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
        rows, classes = Rows(train.penultimate, normalised), train.logits.shape[1]
        classwise, background = relative(rows, train.labels.long(), classes, "penultimate, of length one")
        return self.with_state(classwise=classwise, background=background)

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        return by_blocks(self._score, features.penultimate)

    def _score(self, h: Tensor) -> Tensor:
        direction = normalised(h.double())
        return self.background.nearest(direction) - self.classwise.nearest(direction)

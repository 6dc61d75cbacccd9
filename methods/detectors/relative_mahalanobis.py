"""Mahalanobis distance to the nearest class, relative to that of all classes together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._gaussian import Gaussian
from methods.detectors._relative import relative
from methods.detectors._rows import Rows
from methods.registry import register


@register("relative_mahalanobis")
@dataclass(frozen=True)
class RelativeMahalanobis(Detector):
    r"""Mahalanobis distance to the nearest class mean less that to a background Gaussian (Ren et al. 2021).

    .. math::
        d_c^2 &= (h - \mu_c)^\top \Sigma^{+} (h - \mu_c) \\
        d_0^2 &= (h - \mu_0)^\top \Sigma_0^{+} (h - \mu_0), \qquad
            \mu_0 = \frac{1}{N} \sum_i h_i, \quad
            \Sigma_0 = \frac{1}{N} \sum_i (h_i - \mu_0)(h_i - \mu_0)^\top \\
        s &= -\min_c \; (d_c^2 - d_0^2)

    with class means and :math:`\Sigma` as in `mahalanobis`. :math:`\Sigma_0` is :math:`\Sigma` and the
    scatter of the class means, :math:`\sum_c \frac{n_c}{N} (\mu_c - \mu_0)(\mu_c - \mu_0)^\top`, whose
    rank is K - 1 at most. In coordinates where Σ is the identity both covariances therefore agree in every
    direction in which the class means do not differ. There the two distances are equal and cancel, so that
    they are measured in at most K directions: β being the scatter along one of them, :math:`\Sigma_0` is
    1 + β there. That holds where both covariances have the same support; where they do not (class means that
    differ in a direction in which no class varies, or too little to count), both are measured in full.

    Shapes: features (N, D), labels (N,) → scores (N,); K class means. Cost: fit O(ND² + D³), score O(NKD).
    No hyper-parameters.

    Deviations from the paper: none. Where references disagree: a library that leaves the 1/N out of
    :math:`\Sigma_0` alone has a background N times too weak, and its score is `mahalanobis` again;
    pytorch-ood 0.4 leaves it out of both covariances (same ranking); here both have it. Each pseudo-inverse
    leaves out eigenvalues below 1e-10 of the largest.

    Differs from: OpenOOD v1.5 is the same; pytorch-ood 0.4.0 adds 1e-6 to the diagonals of both scatters.
    """

    classwise: Gaussian = fitted()  # its distance is d_c², but for what cancels
    background: Gaussian = fitted()  # its distance is d_0², but for what cancels

    paper = Paper(
        title="A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection",
        authors="J. Ren, S. Fort, J. Liu, A. Guha Roy, S. Padhy, B. Lakshminarayanan",
        venue="ICML Workshop on Uncertainty and Robustness in Deep Learning",
        year=2021,
        arxiv="2106.09022",
    )
    aliases = ("rmds", "rmd", "rel_mds")
    needs = frozenset({Signal.PENULTIMATE})

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the class means, their shared covariance, and the mean and covariance of all images.

        Raises
        ------
        ValueError
            If a class has no training image, or no feature varies within any class.
        """
        rows, classes = Rows(train.penultimate), train.logits.shape[1]
        classwise, background = relative(rows, train.labels.long(), classes, "penultimate")
        return self.with_state(classwise=classwise, background=background)

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        h = features.penultimate
        return self.background.nearest(h) - self.classwise.nearest(h)

"""Mahalanobis++: the Mahalanobis distance of features of length one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks
from methods.detectors._gaussian import Gaussian
from methods.detectors._rows import Rows, normalised
from methods.registry import register


@register("mahalanobis_pp")
@dataclass(frozen=True)
class MahalanobisPP(Detector):
    r"""`mahalanobis` of features divided by their Euclidean norm (Müller & Hein 2025).

    .. math::
        \hat h &= h / \max(\lVert h \rVert, 10^{-12}) \\
        \mu_c &= \frac{1}{n_c} \sum_{i: y_i = c} \hat h_i, \qquad
            \Sigma = \frac{1}{N} \sum_i (\hat h_i - \mu_{y_i})(\hat h_i - \mu_{y_i})^\top \\
        s &= -\min_c \; (\hat h - \mu_c)^\top \Sigma^{+} (\hat h - \mu_c)

    Lengths vary between images and between classes far more than Gaussians with one covariance would have
    them, and outliers with short features lie near every mean. The features are divided before the means and
    the covariance are estimated, and before they are scored; the means are not divided again. A factor above
    zero on an image's features changes nothing, neither in `fit` nor in `score`.

    Shapes: features (N, D), labels (N,) → scores (N,); K class means. Cost: fit O(ND² + D³), score O(ND² +
    NKD). No hyper-parameters.

    Deviations from the paper: features of zeros stay zeros and have a finite score, where the division by
    their length in the release gives NaN. Where references disagree: the release's own copies for OpenOOD
    centre the residuals once more (they are centred already) and work in float32; here the pseudo-inverse is
    that of `mahalanobis`, in float64. Signed features need nothing special.

    Differs from: neither OpenOOD v1.5 nor pytorch-ood 0.4.0 has it.
    """

    gaussian: Gaussian = fitted()  # of the divided features

    paper = Paper(
        title="Mahalanobis++: Improving OOD Detection via Feature Normalization",
        authors="M. Müller, M. Hein",
        venue="ICML",
        year=2025,
        arxiv="2505.18032",
    )
    aliases = ("mds_pp", "maha_pp", "mahalanobis_plus_plus")
    needs = frozenset({Signal.PENULTIMATE})

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn class means and the shared covariance of the divided features.

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
        return self.with_state(gaussian=Gaussian.fit(rows, labels, classes, "penultimate, of length one"))

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        return -by_blocks(lambda h: self.gaussian.nearest(normalised(h.double())), features.penultimate)

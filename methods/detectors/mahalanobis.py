"""Mahalanobis distance to the nearest class mean, in penultimate features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.registry import register

RCOND = 1e-10  # eigenvalues of the covariance below this share of the largest count as zero


@register("mahalanobis")
@dataclass(frozen=True)
class Mahalanobis(Detector):
    r"""Squared distance to the nearest class mean under one shared covariance (Lee et al. 2018, eqs. 1, 2).

    .. math::
        \Sigma &= \frac{1}{N} \sum_i (h_i - \mu_{y_i})(h_i - \mu_{y_i})^\top \\
        s &= -\min_c \; (h - \mu_c)^\top \Sigma^{+} (h - \mu_c)

    The pseudo-inverse is :math:`\Sigma^+ = L L^\top` with :math:`L` the eigenvectors of :math:`\Sigma`
    divided by the roots of their eigenvalues, those below 1e-10 of the largest left out. Features are
    whitened once, :math:`h \mapsto h L`, after which the distance is Euclidean.

    Shapes: features (N, D), labels (N,) → scores (N,); K class means. Cost: fit O(ND² + D³), score O(ND² +
    NKD). No hyper-parameters.

    Deviations from the paper: no step of the input (magnitude 0) and the penultimate layer alone, because the
    published magnitude and layer weights were fitted on test outliers. Where references disagree: the release
    halves the distance (same ranking); some libraries divide by N - 1 or add a ridge, here neither. The
    covariance is singular for features that never fire, hence the pseudo-inverse. Distances are summed from
    differences and not expanded into inner products, which would cancel in directions of tiny variance.
    """

    whitener: Tensor = fitted()  # (D, R): L, with R the rank of the covariance
    centres: Tensor = fitted()  # (K, R): whitened class means

    paper = Paper(
        title="A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks",
        authors="K. Lee, K. Lee, H. Lee, J. Shin",
        venue="NeurIPS",
        year=2018,
        arxiv="1807.03888",
    )
    needs = frozenset({Signal.PENULTIMATE})

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn class means and the shared covariance.

        Raises
        ------
        ValueError
            If a class has no training image, or no feature varies within any class.
        """
        h, labels = train.penultimate.double(), train.labels.long()
        means = _class_means(h, labels, classes=train.logits.shape[1])
        residuals = h - means[labels]
        eigenvalues, vectors = torch.linalg.eigh(residuals.T @ residuals / len(h))  # ascending
        kept = eigenvalues > RCOND * eigenvalues[-1]
        if not kept.any():
            raise ValueError("penultimate: no feature varies within any class, so there is no covariance")
        whitener = vectors[:, kept] / eigenvalues[kept].sqrt()
        return self.with_state(whitener=whitener, centres=means @ whitener)

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        whitened = features.penultimate.double() @ self.whitener  # (N, R)
        distances = torch.cdist(whitened, self.centres, compute_mode="donot_use_mm_for_euclid_dist")  # (N, K)
        return -distances.amin(dim=1).square()


def _class_means(h: Tensor, labels: Tensor, classes: int) -> Tensor:
    counts = torch.bincount(labels, minlength=classes)
    if (counts == 0).any():
        missing = ", ".join(str(c) for c in (counts == 0).nonzero().flatten().tolist())
        raise ValueError(f"labels: no training image of class {missing}; each of {classes} classes needs one")
    return h.new_zeros(classes, h.shape[1]).index_add_(0, labels, h) / counts[:, None]

"""Class means, a covariance, and squared distances to the nearest of several Gaussians that share it.

Not a detector: files that begin with an underscore are not registered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.detectors._rows import Rows

ROWS = 4096  # widened to float64 at once
SCORED = 512  # rows whose distances are taken at once: they stay in the cache
RCOND = 1e-10  # eigenvalues of a covariance below this share of the largest count as zero
CONSTANT = 1e-12  # a deviation below this share of its feature's largest mean is the rounding of that mean


class NoVariation(ValueError):  # noqa: N818
    """The rows do not vary, so that they have no covariance to measure distances by."""


def class_means(rows: Rows, labels: Tensor, classes: int) -> Tensor:
    """Mean of the rows (N, D) of each label (N,), in float64: (K, D). Rows with label K are left out.

    Raises
    ------
    ValueError
        If a class has no row.
    """
    counts = torch.bincount(labels, minlength=classes)[:classes]
    if (counts == 0).any():
        missing = ", ".join(str(c) for c in (counts == 0).nonzero().flatten().tolist())
        raise ValueError(f"labels: no training image of class {missing}; each of {classes} classes needs one")
    sums = torch.zeros(classes + 1, rows.width, dtype=torch.float64, device=labels.device)
    for block, own in rows.blocks(labels, size=ROWS):
        sums.index_add_(0, own, block)
    return sums[:classes] / counts[:, None]


def covariance(rows: Rows, labels: Tensor, means: Tensor) -> Tensor:
    """Covariance (D, D), with 1/N, of rows (N, D) about the means (K, D) of their labels."""
    total = means.new_zeros(means.shape[1], means.shape[1])
    for block, own in rows.blocks(labels, size=ROWS):
        residuals = block - means[own]
        total.addmm_(residuals.T, residuals)
    return total / len(rows)


def whitener(covariance: Tensor) -> Tensor:
    """Root L (D, R) of the pseudo-inverse, L Lᵀ, of a covariance (D, D) of rank R."""
    eigenvalues, vectors = torch.linalg.eigh(covariance)  # ascending
    kept = eigenvalues > RCOND * eigenvalues[-1]
    root: Tensor = vectors[:, kept] / eigenvalues[kept].sqrt()
    return root


@dataclass(frozen=True)
class Gaussian:
    """Gaussians that share one covariance, in coordinates where that is the identity."""

    origin: Tensor  # (D,): taken off first, so that little cancels
    whitener: Tensor  # (D, R): L
    centres: Tensor  # (K, R): whitened means

    @classmethod
    def fit(cls, rows: Rows, labels: Tensor, classes: int, space: str) -> Self:
        """Learn from rows (N, D) with labels (N,); errors name the `space` of the rows.

        Raises
        ------
        ValueError
            If a class has no row.
        NoVariation
            If nothing varies within any class.
        """
        means = class_means(rows, labels, classes)
        return cls.of(means, covariance(rows, labels, means), space)

    @classmethod
    def of(cls, means: Tensor, covariance: Tensor, space: str) -> Self:
        """Make Gaussians of their means (K, D) and covariance (D, D); `NoVariation` as for `fit`."""
        rounding = (CONSTANT * means.abs().amax(dim=0)).square()  # (D,)
        if not (covariance.diagonal() > rounding).any():
            raise NoVariation(f"{space}: no feature varies within any class, so there is no covariance")
        origin, root = means.mean(dim=0), whitener(covariance)
        return cls(origin, root, (means - origin) @ root)

    def nearest(self, rows: Tensor) -> Tensor:
        """Squared distance of rows (N, D) to the nearest mean: (N,) float64, differentiable.

        The nearest is found by inner products. Its distance is then summed from differences, because the
        inner products would cancel where it is small.
        """
        return torch.cat([self._nearest(block) for block in torch.split(rows, SCORED)])

    def _nearest(self, rows: Tensor) -> Tensor:
        whitened = (rows - self.origin) @ self.whitener  # (n, R)
        with torch.no_grad():
            norms = self.centres.square().sum(dim=1)  # (K,)
            index = torch.addmm(norms, whitened, self.centres.T, alpha=-2).argmin(dim=1)  # (n,)
        return (whitened - self.centres[index]).square().sum(dim=1)

"""Mixtures of Gaussians: the fit of one step of expectation-maximisation, and densities.

Not a detector: files that begin with an underscore are not registered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import NotApplicable
from methods.detectors._rows import Rows, scatter


@dataclass(frozen=True)
class Mixture:
    """Gaussians with weights; a tied covariance is one matrix for all of them."""

    log_weights: Tensor  # (m,)
    means: Tensor  # (m, D)
    roots: Tensor  # (1 or m, D, D), upper triangular: U with U Uᵀ the inverse of a covariance

    @classmethod
    def of(cls, rows: Rows, shares: Tensor, tied: bool, ridge: float) -> Self:
        """Fit to rows (N, D), of which each belongs to the components by shares (N, m) that sum to 1.

        Whole numbers (N,) are the component to which each row belongs altogether; each component has one.
        """
        counts = _counts(shares)
        means = rows.total(lambda h, of: _shares(of, len(counts)).T @ h, shares) / counts[:, None]
        if tied:
            origin = rows.mean()
            centres = means - origin
            total = rows.total(lambda h: scatter(h - origin)) - (counts * centres.T) @ centres
            covariance = (total / len(rows))[None]
        else:

            def part(h: Tensor, of: Tensor, j: int) -> Tensor:
                centred, share = h - means[j], _shares(of, len(counts))[:, j] / counts[j]
                return (share[:, None] * centred).T @ centred

            covariance = torch.stack(
                [rows.total(lambda h, of, j=j: part(h, of, j), shares) for j in range(len(counts))]
            )
        covariance.diagonal(dim1=1, dim2=2).add_(ridge)
        cholesky, failed = torch.linalg.cholesky_ex(covariance)
        if failed.any():
            raise NotApplicable("a covariance is singular; a larger shrinkage would do")
        identity = torch.eye(rows.width).to(cholesky).expand_as(cholesky)
        roots = torch.linalg.solve_triangular(cholesky, identity, upper=False).mT
        return cls((counts / counts.sum()).log(), means, roots.contiguous())

    def log_densities(self, h: Tensor) -> Tensor:
        """Log of weight times density of each component at rows h (N, D): (N, m)."""
        if len(self.roots) == 1:
            origin = self.means.mean(dim=0)
            x, centres = (h - origin) @ self.roots[0], (self.means - origin) @ self.roots[0]
            distances = torch.cdist(x, centres, compute_mode="donot_use_mm_for_euclid_dist").square()
        else:
            pairs = zip(self.means, self.roots, strict=True)
            distances = torch.stack([((h - mean) @ root).square().sum(dim=1) for mean, root in pairs], dim=1)
        log_root = self.roots.diagonal(dim1=1, dim2=2).log().sum(dim=1)  # -½ log det of the covariance
        return self.log_weights + log_root - (distances + h.shape[1] * math.log(2 * math.pi)) / 2


def _counts(shares: Tensor) -> Tensor:
    """How many rows each component has (m,), never 0."""
    counts = shares.sum(dim=0) if shares.is_floating_point() else torch.bincount(shares).double()
    return counts + 10 * torch.finfo(counts.dtype).eps


def _shares(shares: Tensor, components: int) -> Tensor:
    """(n, m) float64."""
    if shares.is_floating_point():
        return shares
    return torch.eye(components, dtype=torch.float64, device=shares.device)[shares]

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


@dataclass(frozen=True)
class Mixture:
    """Gaussians with weights; a tied covariance is one matrix for all of them."""

    log_weights: Tensor  # (m,)
    means: Tensor  # (m, D)
    roots: Tensor  # (1 or m, D, D), upper triangular: U with U Uᵀ the inverse of a covariance

    @classmethod
    def of(cls, h: Tensor, shares: Tensor, tied: bool, ridge: float) -> Self:
        """Fit to rows h (N, D), of which each belongs to the components by shares (N, m) that sum to 1."""
        counts = shares.sum(dim=0) + 10 * torch.finfo(shares.dtype).eps
        means = shares.T @ h / counts[:, None]
        if tied:
            origin = h.mean(dim=0)
            rows, centres = h - origin, means - origin
            scatter = rows.T @ rows - (counts * centres.T) @ centres
            covariance = (scatter / len(h))[None]
        else:
            members = zip(means, shares.T / counts[:, None], strict=True)
            covariance = torch.stack([_covariance(h - mean, share) for mean, share in members])
        covariance.diagonal(dim1=1, dim2=2).add_(ridge)
        cholesky, failed = torch.linalg.cholesky_ex(covariance)
        if failed.any():
            raise NotApplicable("a covariance is singular; a larger shrinkage would do")
        identity = torch.eye(h.shape[1], dtype=h.dtype, device=h.device).expand_as(cholesky)
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


def _covariance(rows: Tensor, shares: Tensor) -> Tensor:
    return (shares[:, None] * rows).T @ rows

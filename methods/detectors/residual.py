"""Residual: how far features lie outside the principal subspace of the training features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, HyperparameterError, NotApplicable, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks
from methods.detectors._rows import Rows
from methods.detectors._subspace import principal_axes
from methods.registry import register

RCOND = 1e-5  # singular values of the weight below this share of the largest count as zero


@register("residual")
@dataclass(frozen=True)
class Residual(Detector):
    r"""Norm of what the features leave outside their principal subspace (Wang, Li, Feng & Zhang 2022).

    .. math::
        o &= -W^{+} b \\
        C &= \frac{1}{N} \sum_i (h_i - o)(h_i - o)^\top \\
        s &= -\lVert R^\top (h - o) \rVert

    with the columns of R the eigenvectors of C but for the ``dim`` of largest eigenvalues. The origin o
    solves :math:`W o + b = 0` by least squares: seen from there, logits are linear without a bias. C is not
    centred again.

    Shapes: features (N, D), weight (K, D), bias (K,) → scores (N,). Cost: fit O(ND² + D³), score O(ND(D -
    dim)).

    Parameters
    ----------
    dim
        Dimension of the principal subspace, from 1 to D - 1. None takes the paper's: 1000 for D of at least
        2048, 512 for D of at least 768 and else D // 2.

    Deviations from the paper: none. Where references disagree: one benchmark takes dim = 256 for ResNet-18,
    which is D // 2. The pseudo-inverse leaves out singular values below 1e-5 of the largest, the root of the
    1e-10 used for covariances: the rows of a head often sum to zero up to float32 rounding, and a
    pseudo-inverse in full precision would divide the bias by that rounding. Signed features need nothing
    special.

    Differs from: OpenOOD v1.5 learns the subspace from validation images and with a dim set for each network;
    pytorch-ood 0.4.0 has `vim` alone.
    """

    dim: int | None = None

    origin: Tensor = fitted()  # (D,): o
    eigenvalues: Tensor = fitted()  # (D,), descending, of C
    basis: Tensor = fitted()  # (D, D - dim): R

    paper = Paper(
        title="ViM: Out-of-Distribution with Virtual-logit Matching",
        authors="H. Wang, Z. Li, L. Feng, W. Zhang",
        venue="CVPR",
        year=2022,
        arxiv="2203.10807",
    )
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        if self.dim is not None and self.dim < 1:
            raise ValueError(f"dim: expected None or at least 1, got {self.dim}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the origin from the head and the residual subspace from the training features.

        Raises
        ------
        HyperparameterError
            If `dim` leaves no residual subspace.
        NotApplicable
            If there are fewer training images than features: the residual subspace would be mostly one that
            no image, in-distribution or not, could have entered.
        """
        images, width = train.penultimate.shape
        dim = published_dim(width) if self.dim is None else self.dim
        if dim >= width:
            raise HyperparameterError(f"dim: expected less than the number of features, {width}, got {dim}")
        if images < width:
            raise NotApplicable(f"{width} features need as many training images, there are {images}")
        origin = -torch.linalg.pinv(head.weight.double(), rtol=RCOND) @ head.bias.double()
        eigenvalues, axes = principal_axes(Rows(train.penultimate, lambda h: h - origin))
        return self.with_state(origin=origin, eigenvalues=eigenvalues, basis=axes[:, dim:])

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        return -by_blocks(self._norm, features.penultimate)

    def _norm(self, h: Tensor) -> Tensor:
        outside = (h.double() - self.origin) @ self.basis  # (n, D - dim)
        norm: Tensor = torch.linalg.vector_norm(outside, dim=1)
        return norm


def published_dim(width: int) -> int:
    """Dimension of the principal subspace that the paper takes for `width` features."""
    if width >= 2048:
        return 1000
    return 512 if width >= 768 else width // 2

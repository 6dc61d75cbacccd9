"""Kernel PCA: what features leave outside their principal subspace, in the space of a kernel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, NotApplicable, Paper, Signal, fitted
from methods.detectors import _rows
from methods.detectors._blocks import by_blocks
from methods.detectors._rows import Rows, normalised, scatter
from methods.registry import register

Kernel = Literal["cop", "corp"]

VARIANCE = {"cop": 0.99, "corp": 0.5}  # of which share the principal subspace holds at least
PER_FEATURE = 2  # random Fourier features
CONSTANT = 1e-12  # a deviation of mapped features, which are about 1 long, below this is rounding


@register("kpca")
@dataclass(frozen=True)
class KPCA(Detector):
    r"""Reconstruction error of PCA in the feature space of a kernel (Fang et al. 2024, CoP and CoRP).

    .. math::
        \hat h &= h / \max(\lVert h \rVert, 10^{-12}) \\
        \phi(h) &= \begin{cases} \hat h & \text{CoP, the cosine kernel} \\
            \sqrt{2 / M} \, \cos(\Omega \hat h + u) & \text{CoRP, the Gaussian kernel of } \hat h
            \end{cases} \\
        f &= \phi(h) - \mu, \qquad s = -\lVert f - U U^\top f \rVert

    with μ the mean of φ over the training images and the columns of U the principal axes of their covariance,
    the fewest that hold a share of at least ``variance`` of it, but never all. Each of the M random Fourier
    features has a row of Ω from :math:`\mathcal N(0, 2 \gamma I)` and a phase in u, uniform from 0 to 2π,
    drawn from the generator handed to `fit`, so that :math:`\langle \phi(a), \phi(b) \rangle` is about
    :math:`\exp(-\gamma \lVert \hat a - \hat b \rVert^2)`. A factor above zero on an image's features changes
    nothing.

    Shapes: features (N, D) → scores (N,); q axes. Cost: CoP, fit O(ND² + D³), score O(ND min(q, D - q));
    CoRP, fit O(NDM + NM² + M³), score O(NDM + NM min(q, M - q)).

    Parameters
    ----------
    kernel
        ``corp``: cosine and then Gaussian, by random Fourier features; ``cop``: cosine alone.
    variance
        The share of the variance that the principal subspace holds at least, above 0 and below 1. None takes
        0.5 for CoRP and 0.99 for CoP.
    gamma
        γ > 0, of the Gaussian kernel; ``cop`` does not look at it.
    fourier
        M, at least 2; None takes twice the number of features. ``cop`` does not look at it.

    Deviations from the paper: it sets ``variance`` and γ for each network; how it chooses them is not
    established here. The defaults are what its release has for ResNet-50 on ImageNet, of 2048 features, where
    M = 4096. For ResNet-18 on CIFAR-10 that has 0.85 for CoP, and 0.8, γ = 2 and M = 2048, four times the
    features, for CoRP; after supervised contrastive training, 0.85 and 0.7 with γ = 1 on CIFAR-10, and 0.7
    and 0.5 with γ = 1 on ImageNet. Its sums of this error and of other scores are not made. Features of zeros
    stay zeros. Where references disagree: the release adds 1e-10 to the norm instead of holding it above
    1e-12. Where a share needs all axes, it leaves out the last, here too. Signed features need nothing
    special.

    Differs from: neither OpenOOD v1.5 nor pytorch-ood 0.4.0 has it.
    """

    kernel: Kernel = "corp"
    variance: float | None = None
    gamma: float = 3.0
    fourier: int | None = None

    frequencies: Tensor = fitted()  # (M, D): Ω; none, (0, D), for CoP
    phases: Tensor = fitted()  # (M,): u
    mean: Tensor = fitted()  # (M,) or (D,): μ
    axes: Tensor = fitted()  # (M, M) or (D, D): all of them, as columns, U first
    kept: int = fitted()  # q

    paper = Paper(
        title="Kernel PCA for Out-of-Distribution Detection",
        authors="K. Fang, Q. Tao, K. Lv, M. He, X. Huang, J. Yang",
        venue="NeurIPS",
        year=2024,
        arxiv="2402.02949",
    )
    needs = frozenset({Signal.PENULTIMATE})

    def __post_init__(self) -> None:
        if self.kernel not in get_args(Kernel):
            raise ValueError(f"kernel: expected one of {', '.join(get_args(Kernel))}, got {self.kernel!r}")
        if self.variance is not None and not 0 < self.variance < 1:
            raise ValueError(f"variance: expected None or above 0 and below 1, got {self.variance}")
        if not 0 < self.gamma < math.inf:
            raise ValueError(f"gamma: expected a finite number above 0, got {self.gamma}")
        if self.fourier is not None and self.fourier < 2:
            raise ValueError(f"fourier: expected None or at least 2, got {self.fourier}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Draw the random features, and learn the mean and the principal axes of the mapped features.

        Raises
        ------
        ValueError
            If the kernel is CoRP and there is no `rng`.
        NotApplicable
            If the mapped features do not vary.
        """
        rows = Rows(train.penultimate)
        mapped = self.with_state(**self._drawn(rows, rng))

        def blocks() -> Iterator[Tensor]:
            size = max(1, min(_rows.MOST, _rows.AT_ONCE // max(rows.width, len(mapped.phases))))
            return (mapped._map(block) for (block,) in rows.blocks(size=size))

        mean = reduce(torch.add, (f.sum(dim=0) for f in blocks())) / len(rows)
        covariance = reduce(torch.add, (scatter(f - mean) for f in blocks())) / len(rows)
        eigenvalues, vectors = torch.linalg.eigh(covariance)  # ascending
        eigenvalues, vectors = eigenvalues.flip(0).clamp(min=0), vectors.flip(1)
        total = eigenvalues.sum()
        if total <= CONSTANT**2:
            raise NotApplicable("penultimate: no direction varies over the training images")
        share = VARIANCE[self.kernel] if self.variance is None else self.variance
        needed = int((eigenvalues.cumsum(0) < share * total).sum()) + 1
        kept = min(needed, len(mean) - 1)  # or else nothing would be left of any image
        return mapped.with_state(mean=mean, axes=vectors, kept=kept)

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        return by_blocks(self._score, features.penultimate)

    def _score(self, h: Tensor) -> Tensor:
        f = self._map(h.double()) - self.mean
        inside, outside = self.axes[:, : self.kept], self.axes[:, self.kept :]
        # To take off what lies along q axes is two products, to measure what lies along the others one.
        left = f @ outside if outside.shape[1] <= 2 * self.kept else f - f @ inside @ inside.T
        error: Tensor = torch.linalg.vector_norm(left, dim=1)
        return -error

    def _drawn(self, rows: Rows, rng: torch.Generator | None) -> dict[str, Tensor]:
        """Frequencies (M, D) and phases (M,); none for CoP."""
        count = 0 if self.kernel == "cop" else self.fourier or PER_FEATURE * rows.width
        if count and rng is None:
            raise ValueError(f"rng: {count} random Fourier features are drawn; pass a torch.Generator")
        frequencies = torch.randn(count, rows.width, generator=rng, dtype=torch.float64)
        phases = torch.rand(count, generator=rng, dtype=torch.float64)
        return {
            "frequencies": (math.sqrt(2 * self.gamma) * frequencies).to(rows.device),
            "phases": (2 * math.pi * phases).to(rows.device),
        }

    def _map(self, h: Tensor) -> Tensor:
        """Mapped features φ, (n, M) or (n, D), of float64 ones (n, D)."""
        direction = normalised(h)
        if self.kernel == "cop":
            return direction
        angles: Tensor = direction @ self.frequencies.T + self.phases
        return math.sqrt(2 / len(self.phases)) * angles.cos()

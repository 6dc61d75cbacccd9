"""ActSub: energy in the subspace that decides the class, times similarity to training images outside."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, HyperparameterError, NotApplicable, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks, head_logits, largest_of_each, log_sum_exp
from methods.detectors._nearest import largest_products
from methods.detectors._rows import Rows, normalised
from methods.detectors._subspace import sample
from methods.detectors.ash import LARGEST_RATIO, count_kept
from methods.method import check_percent
from methods.registry import register

SIMILARITIES = 2**22  # held at once: at most 32 MiB
FRACTION = 0.1
SMALLEST_BANK = 1000  # of which a fraction is taken
RCOND = 1e-5  # singular values of the weight below this share of the largest count as zero
LEAST = 1e-12  # no dissimilarity counts as less inside the logarithm
NOTHING = 1e-10  # share of the features' length outside the subspace that is rounding


@register("actsub")
@dataclass(frozen=True)
class ActSub(Detector):
    r"""SCALE of the decisive component times nearness of the insignificant one (Zöngür, Hesse & Roth 2025).

    .. math::
        W &= U \Sigma V^\top, \qquad P = V_{1..k} V_{1..k}^\top, \qquad
            h^{\mathrm d} = P h, \quad h^{\mathrm i} = h - P h \\
        k &= \arg\min_k \left| \operatorname{mean}_i \lVert h_i^{\mathrm d} \rVert
            - \operatorname{mean}_i \lVert h_i^{\mathrm i} \rVert \right| \\
        s_{\mathrm d} &= \log \sum_c \exp\big(\exp(r) \, h^{\mathrm d} W^\top + b\big)_c, \qquad
            r = \frac{\sum_d h^{\mathrm d}_d}{\sum_{d \in \text{top}} h^{\mathrm d}_d} \\
        s_{\mathrm i} &= -\log \left( 1 - \text{mean of the } K \text{ largest }
            \cos(h^{\mathrm i}, h^{\mathrm i}_i) \right) \\
        s &= s_{\mathrm d} \, s_{\mathrm i}^{\,\lambda}

    (eqs. 4, 8, 9 and 10, by the release's comments). The right singular vectors with the largest singular
    values span what decides the class: k makes both components as long, on average over the M training images
    of a bank. Among these the nearest are sought. What the head hardly sees is left as the data made it,
    which tells far outliers; without it, shaped activations tell near ones better. The top are the D -
    round(D p / 100) largest entries, as in `scale`.

    Shapes: features (N, D), weight (K, D), bias (K,) → scores (N,). Cost: fit O(D³ + MD²), score O(ND² +
    NMD). The largest cosines are found in float32 and then computed in float64, as in `nnguide`.

    Parameters
    ----------
    percentile
        p, in percent, at least 0 and below 100: the share of the decisive component outside the top.
    power
        λ ≥ 0; 0 scores by the decisive component alone.
    neighbours
        K ≥ 1: how many cosines are averaged.
    dim
        k, from 1 to D - 1; None takes the one that balances the components.
    fraction
        The share of training images in the bank, drawn at random: above 0, at most 1. None takes the
        published 10 % where that is a bank of at least 1000 images, and else all.

    Deviations from the release: a k of None is at most the rank of the weight, because directions beyond it
    have no order in which some could be decisive; a decomposition returns them in any. On a network with few
    classes the decisive component therefore is all that the head sees, if that is shorter than the rest. A
    mean cosine below 0 counts as 0, and a dissimilarity below 1e-12 as 1e-12, where the release gives NaN for
    powers that are not whole, or infinity. The exponent r is at most 20: the sums of the decisive component,
    which has both signs, may both be negative. Where references disagree: p and λ were chosen with variations
    of ImageNet and outliers: 95 and 2 for ResNet-50 and CIFAR-10, 90 and 2 for CIFAR-100, 97.5 and 1/2 for
    MobileNet-v2, 97.5 and 1 for ViT-B/16; a comment in the release has 1.5 for ResNet-50 and calls the 2 an
    error of its search. A negative energy turns the sign of the product, as in the release. The variants with
    ASH-S or GEN for the decisive component, and with means of clusters for a bank, are left out.

    Signed features need nothing special.

    Differs from: none to compare with: OpenOOD v1.5 and pytorch-ood 0.4.0 do not have it.
    """

    percentile: float = 95.0
    power: float = 2.0
    neighbours: int = 10
    dim: int | None = None
    fraction: float | None = None

    decisive: Tensor = fitted()  # (D, D): P
    kept: int = fitted()  # how many entries are the top
    bank: Rows = fitted()  # (M, D): insignificant components, normalised
    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)

    paper = Paper(
        title="Activation Subspaces for Out-of-Distribution Detection",
        authors="B. Zöngür, R. Hesse, S. Roth",
        venue="ICCV",
        year=2025,
        arxiv="2508.21695",
    )
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})
    searches = True

    def __post_init__(self) -> None:
        check_percent("percentile", self.percentile)
        if not 0 <= self.percentile < 100:
            raise ValueError(f"percentile: expected a number of at least 0, below 100, got {self.percentile}")
        if not 0 <= self.power < math.inf:
            raise ValueError(f"power: expected a finite number of at least 0, got {self.power}")
        if self.neighbours < 1:
            raise ValueError(f"neighbours: expected at least 1, got {self.neighbours}")
        if self.dim is not None and self.dim < 1:
            raise ValueError(f"dim: expected None or at least 1, got {self.dim}")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise ValueError(f"fraction: expected None or above 0 and at most 1, got {self.fraction}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Split the feature space and fill the bank; keep the head.

        Raises
        ------
        HyperparameterError
            If `neighbours` is larger than the bank, `dim` leaves nothing outside of the decisive subspace, or
            `percentile` no entry for the top.
        NotApplicable
            If the weight is zero, or the features of the bank have next to nothing outside of the decisive
            subspace.
        ValueError
            If images must be drawn and there is no `rng`.
        """
        weight = head.weight.double()
        width, size = weight.shape[1], self._bank_size(len(train))
        if self.neighbours > size:
            raise HyperparameterError(
                f"neighbours: expected at most the size of the bank, {size}, got {self.neighbours}"
            )
        if width == 1 or (self.dim or 0) >= width:
            raise HyperparameterError(f"dim: expected less than the number of features, {width}")
        kept = count_kept(width, self.percentile)
        _, singular, axes = torch.linalg.svd(weight)  # axes (D, D): a row for each right singular vector
        rank = int((singular > RCOND * singular[0]).sum())
        if rank == 0:
            raise NotApplicable("every weight of the head is zero: no direction decides the class")
        drawn = sample(train, size, rng).penultimate
        inside, outside = _lengths(Rows(drawn), axes)  # of each k from 1
        dim = self.dim or 1 + int((inside - outside)[:rank].abs().argmin())
        if outside[dim - 1] <= NOTHING * inside[dim - 1]:
            raise NotApplicable(f"the training features have nothing outside of {dim} decisive directions")
        decisive = axes[:dim].T @ axes[:dim]
        remaining = axes[dim:].T @ axes[dim:]
        bank = Rows(drawn, lambda h: normalised(h @ remaining))
        return self.with_state(
            decisive=decisive, kept=kept, bank=bank.held(), weight=weight, bias=head.bias.double()
        )

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        energy = by_blocks(self._energy, features.penultimate)
        if self.power == 0:
            return energy
        h = features.penultimate.double()
        rest = normalised(h - h @ self.decisive)
        cosine = largest_products(rest, self.bank, self.neighbours, torch.float32, SIMILARITIES).mean(dim=1)
        return energy * (-(1 - cosine).clamp(LEAST, 1).log()) ** self.power

    def _energy(self, h: Tensor) -> Tensor:
        inside = h.double() @ self.decisive  # (n, D)
        top = largest_of_each(inside, self.kept).sum(dim=1)
        # 0 / 0 comes of a row of zeros alone, which no factor changes.
        factor = (inside.sum(dim=1) / top).nan_to_num(nan=0.0).clamp(max=LARGEST_RATIO).exp()
        unscaled = head_logits(inside, self.weight, torch.zeros_like(self.bias))  # (K, n)
        return log_sum_exp(factor * unscaled + self.bias[:, None])

    def _bank_size(self, images: int) -> int:
        if self.fraction is None:
            size = round(FRACTION * images)
            return size if size >= SMALLEST_BANK else images
        return max(1, round(self.fraction * images))


def _lengths(rows: Rows, axes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean length of rows (N, D) within the first k of axes (D, D), and outside: (D - 1,) each, from k = 1.

    Both are sums of squares from their own end, so that neither cancels.
    """

    def summed(h: Tensor) -> Tensor:
        squares = (h @ axes.T).square()  # (n, D)
        inside = squares.cumsum(dim=1)[:, :-1]
        outside = squares.flip(1).cumsum(dim=1).flip(1)[:, 1:]
        return torch.stack([inside.sqrt().sum(dim=0), outside.sqrt().sum(dim=0)])

    inside, outside = rows.total(summed) / len(rows)
    return inside, outside

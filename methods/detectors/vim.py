"""ViM: the energy of the logits against one more, virtual logit, the norm of the residual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, NotApplicable, Signal, fitted
from methods.detectors._blocks import by_blocks, head_logits, log_sum_exp, working_type
from methods.detectors._rows import Rows
from methods.detectors.residual import Residual
from methods.registry import register

RCOND = 1e-10  # a residual variance below this share of the largest is rounding


@register("vim")
@dataclass(frozen=True)
class ViM(Detector):
    r"""Energy less the virtual logit, the scaled residual of the features (Wang, Li, Feng & Zhang 2022).

    .. math::
        s = \log \sum_k \exp(z_k) - \alpha \lVert R^\top (h - o) \rVert, \qquad
        \alpha = \frac{\sum_i \max_k z_{ik}}{\sum_i \lVert R^\top (h_i - o) \rVert}

    with o and R as in `residual` and both sums over the training images, so that there the virtual logit is
    as large on average as the largest logit. This ranks as one minus the softmax probability of the virtual
    logit next to the others.

    Products of float32 features are computed in float32, all that follows from them in float64. Shapes:
    features (N, D), weight (K, D), bias (K,) → scores (N,). Cost: fit O(ND² + D³ + NKD), score O(ND(D - dim)
    + NKD).

    Parameters
    ----------
    dim
        Dimension of the principal subspace; None takes the paper's, as in `residual`.

    Deviations from the paper: α is of all training images, where the release takes at most 200,000. Where
    references disagree: as in `residual`.

    Differs from: OpenOOD v1.5 sets one dim for all networks, where the default here follows the width;
    pytorch-ood 0.4.0 has no default.
    """

    dim: int | None = None

    residual: Residual = fitted()  # its score is minus the norm of the residual
    alpha: float = fitted()
    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)

    paper = Residual.paper
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        Residual(self.dim)  # refuses what it would

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the residual subspace and the scale of the virtual logit; keep the head.

        Raises
        ------
        HyperparameterError
            If `dim` leaves no residual subspace.
        NotApplicable
            If there are fewer training images than features, or the training features do not leave their
            principal subspace, so that no scale makes their residual a logit.
        """
        residual = Residual(self.dim).fit(train, val, head)
        largest_outside = residual.eigenvalues[-residual.basis.shape[1]]
        if largest_outside <= RCOND * residual.eigenvalues[0]:
            raise NotApplicable("no training feature leaves the principal subspace; a smaller dim would do")
        weight, bias = head.weight.double(), head.bias.double()
        largest = Rows(train.penultimate).each(lambda h: (h @ weight.T + bias).amax(dim=1))
        alpha = float(largest.mean() / -residual.score(train).mean())
        return self.with_state(residual=residual, alpha=alpha, weight=weight, bias=bias)

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        kind = working_type(features.penultimate)
        kept = (self.residual.origin, self.residual.basis, self.weight, self.bias)
        origin, basis, weight, bias = (t.to(kind) for t in kept)

        def score(h: Tensor) -> Tensor:
            h = h.to(kind)
            outside: Tensor = torch.linalg.vector_norm((h - origin) @ basis, dim=1).double()
            return log_sum_exp(head_logits(h, weight, bias)) - self.alpha * outside

        return by_blocks(score, features.penultimate)

"""Neural relation graph: how strongly an image relates to the training images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.registry import register

ROWS = 256  # images related at once


@register("relation")
@dataclass(frozen=True)
class Relation(Detector):
    r"""Sum of the relations to all training images (Kim, Yun & Song 2023).

    .. math::
        k_i &= \max(0, \langle \hat h, \hat h_i \rangle) \, \langle p, p_i \rangle, \qquad
        \hat h = h / \max(\lVert h \rVert, 10^{-12}), \quad p = \mathrm{softmax}(z) \\
        s &= \sum_{i : k_i > \tau} k_i^{\,t}

    over the M training images i. The score grows with M, so scores of different banks do not compare.

    Shapes: features (N, D), logits (N, K) → scores (N,). Cost: O(NM(K + D)) at most. Only training images
    with :math:`\langle p, p_i \rangle > \tau` can count, so images of one prediction are taken together and
    related to those alone: about O(NM(K + D/K)) for a confident network.

    Parameters
    ----------
    power
        t > 0, the temperature of the relation.
    threshold
        τ from 0 to below 1: relations up to this are left out.

    Deviations from the release: the score is the sum, where the release's outlier score is its inverse (same
    ranking). A relation that rounding moves across the threshold changes the score by τᵗ. Where references
    disagree: the release says that t = 1 is best for outliers and takes t = 4 for wrong labels; one benchmark
    searches for t with validation outliers. The bank is at most 2,000 training images (`fit_limit`), drawn
    evenly by class, because the score relates every image to all of it. Signed features need nothing special.

    Differs from: OpenOOD v1.5 relates to all training images, and takes the t that validation outliers
    choose; pytorch-ood 0.4.0 does not have it.
    """

    power: float = 1.0
    threshold: float = 0.03

    fit_limit = 2000
    bank: Tensor = fitted()  # (M, D), normalised
    probabilities: Tensor = fitted()  # (M, K)

    paper = Paper(
        title="Neural Relation Graph: A Unified Framework for Identifying Label Noise and Outlier Data",
        authors="J. Kim, S. Yun, H. O. Song",
        venue="NeurIPS",
        year=2023,
        arxiv="2301.12321",
    )
    aliases = ("neural_relation_graph",)
    needs = frozenset({Signal.LOGITS, Signal.PENULTIMATE})
    searches = True

    def __post_init__(self) -> None:
        if not 0 < self.power < math.inf:
            raise ValueError(f"power: expected a finite number above 0, got {self.power}")
        if not 0 <= self.threshold < 1:
            raise ValueError(f"threshold: expected a number of at least 0, below 1, got {self.threshold}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Normalise and keep the training features, and keep their probabilities."""
        return self.with_state(bank=_normalise(train), probabilities=_probabilities(train))

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D) of images with logits (N, K): (N,) float64."""
        # Sums of many relations: the type of the features is exact enough for each of them.
        kind = torch.promote_types(features.penultimate.dtype, torch.float32)
        h, p = _normalise(features).to(kind), _probabilities(features).to(kind)
        surest = p.max(dim=1)
        order = torch.argsort(surest.indices + surest.values / 2)  # by prediction, then by how sure it is
        scores = h.new_empty(len(h), dtype=torch.float64)
        for rows in torch.split(order, ROWS):
            scores[rows] = self._relations(h[rows], p[rows])
        return scores

    def _relations(self, h: Tensor, p: Tensor) -> Tensor:
        agreement = p @ self.probabilities.to(p.dtype).T  # (n, M)
        # A cosine is at most 1, but for rounding.
        columns = (agreement > self.threshold * (1 - 1e-5)).any(dim=0).nonzero()[:, 0]
        related = (h @ self.bank[columns].to(h.dtype).T).clamp_min_(0).mul_(agreement[:, columns])
        related.masked_fill_(related <= self.threshold, 0.0)
        if self.power != 1:
            related.pow_(self.power)
        return related.sum(dim=1, dtype=torch.float64)


def _normalise(features: Features) -> Tensor:
    return functional.normalize(features.penultimate.double(), dim=1, eps=1e-12)


def _probabilities(features: Features) -> Tensor:
    return torch.softmax(features.logits.double(), dim=1)

"""GROOD: how far the pull on a prototype of outliers is from the pulls of training images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor
from torch.nn import functional

from methods.base import ClosedForm, Detector, Features, Head, NotApplicable, Paper, Signal, fitted
from methods.detectors._gaussian import class_means
from methods.detectors._nearest import kth_distance
from methods.detectors._rows import Rows
from methods.registry import register

Outlier = Literal["mixed", "mean"]

SIMILARITIES = 2**22  # held at once: at most 32 MiB
ROWS = 4096  # whose distances to all prototypes are held at once


@register("grood")
@dataclass(frozen=True)
class GROOD(Detector, ClosedForm):
    r"""Distance to the nearest training gradient, in an outlier prototype, of a loss (ElAraby et al. 2025).

    .. math::
        L(h) &= -\log \frac{\exp(-\lVert h - \mu_{\hat y} \rVert)}
            {\sum_k \exp(-\lVert h - \mu_k \rVert) + \exp(-\lVert h - o \rVert)} \\
        g(h) &= \frac{\partial L}{\partial o} = \pi(h) \frac{h - o}{\lVert h - o \rVert}, \qquad
            \pi(h) = \frac{\exp(-\lVert h - o \rVert)}
            {\sum_k \exp(-\lVert h - \mu_k \rVert) + \exp(-\lVert h - o \rVert)} \\
        s &= -\min_i \; \lVert g(h) - g(h_i) \rVert

    with μ the means of the training features of each class and o a prototype of outliers (eqs. 5, 7 and 8).
    The target ŷ drops out of the gradient, which is in o alone; at h = o it is 0. The minimum is over the
    training images that the network classifies right.

    No outlier is seen: o is synthetic. ``mixed`` is the mean, over all training images, of an image mixed
    with the mean of the class that the network holds second most likely, c(i); ``mean`` is that of the
    prototypes:

    .. math::
        o = \frac{1}{N} \sum_i \big[ \lambda h_i + (1 - \lambda) \mu_{c(i)} \big]
        \quad \text{or} \quad o = \frac{1}{K} \sum_k \mu_k

    Shapes: features (N, D), logits (N, K), labels (N,) → scores (N,). Cost: O(NMD + NKD) for the M training
    images searched, in blocks of rows that hold 2²² inner products at once; found in float32, measured in
    float64.

    Parameters
    ----------
    outlier
        How o is made: ``mixed`` or ``mean``.
    mixing
        λ, the image's share in what is mixed, from 0 to 1; ``mean`` has no use for it.

    Deviations from the paper: it mixes maps of an early layer with the class means of such maps, and sends
    the mixture through the rest of the network; here features are mixed, where that is linear, because `fit`
    sees no network. Where references disagree: the authors' code, in OpenOOD, makes o of validation outliers
    unless it is told otherwise, which no detector sees here; it has λ = 0.5 whatever its configuration says,
    mixes some 100 images, and has ``mean`` besides. The paper's own λ was not established. The code searches
    images that are classified right, and the paper's algorithm 1 names all of them: the code is followed,
    since a gradient between two classes is what outliers have. It returns the squared distance, the same
    ranking.

    Differs from: OpenOOD has validation outliers for o, as told above, and searches by an inverted index of
    which it looks at four cells; pytorch-ood 0.4.0 does not have it.
    """

    outlier: Outlier = "mixed"
    mixing: float = 0.5

    origin: Tensor = fitted()  # (D,): o
    offsets: Tensor = fitted()  # (K, D): μ - o
    bank: Rows = fitted()  # (M, D): gradients

    paper = Paper(
        title="GROOD: GRadient-Aware Out-of-Distribution Detection",
        authors="M. ElAraby, S. Sahoo, Y. Pequignot, P. Novello, L. Paull",
        venue="TMLR",
        year=2025,
        arxiv="2312.14427",
    )
    needs = frozenset({Signal.LOGITS, Signal.PENULTIMATE})
    searches = True

    def __post_init__(self) -> None:
        if self.outlier not in get_args(Outlier):
            raise ValueError(f"outlier: expected one of {', '.join(get_args(Outlier))}, got {self.outlier!r}")
        if not 0 <= self.mixing <= 1:
            raise ValueError(f"mixing: expected a number from 0 to 1, got {self.mixing}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the prototypes of classes and of outliers, and the gradients of training images.

        Raises
        ------
        NotApplicable
            If there is one class, or no training image is classified right.
        ValueError
            If a class has no training image.
        """
        labels, classes = train.labels.long(), train.logits.shape[1]
        if classes < 2:
            raise NotApplicable("one class has no other to be mixed with, which outliers are made of")
        rows, logits = Rows(train.penultimate), Rows(train.logits)
        means = class_means(rows, labels, classes)
        first = logits.each(lambda z: z.argmax(dim=1))
        right = (first == labels).nonzero()[:, 0]
        if not len(right):
            raise NotApplicable("no training image is classified right; do the logits fit the labels?")
        if self.outlier == "mean":
            origin = means.mean(dim=0)
        else:
            second = logits.each(_second, first)
            shares = torch.bincount(second, minlength=classes).double() / len(train)
            origin = self.mixing * rows.mean() + (1 - self.mixing) * (shares @ means)
        placed = self.with_state(origin=origin, offsets=means - origin)
        return placed.with_state(bank=_Chosen(train.penultimate, right, placed._gradients).held())

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        gradients = self._gradients(features.penultimate.double())
        return -kth_distance(gradients, self.bank, 1, torch.float32, SIMILARITIES)

    def by_autograd(self, features: Features) -> Tensor:
        """Differentiate L in o, at the predicted class, and look for the nearest gradient of the bank."""
        prototypes = self.origin + self.offsets

        def loss(origin: Tensor, h: Tensor, z: Tensor) -> Tensor:
            distances = torch.linalg.vector_norm(h - torch.cat([prototypes, origin[None]]), dim=1)
            return functional.cross_entropy(-distances[None], z.argmax(dim=0, keepdim=True))

        gradient = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0), chunk_size=64)
        gradients = gradient(self.origin, features.penultimate.double(), features.logits)
        return -kth_distance(gradients, self.bank, 1)

    def _gradients(self, h: Tensor) -> Tensor:
        """Compute g (n, D) of features (n, D), float64."""
        return torch.cat([self._gradient(part) for part in torch.split(h, ROWS)])

    def _gradient(self, h: Tensor) -> Tensor:
        away = h - self.origin  # (n, D)
        length = torch.linalg.vector_norm(away, dim=1)
        squared = torch.addmm(self.offsets.square().sum(dim=1), away, self.offsets.T, alpha=-2)
        squared = squared.add_(length.square()[:, None])  # (n, K): ‖h - μ‖²
        # The nearest weighs most, and its inner products may have cancelled: it is measured by differences.
        nearest = squared.argmin(dim=1, keepdim=True)
        distances = squared.clamp_(min=0).sqrt_()
        exact = torch.linalg.vector_norm(away - self.offsets[nearest[:, 0]], dim=1, keepdim=True)
        distances = distances.scatter_(1, nearest, exact)
        share = torch.softmax(torch.cat([-distances, -length[:, None]], dim=1), dim=1)[:, -1]  # π
        direction = away / torch.where(length > 0, length, 1.0)[:, None]
        return share[:, None] * direction


class _Chosen(Rows):
    """Some rows of a tensor, by their indices, changed when they are looked at."""

    def __init__(self, tensor: Tensor, which: Tensor, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__(tensor, change)
        self._which = which

    def __len__(self) -> int:
        return len(self._which)

    def __getitem__(self, rows: slice | Tensor | list[int]) -> Tensor:
        return super().__getitem__(self._which[rows])


def _second(logits: Tensor, first: Tensor) -> Tensor:
    """Index of the second largest of logits (n, K), whose largest are `first` (n,): (n,)."""
    return logits.scatter(1, first[:, None], -torch.inf).argmax(dim=1)

"""Density of a mixture of Gaussians in penultimate features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, HyperparameterError, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks
from methods.detectors._kmeans import kmeans
from methods.detectors._mixture import Mixture
from methods.detectors._rows import Rows
from methods.registry import register

Covariance = Literal["tied", "full"]

ITERATIONS = 100
TOLERANCE = 1e-3  # nats an image: a smaller gain of likelihood ends the search


@register("gmm")
@dataclass(frozen=True)
class GMM(Detector):
    r"""Log-likelihood under a mixture of Gaussians; one a class as in Mukhoti et al. (2023).

    .. math::
        s = \log \sum_{j=1}^{m} \pi_j \, \mathcal N(h; \mu_j, \Sigma_j + \lambda I)

    By default the components are the classes: weights are the shares of the labels, means are those of the
    classes. With a number of components they are learned without labels by expectation-maximisation from a
    k-means start, which is drawn from the generator handed to `fit`, until an iteration gains less than 1e-3
    nats an image, at most 100 times.

    Shapes: features (N, D), labels (N,) → scores (N,). Cost: tied, fit O(ND² + D³) an iteration, score O(ND²
    + mND); full, m times that.

    Parameters
    ----------
    components
        m, at least 1; None takes one component a class, in closed form.
    covariance
        ``tied``: one covariance for all components; ``full``: each its own.
    shrinkage
        λ ≥ 0, added to the diagonal of each covariance, in squared units of the features.

    Deviations from the paper: its classes have each a covariance of their own (``full``), which needs many
    more images a class than features and m times the work; the tied one of OpenOOD is the default. Where
    references disagree: OpenOOD fits components without labels to several layers and weighs the layers with
    outliers; one library is ``full`` with the same λ. As components share λ and not a pseudo-inverse, their
    densities compare also where features never fire. Signed features need nothing special.

    Differs from: OpenOOD v1.5 learns its components without labels, from several layers with weights set for
    each network; pytorch-ood 0.4.0 gives each class a covariance of its own, which is the
    entry `gmm_full`.
    """

    components: int | None = None
    covariance: Covariance = "tied"
    shrinkage: float = 1e-6

    mixture: Mixture = fitted()

    paper = Paper(
        title="Deep Deterministic Uncertainty: A New Simple Baseline",
        authors="J. Mukhoti, A. Kirsch, J. van Amersfoort, P. H. S. Torr, Y. Gal",
        venue="CVPR",
        year=2023,
        arxiv="2102.11582",
    )
    needs = frozenset({Signal.PENULTIMATE})

    def __post_init__(self) -> None:
        if self.components is not None and self.components < 1:
            raise ValueError(f"components: expected None or at least 1, got {self.components}")
        if self.covariance not in get_args(Covariance):
            raise ValueError(
                f"covariance: expected one of {', '.join(get_args(Covariance))}, got {self.covariance!r}"
            )
        if not 0 <= self.shrinkage < math.inf:
            raise ValueError(f"shrinkage: expected a finite number of at least 0, got {self.shrinkage}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the mixture.

        Raises
        ------
        ValueError
            If a class has no training image, or components must be found and there is no `rng`.
        HyperparameterError
            If there are fewer different training features than components.
        NotApplicable
            If a covariance is singular and nothing is added to it.
        """
        rows = Rows(train.penultimate).held()
        tied = self.covariance == "tied"
        if self.components is None:
            return self.with_state(mixture=Mixture.of(rows, _classes(train), tied, self.shrinkage))
        if rng is None:
            raise ValueError(
                f"rng: the start of {self.components} components is drawn; pass a torch.Generator"
            )
        try:
            assigned = kmeans(rows, self.components, rng)
        except ValueError as error:
            raise HyperparameterError(f"components: {error}") from error
        mixture = Mixture.of(rows, assigned, tied, self.shrinkage)
        before = -math.inf
        for _ in range(ITERATIONS):
            joint = rows.each(mixture.log_densities)  # (N, m)
            total = joint.logsumexp(dim=1)
            mixture = Mixture.of(rows, (joint - total[:, None]).exp(), tied, self.shrinkage)
            likelihood = float(total.mean())
            if likelihood - before < TOLERANCE:
                break
            before = likelihood
        return self.with_state(mixture=mixture)

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        return by_blocks(
            lambda h: self.mixture.log_densities(h.double()).logsumexp(dim=1), features.penultimate
        )


def _classes(train: Features) -> Tensor:
    labels, classes = train.labels.long(), train.logits.shape[1]
    empty = (torch.bincount(labels, minlength=classes) == 0).nonzero()[:, 0].tolist()
    if empty:
        missing = ", ".join(map(str, empty))
        raise ValueError(f"labels: no training image of class {missing}; each of {classes} classes needs one")
    return labels

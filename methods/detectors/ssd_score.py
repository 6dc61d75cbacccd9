"""SSD: Mahalanobis distance to the nearest cluster of normalised features, without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, HyperparameterError, NotApplicable, Paper, Signal, fitted
from methods.detectors._gaussian import whitener
from methods.detectors._kmeans import kmeans
from methods.detectors._rows import Rows, normalised, scatter
from methods.registry import register

TINY = 1e-10  # added to standard deviations


@register("ssd_score")
@dataclass(frozen=True)
class SSDScore(Detector):
    r"""Squared distance to the nearest of m clusters, each under its covariance (Sehwag et al. 2021, eq. 3).

    .. math::
        x &= (h / \max(\lVert h \rVert, 10^{-12}) - a) / (b + 10^{-10}) \\
        s &= -\min_{j \le m} \; (x - \mu_j)^\top \Sigma_j^{+} (x - \mu_j)

    with a and b the mean and standard deviation of each normalised training feature, and :math:`\mu_j` and
    :math:`\Sigma_j` the mean and covariance (1/N) of cluster j, found by k-means (k-means++ start, drawn from
    the generator handed to `fit`). Eigenvalues below 1e-10 of the largest are left out of
    :math:`\Sigma_j^{+}`. No labels are used.

    Shapes: features (N, D) → scores (N,). Cost: fit O(ND² + m D³), score O(m ND²).

    Parameters
    ----------
    clusters
        m, at least 1.

    Deviations from the paper: none for features of its own training; here those of any network are taken.
    Where references disagree: the release has one covariance for each cluster and not a tied one; its variant
    for few labelled outliers is another method. A feature that never fires within one cluster is no direction
    of that cluster, so outliers along it are not seen by it: more clusters are not always better.

    Differs from: OpenOOD v1.5 and pytorch-ood 0.4.0 do not have it.
    """

    clusters: int = 1

    shift: Tensor = fitted()  # (D,): a
    stretch: Tensor = fitted()  # (D,): 1 / (b + 1e-10), 0 for features that do not vary
    whiteners: tuple[Tensor, ...] = fitted()  # of each cluster (D, R)
    centres: tuple[Tensor, ...] = fitted()  # of each cluster (R,), whitened

    paper = Paper(
        title="SSD: A Unified Framework for Self-Supervised Outlier Detection",
        authors="V. Sehwag, M. Chiang, P. Mittal",
        venue="ICLR",
        year=2021,
        arxiv="2103.12051",
    )
    aliases = ("ssd",)
    needs = frozenset({Signal.PENULTIMATE})

    def __post_init__(self) -> None:
        if self.clusters < 1:
            raise ValueError(f"clusters: expected at least 1, got {self.clusters}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the scales, the clusters and their covariances.

        Raises
        ------
        ValueError
            If no normalised feature varies, or clusters must be found and there is no `rng`.
        HyperparameterError
            If there are fewer different training features than clusters.
        NotApplicable
            If a cluster has fewer images than there are directions in which features vary.
        """
        h = Rows(train.penultimate, normalised).held()
        shift = h.mean()
        spread = h.deviation(shift)
        # The pseudo-inverse leaves out what does not vary; a zero here does so without dividing by 1e-10.
        stretch = torch.where(spread > 0, 1 / (spread + TINY), 0.0)
        if not stretch.any():
            raise ValueError("penultimate: no normalised feature varies, so there is no covariance")
        x = Rows(train.penultimate, lambda h: (normalised(h) - shift) * stretch).held()
        cluster = self._clusters_of(x, rng)
        roots, centres = [], []
        for j, size in enumerate(torch.bincount(cluster).tolist()):
            own = cluster == j
            mean = x.total(lambda rows, kept: _of(rows, kept).sum(dim=0), own) / size
            total = x.total(lambda rows, kept, mean=mean: scatter(_of(rows, kept) - mean), own)
            roots.append(whitener(total / size))
            centres.append(mean @ roots[-1])
        return self.with_state(shift=shift, stretch=stretch, whiteners=tuple(roots), centres=tuple(centres))

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        x = (normalised(features.penultimate.double()) - self.shift) * self.stretch
        pairs = zip(self.whiteners, self.centres, strict=True)
        distances = [(x @ root - centre).square().sum(dim=1) for root, centre in pairs]
        return -torch.stack(distances).amin(dim=0)

    def _clusters_of(self, x: Rows, rng: torch.Generator | None) -> Tensor:
        """The cluster (N,) of each training image."""
        if self.clusters == 1:
            return torch.zeros(len(x), dtype=torch.long, device=x.device)
        if rng is None:
            raise ValueError(f"rng: the start of {self.clusters} clusters is drawn; pass a torch.Generator")
        try:
            assigned = kmeans(x, self.clusters, rng)
        except ValueError as error:
            raise HyperparameterError(f"clusters: {error}") from error
        smallest = int(torch.bincount(assigned).min())
        varying = int((x.total(lambda rows: (rows != 0).sum(dim=0)) > 0).sum())
        if smallest <= varying:
            raise NotApplicable(
                f"the smallest of {self.clusters} clusters has {smallest} training images, "
                f"too few for a covariance of {varying} features"
            )
        return assigned


def _of(rows: Tensor, kept: Tensor) -> Tensor:
    """Those of the rows that are kept; without a copy where all are."""
    return rows if kept.all() else rows[kept]

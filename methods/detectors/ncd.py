"""NCD (MALCOM): the Mahalanobis distance of pooled maps and of how far their layout is from the usual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, NotApplicable, Paper, Signal, fitted
from methods.detectors import _strings
from methods.detectors._gaussian import Gaussian
from methods.detectors._rows import Rows
from methods.registry import register

SHORTEST = 16  # a string of fewer symbols says nothing about layout
MOST_LEVELS = 64


@register("ncd")
@dataclass(frozen=True)
class NCD(Detector):
    r"""Mahalanobis distance in pooled maps and their compression distances (Yu, Lee & Yu 2020, MALCOM).

    Averaging a map over its positions forgets their layout. Each channel of each stage is therefore also
    written as a string, along a Hilbert curve and with symbols of a quantiser, and compared with the
    channel's prototype, a string made of the mean training map:

    .. math::
        \mathrm{NCD}(a, b) &= \frac{\min(c(ab), c(ba)) - \min(c(a), c(b))}{\max(c(a), c(b))} \\
        \varphi(x) &= \big[\, \overline{f_1}, \mathrm{NCD}_1, \overline{f_2}, \mathrm{NCD}_2, \dots \,\big] \\
        s &= -\min_k \; (\varphi - \mu_k)^\top \Sigma^{+} (\varphi - \mu_k)

    c(a) is one more than the number of whole phrases in the Lempel-Ziv parse of a, each the shortest that was
    not seen before; μ are class means and Σ the covariance that the classes share, as in `mahalanobis`.

    Shapes: maps (N, C, H, W) of each stage, labels (N,) → scores (N,). Cost: 3 HW symbols to parse a channel,
    some 10 ns each, all channels and images in step, then as `mahalanobis` in 2 ΣC features; fit as score.

    Parameters
    ----------
    levels
        L, the number of symbols, 2 to 64.

    Deviations from the paper: no layer weights, which need outliers (its MALCOM++). The quantiser is fitted
    to all training maps that `fit` sees from its first sweep on, where the release starts with one batch, so
    that it does not depend on their order; a level without values stays, where the release sets it to 0.
    `fit` sees 5000 images. Stages with fewer than 16 positions are left out, their averages too. The
    distance of a string to itself is not 0 with this count of phrases.
    """

    levels: int = 4

    fit_limit = 5000

    used: tuple[int, ...] = fitted()  # the stages with maps large enough
    quantisers: tuple[Tensor, ...] = fitted()  # (C, L) of each stage used
    prototypes: tuple[Tensor, ...] = fitted()  # (C, HW)
    gaussian: Gaussian = fitted()  # of φ

    paper = Paper(
        title="Convolutional Neural Networks with Compression Complexity Pooling for Out-of-Distribution "
        "Image Detection",
        authors="S. Yu, D. Lee, H. Yu",
        venue="IJCAI",
        year=2020,
    )
    aliases = ("malcom",)
    needs = frozenset({Signal.MAPS})

    def __post_init__(self) -> None:
        if not 2 <= self.levels <= MOST_LEVELS:
            raise ValueError(f"levels: expected a whole number from 2 to {MOST_LEVELS}, got {self.levels}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn each channel's quantiser and prototype, then class means and covariance of φ.

        Raises
        ------
        NotApplicable
            If no stage's map has 16 positions.
        ValueError
            If a class has no training image, or φ does not vary within any class.
        """
        sizes = [stage.shape[2] * stage.shape[3] for stage in train.maps]
        used = tuple(i for i, size in enumerate(sizes) if size >= SHORTEST)
        if not used:
            raise NotApplicable(
                f"every stage's map has fewer than {SHORTEST} positions ({', '.join(map(str, sizes))}): "
                "too few to have a layout; larger images would do"
            )
        maps = [train.maps[i] for i in used]
        quantisers = tuple(_strings.lloyd_max(stage, self.levels) for stage in maps)
        strings = [_scanned(stage, levels) for stage, levels in zip(maps, quantisers, strict=True)]
        prototypes = tuple(
            _strings.prototypes(
                _along_curve(stage.mean(dim=0, keepdim=True, dtype=torch.float64))[0], s, self.levels
            )
            for stage, s in zip(maps, strings, strict=True)
        )
        described = self.with_state(used=used, quantisers=quantisers, prototypes=prototypes)
        labels, classes = train.labels.long(), train.logits.shape[1]
        gaussian = Gaussian.fit(Rows(described._describe(train)), labels, classes, "maps")
        return described.with_state(gaussian=gaussian)

    def score(self, features: Features) -> Tensor:
        """Score maps (N, C, H, W) of each stage: (N,) float64."""
        return -self.gaussian.nearest(self._describe(features))

    def _describe(self, features: Features) -> Tensor:
        """φ of each image: (N, 2 ΣC) float64."""
        found = []
        for i, levels, prototype in zip(self.used, self.quantisers, self.prototypes, strict=True):
            maps = features.maps[i]
            distances = _strings.compression_distances(_scanned(maps, levels), prototype, self.levels)
            found += [maps.mean(dim=(2, 3), dtype=torch.float64), distances]
        return torch.cat(found, dim=1)


def _scanned(maps: Tensor, levels: Tensor) -> Tensor:
    """Strings (N, C, HW) of maps (N, C, H, W)."""
    symbols = _strings.quantise(maps.flatten(2), levels)
    return _along_curve(symbols.reshape(maps.shape))


def _along_curve(maps: Tensor) -> Tensor:
    return maps.flatten(2).index_select(2, _strings.gilbert_order(*maps.shape[2:]).to(maps.device))

"""Gram: how far the correlations of feature channels leave the range of the predicted class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, HyperparameterError, Paper, Signal, fitted
from methods.registry import register
from methods.statistics import POWERS

TINY = 1e-6  # added to a bound that divides
UNIT_TINY = 1e-7  # added to a layer's mean deviation
ROWS = 128  # of one class, held in float64 at once: they stay in the cache
RANGED = 4096  # of one class, whose range is taken at once


@register("gram")
@dataclass(frozen=True)
class Gram(Detector):
    r"""Deviation of Gram statistics from the range of the predicted class (Sastry & Oore 2020).

    .. math::
        \delta_l &= \frac{1}{\max_k p_k} \sum_{q=1}^{Q} \sum_c \left[
            \frac{\mathrm{relu}(a_{lqc} - v_{lqc})}{|a_{lqc} + 10^{-6}|} +
            \frac{\mathrm{relu}(v_{lqc} - b_{lqc})}{|b_{lqc} + 10^{-6}|} \right] \\
        s &= -\sum_l \frac{\delta_l}{\bar\delta_l + 10^{-7}}, \qquad p = \mathrm{softmax}(z)

    where :math:`v_{lq}` are the row sums of the Gram matrix of the q-th powers of stage l's feature map, with
    a signed q-th root (`methods.statistics.gram`); a and b are their smallest and largest values over the
    training images that are predicted to be of the image's predicted class; and :math:`\bar\delta_l` is the
    mean of :math:`\delta_l` over the validation images. Of a class that is never predicted, the images with
    that label count; if there are none, all.

    Shapes: for each stage (N, Q, C_l), logits (N, K) → scores (N,). Cost: O(NQ Σ C_l), in blocks of rows.

    Parameters
    ----------
    powers
        Q, from 1 to the number of powers that the harness collects.

    Deviations from the paper: layers are the network's stages, where the release takes every convolution and
    activation, and Q is 5, where it takes 10. The normaliser is of validation images, where the release takes
    a tenth of the in-distribution test images and averages ten such draws. Where references disagree: the
    paper describes the upper triangle of the rooted Gram matrix, the release, followed here, sums its rows
    first; some code takes the range over true labels.

    Differs from: OpenOOD v1.5 takes powers 1 to 10 and normalises by test images, as the release; pytorch-ood
    0.4.0 takes ranges over true labels, as many powers as there are layers, a normaliser of a tenth of the
    training images, and does not divide by the largest probability.
    """

    powers: int = POWERS

    lowest: tuple[Tensor, ...] = fitted()  # of each stage (K, Q · C_l): a
    highest: tuple[Tensor, ...] = fitted()  # b
    units: Tensor = fitted()  # (L,): mean deviation of each stage over the validation images

    paper = Paper(
        title="Detecting Out-of-Distribution Examples with Gram Matrices",
        authors="C. S. Sastry, S. Oore",
        venue="ICML",
        year=2020,
        arxiv="1912.12510",
    )
    aliases = ("gram_matrices",)
    needs = frozenset({Signal.GRAM, Signal.LOGITS})

    def __post_init__(self) -> None:
        if self.powers < 1:
            raise ValueError(f"powers: expected at least 1, got {self.powers}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the range of every statistic in each class, and the mean deviation of each stage.

        Raises
        ------
        HyperparameterError
            If fewer powers were collected.
        ValueError
            If there is no validation image.
        """
        collected = min(stage.shape[1] for stage in train.gram)
        if self.powers > collected:
            raise HyperparameterError(
                f"powers: expected at most the {collected} that were collected, got {self.powers}"
            )
        if len(val) == 0:
            raise ValueError("val: expected at least one validation image")
        members = _members(train)
        bounds = [_range(stage[:, : self.powers], members) for stage in train.gram]
        lowest, highest = zip(*bounds, strict=True)
        ranges = self.with_state(lowest=lowest, highest=highest)
        return ranges.with_state(units=ranges._deviations(val).mean(dim=0))

    def score(self, features: Features) -> Tensor:
        """Score Gram statistics (N, Q, C_l) of each stage, of images with logits (N, K): (N,) float64."""
        return -(self._deviations(features) / (self.units + UNIT_TINY)).sum(dim=1)

    def _deviations(self, features: Features) -> Tensor:
        """Deviation δ of each stage: (N, L)."""
        found = features.logits.new_empty(len(features), len(features.gram), dtype=torch.float64)
        for k, rows in _by_class(features.logits):
            for i, (low, high, stage) in enumerate(
                zip(self.lowest, self.highest, features.gram, strict=True)
            ):
                a, b = low[k], high[k]  # (Q · C_l,)
                below, above = 1 / (a + TINY).abs(), 1 / (b + TINY).abs()
                for block in torch.split(rows, ROWS):
                    v = stage[block][:, : self.powers].flatten(1).double()
                    found[block, i] = (a - v).relu_() @ below + (v - b).relu_() @ above
        confidence = torch.softmax(features.logits.double(), dim=1).amax(dim=1, keepdim=True)
        return found / confidence


def _by_class(logits: Tensor) -> list[tuple[int, Tensor]]:
    """Predicted classes, each with the rows of logits (N, K) that are predicted so."""
    predicted = logits.argmax(dim=1)
    counts = torch.bincount(predicted, minlength=logits.shape[1]).tolist()
    parts = torch.split(predicted.argsort(stable=True), counts)
    return [(k, rows) for k, rows in enumerate(parts) if len(rows)]


def _members(train: Features) -> list[Tensor]:
    """For each class the rows of its range: predicted so, else labelled so, else none."""
    members = [train.labels.new_empty(0)] * train.logits.shape[1]
    for k, rows in _by_class(train.logits):
        members[k] = rows
    return [rows if len(rows) else (train.labels == k).nonzero().flatten() for k, rows in enumerate(members)]


def _range(stage: Tensor, members: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Smallest and largest statistics (N, Q, C) of each class's members: two of (K, Q · C), float64."""
    found = [_bounds(stage, rows) if len(rows) else None for rows in members]
    # Every image is a member of the class that it is predicted as, so these are the bounds of all images.
    low = torch.stack([one[0] for one in found if one is not None]).amin(dim=0)
    high = torch.stack([one[1] for one in found if one is not None]).amax(dim=0)
    return (
        torch.stack([low if one is None else one[0] for one in found]).double(),
        torch.stack([high if one is None else one[1] for one in found]).double(),
    )


def _bounds(stage: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest statistics of these rows: two of (Q · C,)."""
    low, high = torch.aminmax(stage[rows[:1]].flatten(1), dim=0)
    for block in torch.split(rows, RANGED):
        one = torch.aminmax(stage[block].flatten(1), dim=0)
        low, high = torch.minimum(low, one.min), torch.maximum(high, one.max)
    return low, high

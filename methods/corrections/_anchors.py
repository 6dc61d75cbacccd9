"""Estimating the noise from anchors: images that surely are of their class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from methods.method import check_percent

PERCENTILE = 97.0  # the release's, for data such as CIFAR-10


def anchor(column: npt.NDArray[np.float64], percentile: float | None, classes: int) -> int:
    """Row of the anchor of one class, by the probabilities (N,) that images are of it; the first of equals.

    It is the largest one strictly below the percentile, which is one of the probabilities, the higher of two.
    At 100, or where none is below, it is the largest of all. None is 97, or 100 where that leaves out half of
    the images that a class has on average: of many classes, of few images, or of many equal probabilities.
    """
    if percentile == 100:
        return int(column.argmax())
    limit = np.percentile(column, PERCENTILE if percentile is None else percentile, method="higher")
    below = column < limit
    left_out = len(column) - np.count_nonzero(below)
    too_many = len(column) if percentile is not None else len(column) / classes / 2
    return int(np.where(below, column, -1.0).argmax() if left_out < too_many else column.argmax())


def from_anchors(probabilities: Tensor, percentile: float | None) -> Tensor:
    """(K, K) float64, row i being the probabilities of class i's anchor, of (N, K) on the CPU; not modified.

    The percentile is that of `anchor`.
    """
    found = probabilities.numpy()
    classes = found.shape[1]
    rows = [anchor(found[:, i], percentile, classes) for i in range(classes)]
    matrix = probabilities[torch.tensor(rows)].double()
    return matrix / matrix.sum(dim=1, keepdim=True)


def check_percentile(percentile: float | None) -> None:
    """Check the hyper-parameter."""
    check_percent("percentile", percentile)
    if percentile is not None and not 0 < percentile <= 100:
        raise ValueError(f"percentile: expected a number in (0, 100] or None, got {percentile}")

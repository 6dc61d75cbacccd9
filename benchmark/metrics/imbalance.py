"""How well a classifier that was trained on imbalanced classes does, above all on the rare ones.

Functions take predicted classes (N,) and labels (N,) of a test set, and where rarity matters the numbers of
training images (K,). Values are in [0, 1], not percent. This module must not know how a network was trained.
Definitions: spec/methods.md §5.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.metrics.arrays import as_array

Classes = NDArray[np.int64]


@dataclass(frozen=True)
class ImbalanceMetrics:
    """Errors on all test images and on those of minority classes, and macro-averaged F1, each in [0, 1]."""

    total_error: float
    minority_error: float
    macro_f1: float


def imbalance_metrics(predictions: ArrayLike, labels: ArrayLike, counts: ArrayLike) -> ImbalanceMetrics:
    """All metrics of one set of predictions; arguments and errors as `minority_error`."""
    return ImbalanceMetrics(
        total_error=total_error(predictions, labels),
        minority_error=minority_error(predictions, labels, counts),
        macro_f1=macro_f1(predictions, labels),
    )


def total_error(predictions: ArrayLike, labels: ArrayLike) -> float:
    r"""Share of wrong predictions, :math:`\frac1N \sum_i [\hat y_i \ne y_i]`.

    A test set with equally many images of each class makes it the mean of the classes' errors.

    Parameters
    ----------
    predictions, labels : (N,), (N,) class indices.

    Raises
    ------
    ValueError
        If shapes differ, there is no image, or a class is negative or no integer.
    """
    predicted, y = _pair(predictions, labels)
    return float(np.mean(predicted != y))


def minority_error(predictions: ArrayLike, labels: ArrayLike, counts: ArrayLike) -> float:
    r"""Share of wrong predictions among images of classes with fewer training images than the mean.

    .. math::
        \frac{\sum_i [y_i \in M] [\hat y_i \ne y_i]}{\sum_i [y_i \in M]}, \qquad
        M = \Big\{ k : n_k < \frac1K \sum_j n_j \Big\}

    Parameters
    ----------
    predictions, labels : (N,), (N,) class indices below K.
    counts : (K,) training images of each class.

    Raises
    ------
    ValueError
        As `total_error`; if a class is not below K, a count is negative or no integer; and if the training
        set is balanced or no image of a minority class is tested, so that there is nothing to average.

    Examples
    --------
    >>> minority_error([0, 0, 0, 1], [0, 0, 1, 1], counts=[90, 10])
    0.5
    """
    predicted, y = _pair(predictions, labels)
    n = _integers("counts", counts)
    for name, classes in (("predictions", predicted), ("labels", y)):
        if classes.max() >= n.size:
            raise ValueError(f"{name}: expected classes below {n.size}, one a count, got {classes.max()}")
    minority = n * n.size < n.sum()  # in integers: no mean is rounded
    if not minority.any():
        raise ValueError("counts: expected a class with fewer images than the mean, got a balanced set")
    rare = minority[y]
    if not rare.any():
        raise ValueError(
            f"labels: expected images of minority classes ({', '.join(map(str, minority.nonzero()[0]))}), "
            "got none"
        )
    return float(np.mean((predicted != y)[rare]))


def macro_f1(predictions: ArrayLike, labels: ArrayLike) -> float:
    r"""Mean over classes of the F1 of telling the class from the others.

    .. math:: \frac{1}{|C|} \sum_{k \in C} \frac{2 TP_k}{2 TP_k + FP_k + FN_k}

    with C the classes that are a label or a prediction of any image; a class that is never right has 0.
    Arguments and errors as `total_error`.

    Examples
    --------
    >>> round(macro_f1([0, 0, 0, 1], [0, 0, 1, 1]), 4)
    0.7333
    """
    predicted, y = _pair(predictions, labels)
    size = 1 + max(int(predicted.max()), int(y.max()))
    hits = np.bincount(y[predicted == y], minlength=size)
    both = np.bincount(y, minlength=size) + np.bincount(predicted, minlength=size)  # 2 TP + FP + FN
    seen = both > 0
    return float(np.mean(2 * hits[seen] / both[seen]))


def _pair(predictions: ArrayLike, labels: ArrayLike) -> tuple[Classes, Classes]:
    predicted, y = _integers("predictions", predictions), _integers("labels", labels)
    if predicted.size != y.size:
        raise ValueError(f"predictions: expected one for each of {y.size} labels, got {predicted.size}")
    return predicted, y


def _integers(name: str, values: ArrayLike) -> Classes:
    array = as_array(values)
    if array.dtype.kind not in "iu" or array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"{name}: expected a non-empty 1-D array of integers, got shape {array.shape}, "
            f"dtype {array.dtype}"
        )
    if array.min() < 0:
        raise ValueError(f"{name}: expected numbers of at least 0, got {array.min()}")
    return array.astype(np.int64)

r"""Average precision (AUPR) with intervals from the images, by the infinitesimal jackknife.

With weights w on the images, all 1, average precision is a smooth function of them,

.. math:: \mathrm{AP}(w) = \sum_i w_i P_i / \sum_i w_i, \qquad P_i = A_i / (A_i + B_i)

where A and B are the weights of positives and negatives that score at least as high as positive i. Its slopes
in the weights are how much each image counts, and their variance within each side that of AP: what the
stratified bootstrap's variance tends to with many images (Efron, "The jackknife, the bootstrap and other
resampling plans", 1982, section 6), without drawing anything. The number of images of each side, and so the
base rate, stays as it is. This module must not know who made the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.metrics.bounds import LEVEL, Bounds, set_weights, wilson
from benchmark.metrics.delong import effective_images
from benchmark.metrics.statistics import finite_vector

Vector = NDArray[np.float64]

PRIOR = 0.03  # as that of `delong`; less, because with one rare side the precision of the other is near 1


class _Slopes(NamedTuple):
    """Average precision, and n times its slope in the weight of each image of the own side."""

    value: float
    positive: Vector
    negative: Vector


@dataclass(frozen=True, eq=False)
class Precision:
    """Average precision of one detector on S OOD sets, and how it varies with the images.

    Attributes
    ----------
    values
        (S,), as `detection_metrics` has them.
    id_part
        (S, S): covariance (n − 1) of the ID images' slopes.
    ood_part
        (S,): variance (m − 1) of each set's OOD images' slopes.
    n_in
        n.
    n_out
        (S,): m of each set.
    """

    values: Vector
    id_part: Vector
    ood_part: Vector
    n_in: int
    n_out: NDArray[np.int64]

    def interval(self, weights: ArrayLike | None = None, level: float = LEVEL) -> Bounds:
        """Mean over the sets with its interval: Wilson's, of as many images as the variance is worth.

        As `Aurocs.intervals` has it, with the same guard where few images are misplaced.

        Parameters
        ----------
        weights : (S,) at least 0, of sum 1; None for all the same. One set alone has 1, the others 0.
        level : confidence level, strictly between 0 and 1.

        Raises
        ------
        ValueError
            If an argument is out of range.
        """
        w = set_weights(self.values.size, weights)
        value = min(max(float(w @ self.values), 0.0), 1.0)
        terms = [(1.0, float(w @ self.id_part @ w), self.n_in)]
        terms += zip(w.tolist(), self.ood_part.tolist(), self.n_out.tolist(), strict=True)
        return wilson(value, effective_images(value, terms, PRIOR), level)


def average_precision(
    id_scores: ArrayLike, ood_scores: Sequence[ArrayLike], *, id_positive: bool = True
) -> Precision:
    """Average precision of one detector on each OOD set, with its variance.

    O((n + Σ m) log(n + m)) time, O(S n) memory.

    Parameters
    ----------
    id_scores : (n,) finite, higher = more ID.
    ood_scores : S ≥ 1 times (m_s,).
    id_positive : whether ID is positive (`aupr_in`), or OOD with negated scores (`aupr_out`).

    Raises
    ------
    ValueError
        If there is no set, or a side is empty, not 1-D or not finite.

    Examples
    --------
    >>> found = average_precision([0.9, 0.8, 0.7, 0.7, 0.3], [[0.75, 0.7, 0.2, 0.1]])
    >>> round(float(found.values[0]), 4)
    0.8083
    """
    of_id = finite_vector("id_scores", id_scores)
    if not ood_scores:
        raise ValueError("ood_scores: expected at least one OOD set, got none")
    values, of_ood, rows, sizes = [], [], [], []
    for s, scores in enumerate(ood_scores):
        ood = finite_vector(f"ood_scores[{s}]", scores)
        if id_positive:
            value, own, other = _slopes(of_id, ood)
        else:
            value, other, own = _slopes(-ood, -of_id)
        values.append(value)
        rows.append(own)
        of_ood.append(_variance(other, value))
        sizes.append(ood.size)
    n, placed = of_id.size, np.array(rows)
    spread = np.sqrt(np.array(values) * (1 - np.array(values)))
    of_images = placed @ placed.T / (n - 1) if n > 1 else np.outer(spread, spread)
    return Precision(np.array(values), of_images, np.array(of_ood), n, np.array(sizes))


def _slopes(positive: Vector, negative: Vector) -> _Slopes:
    n, m = positive.size, negative.size
    up, down = np.sort(positive), np.sort(negative)
    a = (n - np.searchsorted(up, up)).astype(np.float64)  # at least as high as each positive, ascending
    b = (m - np.searchsorted(down, up)).astype(np.float64)
    both = a + b
    precision = a / both
    value = float(precision.mean())
    # dP_i is B_i/(A_i + B_i)² for a positive, and −A_i/(A_i + B_i)² for a negative that scores up to there
    gain = np.concatenate([[0.0], np.cumsum(b / both**2)])
    loss = np.concatenate([[0.0], np.cumsum(a / both**2)])
    upto = np.searchsorted(up, positive, side="right")
    own = precision[upto - 1] - value + gain[upto]
    other = -loss[np.searchsorted(up, negative, side="right")] * (m / n)
    return _Slopes(value, own - own.mean(), other - other.mean())


def _variance(slopes: Vector, value: float) -> float:
    """(m − 1); of one image the largest that there can be."""
    return float(slopes @ slopes) / (slopes.size - 1) if slopes.size > 1 else value * (1 - value)

r"""FPR@95 with intervals by a stratified bootstrap over images, in closed form.

ID images are drawn anew with replacement, and OOD images of each set among themselves. What FPR@95 comes to
depends on two numbers of a draw alone, whose distributions are known, so that no image is ever drawn:

.. math::
    r &= ⌈n U⌉, \quad U \sim \mathrm{Beta}(k, n - k + 1), \quad k = n - ⌈.95 n⌉ + 1 \\
    \mathrm{FPR} &\sim \mathrm{Binomial}(m, x_r / m) / m

The k-th smallest of n draws is the r-th smallest ID score, which is the threshold; x_r OOD scores of m are at
least that. So a draw costs the same whatever the number of images, with the same distribution as multinomial
weights would have. The second step is smoothed: Beta(x + ½, m − x + ½) in place of the binomial's share, by
which no interval is of zero width. This module must not know who made the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.metrics.bounds import LEVEL, Bounds, check_level, set_weights
from benchmark.metrics.statistics import finite_vector

DRAWS = 4000
"""Bootstrap draws: the ends of an interval of 95 % are then off by some 3 % of its width."""


@dataclass(frozen=True, eq=False)
class Resampled:
    """FPR@95 of one detector on S OOD sets, as it is and in R draws.

    Attributes
    ----------
    values
        (S,), as `detection_metrics` has them.
    draws
        (S, R). A draw has one threshold for all sets: they share the ID images.
    """

    values: NDArray[np.float64]
    draws: NDArray[np.float64]

    def interval(self, weights: ArrayLike | None = None, level: float = LEVEL) -> Bounds:
        """Mean over the sets with its percentile interval, widened to hold the mean where it would not.

        Parameters
        ----------
        weights : (S,) at least 0, of sum 1; None for all the same. One set alone has 1, the others 0.
        level : confidence level, strictly between 0 and 1.

        Raises
        ------
        ValueError
            If an argument is out of range.
        """
        check_level(level)
        w = set_weights(self.values.size, weights)
        value = min(max(float(w @ self.values), 0.0), 1.0)
        low, high = np.quantile(w @ self.draws, [(1 - level) / 2, (1 + level) / 2]).tolist()
        return Bounds(value, min(low, value), max(high, value))


def resampled_fpr95(
    id_scores: ArrayLike, ood_scores: Sequence[ArrayLike], rng: np.random.Generator, draws: int = DRAWS
) -> Resampled:
    """FPR@95 of one detector on each OOD set, in bootstrap draws of the images.

    O((n + Σ m) log n + S R) time.

    Parameters
    ----------
    id_scores : (n,) finite, higher = more ID.
    ood_scores : S ≥ 1 times (m_s,).
    rng : generator of the draws.
    draws : R, at least 100.

    Raises
    ------
    ValueError
        If there is no set, a side is empty, not 1-D or not finite, or there are too few draws.

    Examples
    --------
    >>> scores = np.arange(20.0)
    >>> found = resampled_fpr95(scores, [scores - 5], np.random.default_rng(0))
    >>> found.values.tolist()
    [0.7]
    """
    ordered = np.sort(finite_vector("id_scores", id_scores))
    if not ood_scores:
        raise ValueError("ood_scores: expected at least one OOD set, got none")
    if draws < 100:
        raise ValueError(f"draws: expected at least 100, got {draws}")
    n = ordered.size
    k = n - -(-19 * n // 20)  # counted from 0, in integers: .95 · 20 must not round up to 20
    rank = np.minimum((n * rng.beta(k + 1, n - k, size=draws)).astype(np.int64), n - 1)
    values, found = [], []
    for s, scores in enumerate(ood_scores):
        ood = finite_vector(f"ood_scores[{s}]", scores)
        # Sorted, a count above each of n thresholds is O(n log m); only those that were drawn are looked at.
        thresholds, place = np.unique(ordered[rank], return_inverse=True)
        accepted = ood.size - np.searchsorted(np.sort(ood), thresholds)
        values.append(np.count_nonzero(ood >= ordered[k]) / ood.size)
        x = accepted[place]
        found.append(rng.beta(x + 0.5, ood.size - x + 0.5))
    return Resampled(np.array(values), np.array(found))

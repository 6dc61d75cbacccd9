"""Every detector against the one with the best mean AUROC, from the images of one sample.

This module must not know who made the scores.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from benchmark.metrics.bounds import LEVEL
from benchmark.metrics.delong import Aurocs, Difference
from benchmark.metrics.statistics import holm

Standing = Literal["best", "worse", "undecided"]


class Against(NamedTuple):
    """A detector's mean less that of the best, the p after Holm's adjustment, and what that comes to.

    The interval of the difference is of this pair alone: it is not adjusted.
    """

    difference: Difference
    p_holm: float
    standing: Standing


def against_best(
    aurocs: Aurocs, weights: ArrayLike | None = None, level: float = LEVEL
) -> tuple[int, list[Against]]:
    """Compare the mean AUROC of each detector with the best one.

    Which is best is said by the same images that the comparisons are made on, and the best of many equals
    looks better than it is. Adjusting D − 1 comparisons would overlook that: any of the D (D − 1) / 2 pairs
    might have been the one that is looked at. So Holm's adjustment is over all pairs, as in the ranks of the
    boards (docs/ranks.md): with probability `level` no two equal detectors are told apart, whichever is
    best. It does not mend the mean of the best itself, which stays too high by what chance gave it; where
    many are close, other images would give a smaller one.

    Parameters
    ----------
    aurocs : of D detectors on S OOD sets, from `delong`.
    weights : (S,) of the mean over the sets, as for `Aurocs.means`.
    level : confidence level of the intervals; a pair differs if its adjusted p is at most 1 − level.

    Returns
    -------
    The index of the best, the first of equals; for each detector, how it stands against it. The best has a
    difference of 0 to itself, with p = 1.

    Raises
    ------
    ValueError
        If weights or level are out of range.
    """
    means = aurocs.means(weights)
    best, detectors = int(means.argmax()), means.size
    i, j = np.triu_indices(detectors, k=1)
    upwards = aurocs.differences(list(zip(i.tolist(), j.tolist(), strict=True)), weights, level)
    adjusted = holm([pair.p for pair in upwards])
    found = [Against(Difference(0.0, 0.0, 0.0, 0.0, 1.0), 1.0, "best")] * detectors
    for a, b, pair, p in zip(i.tolist(), j.tolist(), upwards, adjusted.tolist(), strict=True):
        if best in (a, b):
            other = b if a == best else a
            seen = pair if b == best else _reversed(pair)
            found[other] = Against(seen, p, "worse" if p <= 1 - level and seen.value < 0 else "undecided")
    return best, found


def _reversed(pair: Difference) -> Difference:
    return Difference(-pair.value, -pair.high, -pair.low, pair.standard_error, pair.p)

"""Every detector against the one with the best mean AUROC, from the images of one sample.

This module must not know who made the scores.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

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

    The D − 1 comparisons with the best are adjusted by Holm. Which one is the best is said by the same
    images; even so the detectors that are not told apart from it hold the true best with probability
    `level` or more: it is left out only if one of the others beats it significantly, and these are D − 1
    comparisons (the argument of multiple comparisons with the best; Hsu, Annals of Statistics 1984). It does
    not mend the mean of the best, which stays too high by what chance gave it; where many are close, other
    images would give a smaller one.

    Parameters
    ----------
    aurocs : of D detectors on S OOD sets, from `delong`.
    weights : (S,) of the mean over the sets, as for `Aurocs.means`.
    level : confidence level of the intervals; one is worse if its adjusted p is at most 1 − level.

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
    others = [d for d in range(detectors) if d != best]
    differences = aurocs.differences([(d, best) for d in others], weights, level)
    found = [Against(Difference(0.0, 0.0, 0.0, 0.0, 1.0), 1.0, "best")] * detectors
    if others:
        adjusted = holm([one.p for one in differences])
        for d, one, p in zip(others, differences, adjusted.tolist(), strict=True):
            found[d] = Against(one, p, "worse" if p <= 1 - level and one.value < 0 else "undecided")
    return best, found

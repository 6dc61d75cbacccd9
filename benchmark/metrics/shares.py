"""The threshold that keeps a wanted share of ID images, and the shares that a threshold keeps.

An image is accepted if its score is at least the threshold: higher is more in-distribution. This module must
not know who made the scores.
"""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
from numpy.typing import ArrayLike

from benchmark.metrics.bounds import LEVEL, Bounds, clopper_pearson
from benchmark.metrics.statistics import finite_vector


def keeping(id_scores: ArrayLike, keep: float) -> float:
    """The highest threshold at which at least `keep` of the ID scores are accepted.

    It is the ⌈keep · N⌉-th largest score: at .95 that of FPR@95 (`FprConvention.ID_POS`). Where scores are
    tied more are kept than were wanted, never less. `keep` is taken for the decimal number that it is written
    as, so that .95 of 20 images is 19.

    Parameters
    ----------
    id_scores : (N,) finite scores of ID validation images, of any order.
    keep : the wanted share, above 0 and at most 1.

    Raises
    ------
    ValueError
        If there is no score, one is not finite, or `keep` is out of range.

    Examples
    --------
    >>> keeping([0.1, 0.4, 0.4, 0.7, 0.9], 0.6)
    0.4
    """
    scores = finite_vector("id_scores", id_scores)
    if not 0 < keep <= 1:
        raise ValueError(f"keep: expected a share above 0 and at most 1, such as 0.95, got {keep}")
    wanted = math.ceil(Decimal(repr(float(keep))) * scores.size)
    at = scores.size - wanted
    return float(np.partition(scores, at)[at])


def accepted_share(scores: ArrayLike, threshold: float, level: float = LEVEL) -> Bounds:
    """Share of images that a threshold accepts, with its exact interval (`clopper_pearson`).

    Of ID images it is the share kept, of OOD images the share let through. The interval is of this threshold
    as it is: that it was set on other images, and might have been another, is no part of it.

    Parameters
    ----------
    scores : (N,) finite scores of one set of images, none of which the threshold was set by.
    threshold : finite.
    level : confidence level, strictly between 0 and 1.

    Raises
    ------
    ValueError
        If there is no score, or a number is not finite.

    Examples
    --------
    >>> accepted_share([0.1, 0.4, 0.5, 0.9], 0.4).value
    0.75
    """
    vector = finite_vector("scores", scores)
    if not math.isfinite(threshold):
        raise ValueError(f"threshold: expected a finite number, got {threshold}")
    return clopper_pearson(int(np.count_nonzero(vector >= threshold)), vector.size, level)

"""Numbers with their intervals from the images of one sample; there are no seeds here.

`wilson` and `clopper_pearson` are of shares; what is no share is given the number of images that it is worth.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike

from benchmark.metrics.statistics import Vector, finite_vector

LEVEL = 0.95


class Bounds(NamedTuple):
    """A number and its two-sided interval, low ≤ value ≤ high."""

    value: float
    low: float
    high: float


def check_level(level: float) -> None:
    """Raise `ValueError` for a confidence level that is not strictly between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"level: expected a number strictly between 0 and 1, got {level}")


def deviations(level: float) -> float:
    """z: how many standard deviations of a normal distribution hold `level` of it, two-sided."""
    check_level(level)
    return float(scipy.stats.norm.isf((1 - level) / 2))


def set_weights(sets: int, weights: ArrayLike | None) -> Vector:
    """Weights (S,) of a mean over S sets: at least 0, of sum 1; for None all the same.

    Raises
    ------
    ValueError
        If they are not such.
    """
    if weights is None:
        return np.full(sets, 1 / sets)
    found = finite_vector("weights", weights)
    if found.size != sets or found.min() < 0 or not math.isclose(found.sum(), 1.0, abs_tol=1e-9):
        raise ValueError(
            f"weights: expected {sets} numbers of at least 0 that sum to 1, got {found.tolist()}"
        )
    return found


def wilson(value: float, effective: float, level: float = LEVEL) -> Bounds:
    r"""Wilson's score interval of a number in [0, 1] with the variance of a share of so many images.

    .. math:: (\hat\theta - \theta)^2 ≤ z^2 \theta (1 - \theta) / n_{eff}

    It stays in [0, 1] and is never of zero width.

    Parameters
    ----------
    value : the estimate, in [0, 1].
    effective : n_eff > 0, need not be whole: θ(1 − θ) over the variance of the estimate.
    level : confidence level, strictly between 0 and 1.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> [round(bound, 4) for bound in wilson(1.0, 100)]
    [1.0, 0.963, 1.0]
    """
    z = deviations(level)
    if not 0 <= value <= 1:
        raise ValueError(f"value: expected a number from 0 to 1, got {value}")
    if not (effective > 0 and math.isfinite(effective)):
        raise ValueError(f"effective: expected a positive number, got {effective}")
    centre = value + z * z / (2 * effective)
    half = z * math.sqrt(value * (1 - value) / effective + (z / (2 * effective)) ** 2)
    scale = 1 + z * z / effective
    low = 0.0 if value == 0 else (centre - half) / scale
    high = 1.0 if value == 1 else (centre + half) / scale
    return Bounds(value, min(max(low, 0.0), value), max(min(high, 1.0), value))


def clopper_pearson(count: int, n: int, level: float = LEVEL) -> Bounds:
    """Share of `count` of n images with its exact interval (Clopper & Pearson 1934).

    It covers at least `level`.

    Parameters
    ----------
    count : from 0 to n.
    n : at least 1.
    level : confidence level, strictly between 0 and 1.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> [round(bound, 4) for bound in clopper_pearson(0, 60)]
    [0.0, 0.0, 0.0596]
    """
    check_level(level)
    if n < 1:
        raise ValueError(f"n: expected at least one image, got {n}")
    if not 0 <= count <= n:
        raise ValueError(f"count: expected from 0 to {n}, got {count}")
    tail = (1 - level) / 2
    low = float(scipy.stats.beta.ppf(tail, count, n - count + 1)) if count else 0.0
    high = float(scipy.stats.beta.isf(tail, count + 1, n - count)) if count < n else 1.0
    return Bounds(count / n, low, high)

"""Welch's test, for rows that cannot be paired.

Networks trained apart differ as if by another seed, so that pairing their numbers by seed would claim what is
not so. This module must not know what the numbers measure. It stands apart from `statistics`, whose source is
part of the content keys of measurements.
Source: B. L. Welch, "The generalization of 'Student's' problem when several different population variances
are involved", 1947.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from benchmark.metrics.statistics import _differences

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]


def welch(a: ArrayLike, b: ArrayLike) -> tuple[Vector, Vector]:
    r"""Welch's two-sided t test of each row of `a` against that of `b`.

    .. math:: t = \frac{\bar a - \bar b}{\sqrt{s_a^2 / n + s_b^2 / n}}, \qquad
        \nu = \frac{(s_a^2 / n + s_b^2 / n)^2}{((s_a^2 / n)^2 + (s_b^2 / n)^2) / (n - 1)}

    Parameters
    ----------
    a, b : (P, S) finite values, at least two a row.

    Returns
    -------
    t, p : (P,) each. Where neither row has any spread, t is 0 and p 1 for equal means, else t is infinite and
        p is 0. A difference within rounding of its operands (4 ulp) counts as zero.

    Raises
    ------
    ValueError
        If the shapes differ, or there are fewer than two values a row.

    Examples
    --------
    >>> t, p = welch([[1.0, 2.0, 3.0]], [[2.0, 4.0, 6.0]])
    >>> round(float(t[0]), 4), round(float(p[0]), 4)
    (-1.5492, 0.2209)
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2 or first.shape[1] < 2:
        raise ValueError(
            f"a, b: expected two (P, S) arrays of one shape with S of 2 or more, got {first.shape} and "
            f"{second.shape}"
        )
    n = first.shape[1]
    gap = _differences(first.mean(axis=1), second.mean(axis=1))
    parts = [np.where(_constant(x), 0.0, x.var(axis=1, ddof=1)) / n for x in (first, second)]
    spread = parts[0] + parts[1]
    at_zero_spread = np.where(gap == 0, 0.0, np.copysign(np.inf, gap))
    t = np.divide(gap, np.sqrt(spread), out=at_zero_spread, where=spread > 0)
    # By the share of each part, which cannot underflow as their squares could
    share = np.divide(parts[0], spread, out=np.full_like(spread, 0.5), where=spread > 0)
    degrees = (n - 1) / (share**2 + (1 - share) ** 2)
    return t, 2 * scipy.stats.t.sf(np.abs(t), degrees)


def _constant(samples: Vector) -> Flags:
    constant: Flags = (samples == samples[:, :1]).all(axis=1)
    return constant

"""Welch's test, and ranks of rows some of which cannot be paired.

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

from benchmark.metrics.statistics import _differences, _t_statistic, _two_sided, holm, significance_ranks

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


def ranks_with_apart(
    values: ArrayLike, apart: ArrayLike, level: float = 0.05, higher_is_better: bool = True
) -> list[int]:
    """Rank the rows of a table as `significance_ranks` does, with Welch's test for pairs that stand apart.

    Parameters
    ----------
    values : (R, S) one row an entry, one column a seed.
    apart : (R, R) symmetric; whether two rows may not be paired by seed. Without any, the ranks are those of
        `significance_ranks`.
    level : the family-wise error rate; Holm's adjustment is over all pairs of the table, of both kinds.
    higher_is_better : direction of the metric.

    Raises
    ------
    ValueError
        If `values` is not a non-empty finite 2-D array, `apart` does not fit it or is not symmetric, or
        `level` is outside (0, 1).

    Examples
    --------
    >>> table = [[0.91, 0.93, 0.95], [0.92, 0.94, 0.96]]
    >>> ranks_with_apart(table, np.zeros((2, 2))), ranks_with_apart(table, 1 - np.eye(2))
    ([2, 1], [1, 1])
    """
    paired = significance_ranks(values, level, higher_is_better)  # checks `values` and `level`
    table, flags = np.asarray(values, dtype=np.float64), np.asarray(apart, dtype=bool)
    rows, seeds = table.shape
    if flags.shape != (rows, rows) or (flags != flags.T).any():
        raise ValueError(f"apart: expected a symmetric ({rows}, {rows}) array, got shape {flags.shape}")
    i, j = np.triu_indices(rows, k=1)
    unpaired = flags[i, j]
    if seeds == 1 or not unpaired.any():
        return paired
    t = _t_statistic(_differences(table[i], table[j]))  # (R(R−1)/2,)
    p = _two_sided(t, seeds)
    t[unpaired], p[unpaired] = welch(table[i[unpaired]], table[j[unpaired]])
    worse = np.where((t < 0) == higher_is_better, i, j)[holm(p) <= level]
    return [int(rank) for rank in 1 + np.bincount(worse, minlength=rows)]


def _constant(samples: Vector) -> Flags:
    constant: Flags = (samples == samples[:, :1]).all(axis=1)
    return constant

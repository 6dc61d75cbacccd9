"""Statistics over seeds: intervals, paired tests, multiplicity, and ranks that say only what the data say.

The pairing unit is the seed. This module must not know what the numbers measure, nor which method made them.
Sources: spec/claims.md §0.2; S. Holm, "A simple sequentially rejective multiple test procedure", 1979.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from benchmark.metrics.arrays import as_array

Vector = NDArray[np.float64]

EXACT_SIGN_FLIPS = 16
"""Largest number of differences whose 2^n sign flips are all enumerated."""

SIGN_FLIP_DRAWS = 20_000
"""Monte Carlo sign flips beyond that."""

_ROUNDING = 4 * np.finfo(np.float64).eps


def finite_vector(name: str, values: ArrayLike) -> Vector:
    """Return `values` as a float64 vector, or say what is wrong with argument `name`.

    Raises
    ------
    ValueError
        If `values` is not a non-empty one-dimensional array of finite real numbers.
    """
    array = as_array(values)
    if array.dtype.kind not in "biuf" or array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"{name}: expected a non-empty 1-D array of real numbers, "
            f"got shape {array.shape}, dtype {array.dtype}"
        )
    vector = array.astype(np.float64, copy=False)
    if not (math.isfinite(vector.min()) and math.isfinite(vector.max())):  # both are NaN if any value is
        finite = np.isfinite(vector)
        raise ValueError(
            f"{name}: expected finite numbers, got {np.count_nonzero(~finite)} non-finite of {vector.size} "
            f"(first at index {int(finite.argmin())}: {vector[finite.argmin()]})"
        )
    return vector


@dataclass(frozen=True)
class Interval:
    """Mean over `n` seeds, two-sided t interval and standard deviation (n − 1), in the values' unit."""

    mean: float
    low: float
    high: float
    sd: float
    n: int


@dataclass(frozen=True)
class PairedDifference:
    """Paired comparison of two arms over `n` seeds; the claim under test predicts a positive difference.

    `mean`, `low`, `high` and `sd` are in the values' unit; `effect` is mean / sd. With one pair everything
    that needs a standard deviation is NaN.
    """

    mean: float
    low: float
    high: float
    sd: float
    effect: float
    n: int
    p_t_two_sided: float
    p_t_greater: float
    p_sign_flip: float
    p_wilcoxon: float


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean and two-sided t interval with n − 1 degrees of freedom.

    Parameters
    ----------
    values : (S,) one value a seed.
    level : confidence level, strictly between 0 and 1.

    Returns
    -------
    Interval
        With one value `low`, `high` and `sd` are NaN: one seed says nothing about the spread.

    Raises
    ------
    ValueError
        If `values` is empty, not 1-D or not finite, or `level` is outside (0, 1).

    Examples
    --------
    >>> interval = mean_interval([1.0, 2.0, 3.0])
    >>> round(interval.low, 4), interval.mean, round(interval.high, 4)
    (-0.4841, 2.0, 4.4841)
    """
    vector = finite_vector("values", values)
    _check_level(level)
    return _intervals(vector[None], level)[0]


def mean_intervals(values: ArrayLike, level: float = 0.95) -> list[Interval]:
    """Return `mean_interval` of each row of a table.

    Parameters
    ----------
    values : (R, S) one value a seed; R = 0 is allowed and gives an empty list.
    level : confidence level, strictly between 0 and 1.

    Raises
    ------
    ValueError
        If `values` is not a finite 2-D array with at least one column, or `level` is outside (0, 1).

    Examples
    --------
    >>> [interval.mean for interval in mean_intervals([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]])]
    [2.0, 4.0]
    """
    table = np.ascontiguousarray(values, dtype=np.float64)
    _check_level(level)
    if table.ndim != 2 or table.shape[1] == 0:
        raise ValueError(f"values: expected a (rows, seeds) array with seeds, got shape {table.shape}")
    _check_finite(table)
    return _intervals(table, level)


def paired_difference(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, rng: np.random.Generator | None = None
) -> PairedDifference:
    r"""Test whether arm `a` exceeds arm `b`, paired by seed (spec/claims.md §0.2).

    .. math:: d_s = a_s - b_s, \qquad p_{flip} = \#\{ε ∈ \{±1\}^S : \overline{εd} ≥ \bar d\} / 2^S

    For more than 16 pairs p_flip is estimated from 20,000 random flips as (1 + hits) / 20,001. The Wilcoxon p
    is exact for every S, ties included, zero differences dropped. All p-values but `p_t_two_sided` are
    one-sided. A difference within rounding of its operands (4 ulp) counts as zero. If all are zero, t = 0
    and `effect` = 0; if all are the same non-zero number, t and `effect` are infinite.

    Parameters
    ----------
    a, b : (S,) values of the two arms; entry s of both has the same seed.
    level : confidence level of the t interval.
    rng : generator of the random flips, needed only for S > 16.

    Raises
    ------
    ValueError
        If the arms differ in length, are empty, not 1-D or not finite, or `rng` is missing for S > 16.

    Examples
    --------
    >>> paired_difference([2.1, 1.4, 0.3, 1.9, 0.8, 1.2], [0, 0, 0, 0, 0, 0]).p_sign_flip
    0.015625
    """
    first, second = finite_vector("a", a), finite_vector("b", b)
    if first.size != second.size:
        raise ValueError(f"a, b: expected one value of each arm a seed, got {first.size} and {second.size}")
    d = _differences(first, second)
    interval = mean_interval(d, level)
    t = float(_t_statistic(d[None])[0])
    return PairedDifference(
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        sd=interval.sd,
        effect=t / math.sqrt(d.size),
        n=d.size,
        p_t_two_sided=float(_two_sided(t, d.size)),
        p_t_greater=float(scipy.stats.t.sf(t, d.size - 1)) if d.size > 1 else math.nan,
        p_sign_flip=_sign_flip(d, rng),
        p_wilcoxon=_wilcoxon(d),
    )


def holm(p_values: ArrayLike) -> Vector:
    """Holm's step-down adjustment: p̃_(i) = max_{j ≤ i} min(1, (m − j + 1) p_(j)).

    Parameters
    ----------
    p_values : (m,) p-values of one family; m = 0 is allowed and gives an empty array.

    Returns
    -------
    (m,) adjusted p-values in the order of the input.

    Raises
    ------
    ValueError
        If the input is not 1-D or holds anything outside [0, 1].

    Examples
    --------
    >>> holm([0.01, 0.03, 0.04]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1:
        raise ValueError(f"p_values: expected a 1-D array, got shape {p.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p_values: expected numbers in [0, 1], got {p[~((p >= 0) & (p <= 1))].tolist()}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, p[order] * np.arange(p.size, 0, -1)))
    return adjusted


def significance_ranks(values: ArrayLike, level: float = 0.05, higher_is_better: bool = True) -> list[int]:
    """Rank the rows of a table so that rows which do not differ significantly can share a rank.

    rank(i) = 1 + the number of rows that are significantly better than row i, by two-sided paired t-tests
    over the seeds, Holm-adjusted over all pairs of the table. Identical rows have p = 1, rows with a constant
    non-zero difference p = 0. One seed cannot separate anything: all ranks are 1.

    Parameters
    ----------
    values : (R, S) one row an entry, one column a seed.
    level : the family-wise error rate; a pair differs if its adjusted p ≤ level.
    higher_is_better : direction of the metric.

    Raises
    ------
    ValueError
        If `values` is not a non-empty finite 2-D array, or `level` is outside (0, 1).

    Examples
    --------
    >>> significance_ranks([[0.91, 0.92, 0.93], [0.92, 0.91, 0.93], [0.51, 0.52, 0.53]])
    [1, 1, 3]
    """
    table = np.asarray(values, dtype=np.float64)
    _check_level(level)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"values: expected a non-empty (rows, seeds) array, got shape {table.shape}")
    _check_finite(table)
    rows, seeds = table.shape
    if seeds == 1:
        return [1] * rows
    i, j = np.triu_indices(rows, k=1)
    t = _t_statistic(_differences(table[i], table[j]))  # (R(R−1)/2,)
    differs = holm(_two_sided(t, seeds)) <= level
    j_is_better = (t < 0) == higher_is_better
    worse = np.where(j_is_better, i, j)[differs]
    return [int(rank) for rank in 1 + np.bincount(worse, minlength=rows)]


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level: expected a number strictly between 0 and 1, got {level}")


def _check_finite(table: Vector) -> None:
    broken = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if broken.size:
        raise ValueError(f"values: expected finite numbers, got NaN or inf in rows {broken.tolist()}")


def _intervals(table: Vector, level: float) -> list[Interval]:
    """The t interval of each row of (R, S)."""
    n = table.shape[1]
    scale = _quantile((1 + level) / 2, n - 1) if n > 1 else math.nan
    found = []
    for mean, sd in zip(*(moment.tolist() for moment in _moments(table)), strict=True):
        half = scale * sd / math.sqrt(n)
        found.append(Interval(mean=mean, low=mean - half, high=mean + half, sd=sd, n=n))
    return found


@cache
def _quantile(share: float, freedom: int) -> float:
    """Of Student's t; computed anew for each interval it would take most of the time."""
    return float(scipy.stats.t.ppf(share, freedom))


def _differences(a: Vector, b: Vector) -> Vector:
    """Return a − b, zero where it is only rounding, so that equal results never differ significantly."""
    d = a - b
    d[np.abs(d) <= _ROUNDING * np.maximum(np.abs(a), np.abs(b))] = 0.0
    return d


def _moments(samples: Vector) -> tuple[Vector, Vector]:
    """Mean and standard deviation (n − 1) of each row of (P, S): no spread (NaN) for S = 1, 0 if constant."""
    constant = (samples == samples[:, :1]).all(axis=1)
    mean = np.where(constant, samples[:, 0], samples.mean(axis=1))
    if samples.shape[1] == 1:
        return mean, np.full(len(samples), math.nan)
    return mean, np.where(constant, 0.0, samples.std(axis=1, ddof=1))


def _t_statistic(samples: Vector) -> Vector:
    """One-sample t of each row of (P, S): 0 where all values are 0, ±inf where they are one other number."""
    mean, sd = _moments(samples)
    at_zero_spread = np.where(mean == 0, 0.0, np.copysign(math.inf, mean))
    return np.divide(mean * math.sqrt(samples.shape[1]), sd, out=at_zero_spread, where=sd != 0)


def _two_sided(t: Any, n: int) -> Any:
    return 2 * scipy.stats.t.sf(np.abs(t), n - 1) if n > 1 else np.full_like(t, math.nan)


def _sign_flip(d: Vector, rng: np.random.Generator | None) -> float:
    # Flipping the signs of a set F changes the sum by −2 Σ_F d, so mean(±d) ≥ mean(d) exactly when Σ_F d ≤ 0.
    # Sums equal on paper differ by rounding: counting those within 1e-9 of the scale errs to the larger p.
    tolerance = 1e-9 * float(np.abs(d).sum())
    if d.size <= EXACT_SIGN_FLIPS:
        flipped = np.zeros(1)
        for value in d:
            flipped = np.concatenate([flipped, flipped + value])
        return float(np.mean(flipped <= tolerance))
    if rng is None:
        raise ValueError(
            f"rng: {d.size} pairs are more than the {EXACT_SIGN_FLIPS} whose sign flips are enumerated; "
            "pass a seeded numpy Generator for the Monte Carlo test"
        )
    flips = rng.integers(0, 2, size=(SIGN_FLIP_DRAWS, d.size)).astype(np.float64)
    hits = np.count_nonzero((flips * d).sum(axis=1) <= tolerance)
    return (1 + int(hits)) / (1 + SIGN_FLIP_DRAWS)


def _wilcoxon(d: Vector) -> float:
    """One-sided exact signed-rank p: P(W⁺ ≥ w) when every sign is a fair coin; average ranks at ties."""
    d = d[d != 0]
    ranks = np.rint(2 * scipy.stats.rankdata(np.abs(d))).astype(np.int64)  # doubled: average ranks are halves
    probability = np.zeros(int(ranks.sum()) + 1)
    probability[0] = 1.0
    for rank in ranks:
        shifted = np.concatenate([np.zeros(rank), probability[:-rank]])
        probability = (probability + shifted) / 2
    return float(min(1.0, probability[int(ranks[d > 0].sum()) :].sum()))

"""Simultaneous confidence sets for the ranks of a table's rows: how far up and down the data let each be.

A rank is 1 plus the number of rows whose true mean is strictly better. Rows that stand on the same networks
are compared by paired t tests over the seeds, rows that stand apart by Welch's, all pairs in one family under
Holm's adjustment; docs/ranks.md says why these tests, and what coverage simulations found. This module must
not know what the numbers measure.
Sources: M. Mogstad, J. P. Romano, A. M. Shaikh, D. Wilhelm, "Inference for Ranks with Applications to
Mobility across Neighbourhoods and Academic Achievement across Countries", Review of Economic Studies, 2024;
S. Holm, "A simple sequentially rejective multiple test procedure", 1979.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.metrics.statistics import (
    Vector,
    _check_finite,
    _check_level,
    _differences,
    _moments,
    _t_statistic,
    _two_sided,
    holm,
)
from benchmark.metrics.unpaired import welch

Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class RankSet:
    """The ranks that the data leave to a row: all from `low` to `high`; 1 is best."""

    low: int
    high: int


@dataclass(frozen=True)
class RankSets:
    """Confidence sets of the ranks of all rows, which hold together, and a mark, in the order of the rows."""

    sets: tuple[RankSet, ...]
    not_worse: tuple[bool, ...]  # not significantly worse than the first row, by default the one of best mean


def rank_sets(
    values: ArrayLike,
    *,
    apart: ArrayLike | None = None,
    level: float = 0.05,
    higher_is_better: bool = True,
    first: ArrayLike | None = None,
) -> RankSets:
    r"""Confidence sets that hold the true ranks of all rows at once, with probability 1 − `level` or more.

    .. math:: C_j = [1 + \#\{i : i \text{ significantly better than } j\},
        R - \#\{i : i \text{ significantly worse than } j\}]

    Every set holds its rank unless a pair of `significant_pairs` is in the wrong order, or in any order where
    both rows are equal (Mogstad et al.). A set holds the position of its row in the order of means, too: a
    significantly better row has a better mean. O(R² (S + log R)) time and O(R² S) memory.

    Parameters
    ----------
    values, apart, level, higher_is_better : as `significant_pairs` takes them.
    first : (R,) which rows the marks are against; None: those of the best mean. For tables whose rows have
        more seeds than these, and stand in the order of all of them.

    Returns
    -------
    RankSets
        With one seed all sets are [1, R]. Rows of equal means share the mark of the best: of such rows, it
        takes one that is significantly better to lose it.

    Raises
    ------
    ValueError
        If `values` is not a non-empty finite 2-D array, `apart` or `first` does not fit it, `apart` is not
        symmetric, or `level` is outside (0, 1).

    Examples
    --------
    >>> found = rank_sets([[0.91, 0.92, 0.93], [0.92, 0.91, 0.93], [0.51, 0.52, 0.53]])
    >>> [(one.low, one.high) for one in found.sets], found.not_worse
    ([(1, 2), (1, 2), (3, 3)], (True, True, False))
    """
    table = _table(values)
    better, worse = significant_pairs(table, apart=apart, level=level, higher_is_better=higher_is_better)
    rows = len(table)
    low = 1 + np.bincount(worse, minlength=rows)
    high = rows - np.bincount(better, minlength=rows)
    if first is None:
        means, _ = _moments(table)
        best = means == (means.max() if higher_is_better else means.min())
    else:
        best = np.asarray(first, dtype=bool)
        if best.shape != (rows,):
            raise ValueError(f"first: expected a ({rows},) array, got shape {best.shape}")
    not_worse = np.full(rows, True)
    not_worse[worse[best[better]]] = False
    return RankSets(
        sets=tuple(RankSet(*bounds) for bounds in zip(low.tolist(), high.tolist(), strict=True)),
        not_worse=tuple(not_worse.tolist()),
    )


def significant_pairs(
    values: ArrayLike, *, apart: ArrayLike | None = None, level: float = 0.05, higher_is_better: bool = True
) -> tuple[Indices, Indices]:
    """Pairs of rows that differ significantly, the better row of each first.

    By two-sided tests of all R(R − 1)/2 pairs, Holm-adjusted together: the probability that rows which are
    equal are told apart anywhere is at most `level`, whatever the rows have in common, as far as the p-values
    of single pairs hold. Identical rows have p = 1, rows with a constant non-zero difference p = 0; a
    difference within rounding of its operands (4 ulp) counts as zero. One seed separates nothing.

    Parameters
    ----------
    values : (R, S) one row an entry, one column a seed.
    apart : (R, R) symmetric; whether two rows may not be paired by seed, and Welch's test takes the place of
        the paired one. None: all may.
    level : the family-wise error rate.
    higher_is_better : direction of the metric.

    Returns
    -------
    better, worse : (K,) each; row ``better[k]`` is significantly better than row ``worse[k]``.

    Raises
    ------
    ValueError
        As `rank_sets`.

    Examples
    --------
    >>> better, worse = significant_pairs([[0.51, 0.52, 0.53], [0.91, 0.93, 0.92]])
    >>> better.tolist(), worse.tolist()
    ([1], [0])
    """
    table = _table(values)
    _check_level(level)
    rows, seeds = table.shape
    flags = None if apart is None else _flags(apart, rows)
    if seeds == 1:
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    i, j = np.triu_indices(rows, k=1)
    t = _t_statistic(_differences(table[i], table[j]))  # (R(R−1)/2,)
    p = _two_sided(t, seeds)
    unpaired = None if flags is None else flags[i, j]
    if unpaired is not None and unpaired.any():
        t[unpaired], p[unpaired] = welch(table[i[unpaired]], table[j[unpaired]])
    differs = holm(p) <= level
    i, j, first_is_better = i[differs], j[differs], (t[differs] > 0) == higher_is_better
    return np.where(first_is_better, i, j), np.where(first_is_better, j, i)


def _table(values: ArrayLike) -> Vector:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"values: expected a non-empty (rows, seeds) array, got shape {table.shape}")
    _check_finite(table)
    return table


def _flags(apart: ArrayLike, rows: int) -> Flags:
    flags = np.asarray(apart, dtype=bool)
    if flags.shape != (rows, rows):
        raise ValueError(f"apart: expected a ({rows}, {rows}) array, got shape {flags.shape}")
    if (flags != flags.T).any():
        raise ValueError(f"apart: expected a symmetric ({rows}, {rows}) array, got one that is not")
    return flags

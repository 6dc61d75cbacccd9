"""How far two sets of numbers of the same things lie apart, one by one and in the mean of rows.

Pure functions of arrays: this module must not know what the numbers measure, nor where the sides were made.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from benchmark.metrics.statistics import PairedDifference, finite_vector, holm, paired_difference

LEVEL = 0.05  # of the family-wise error rate over rows
R = TypeVar("R", bound=Hashable)


@dataclass(frozen=True)
class Gap:
    """|Δ| of one number over the places that were compared, in the number's own unit."""

    n: int
    equal: int  # how many do not differ at all
    median: float
    mean: float
    q95: float  # the 95 % quantile, linear between neighbours
    max: float


@dataclass(frozen=True)
class RowTest:
    """Whether the mean of a board's row differs between two sides, over the seeds that they share."""

    difference: PairedDifference  # first side minus second
    p_holm: float

    @property
    def differs(self) -> bool:
        """Significantly, at 5 % over all rows of the board."""
        return self.p_holm <= LEVEL


def gap(a: ArrayLike, b: ArrayLike) -> Gap:
    """Describe |a − b| over places.

    Parameters
    ----------
    a, b : (N,) one number a place, in the same order.

    Raises
    ------
    ValueError
        If they differ in length, are empty, not 1-D or not finite.

    Examples
    --------
    >>> found = gap([1.0, 2.0, 3.0], [1.0, 2.5, 5.0])
    >>> found.n, found.equal, found.median, round(found.mean, 4), round(found.q95, 4), found.max
    (3, 1, 0.5, 0.8333, 1.85, 2.0)
    """
    first, second = finite_vector("a", a), finite_vector("b", b)
    if first.size != second.size:
        raise ValueError(f"a, b: expected as many numbers of each side, got {first.size} and {second.size}")
    apart = np.abs(first - second)
    return Gap(
        n=apart.size,
        equal=int(np.count_nonzero(apart == 0)),
        median=float(np.median(apart)),
        mean=float(apart.mean()),
        q95=float(np.quantile(apart, 0.95)),
        max=float(apart.max()),
    )


def row_tests(rows: Mapping[R, tuple[Sequence[float], Sequence[float]]]) -> dict[R, RowTest]:
    """Test for each row of a board whether its mean differs between two sides.

    Paired t tests over the seeds, two-sided, Holm-adjusted over the rows.

    Parameters
    ----------
    rows : by row, one number a seed of each side, in the same order. Rows with a single seed are left out:
        one seed tells nothing of the spread.

    Raises
    ------
    ValueError
        If the sides of a row differ in length, or a number is not finite.
    """
    several = {row: sides for row, sides in rows.items() if len(sides[0]) > 1}
    tested = {row: paired_difference(*sides, rng=np.random.default_rng(0)) for row, sides in several.items()}
    adjusted = holm([difference.p_t_two_sided for difference in tested.values()])
    return {
        row: RowTest(difference, float(p))
        for (row, difference), p in zip(tested.items(), adjusted, strict=True)
    }

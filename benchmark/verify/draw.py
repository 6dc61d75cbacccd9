"""Which published cells are recomputed, and how likely an altered one is among them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from math import comb
from typing import TypeVar

from benchmark.seeds import derive_seed

T = TypeVar("T")


def drawn(cells: Sequence[T], count: int, seed: int) -> list[T]:
    """`count` of the cells, all equally likely, in their order; all of them if there are no more.

    Parameters
    ----------
    seed : the same seed and cells give the same draw; whoever altered a cell must not know it before.
    """
    if count >= len(cells):
        return list(cells)
    numbers = random.Random(derive_seed("draw", seed))  # noqa: S311 no secret
    chosen = numbers.sample(range(len(cells)), count)
    return [cells[i] for i in sorted(chosen)]


def chance(cells: int, count: int, altered: int = 1) -> float:
    """The probability that at least one of `altered` cells is among `count` drawn of `cells`: hypergeometric.

    Examples
    --------
    >>> chance(100, 20)
    0.2
    >>> round(chance(100, 20, 10), 3)
    0.905
    """
    altered, count = min(altered, cells), min(count, cells)
    if cells == 0:
        return 0.0
    return float(1 - Fraction(comb(cells - altered, count), comb(cells, count)))

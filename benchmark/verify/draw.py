"""Which published cells are recomputed, and how likely an altered one is among them."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from fractions import Fraction
from math import comb
from typing import TypeVar

from benchmark.seeds import derive_seed

T = TypeVar("T")


def _one(cell: object) -> Hashable:
    return None


def drawn(cells: Sequence[T], count: int, seed: int, row: Callable[[T], Hashable] = _one) -> list[T]:
    """`count` of the cells, all equally likely, in their order; all of them if there are no more.

    Every `row` gets its share of the draw, up to one cell: systematic sampling of the shuffled rows.

    Parameters
    ----------
    seed : the same seed and cells give the same draw; whoever altered a cell must not know it before.
    row : the row of a cell; all cells are of one row if absent.
    """
    if count >= len(cells):
        return list(cells)
    numbers = random.Random(derive_seed("draw", seed))  # noqa: S311 no secret
    rows: dict[Hashable, list[int]] = {}
    for i, cell in enumerate(cells):
        rows.setdefault(row(cell), []).append(i)
    for members in rows.values():
        numbers.shuffle(members)
    order = list(rows.values())
    numbers.shuffle(order)
    flat = [i for members in order for i in members]
    start = numbers.randrange(len(flat))
    chosen = [flat[(start + k * len(flat)) // count] for k in range(count)]
    return [cells[i] for i in sorted(chosen)]


def chance(cells: int, count: int, altered: int = 1) -> float:
    """The probability that at least one of `altered` cells is among `count` drawn of `cells`: hypergeometric.

    It holds however the cells are drawn, if whoever altered them did not know the draw.

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

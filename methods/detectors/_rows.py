"""Rows in any number for `fit`, in float64 a block at a time, so that memory does not grow with them.

They may be of any floating type and lie in a memory-mapped file, on any device. A set that fits one block is
summed as a whole. Not a detector: files that begin with an underscore are not registered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from methods.neutral import neutral

AT_ONCE = 2**26  # numbers of a block: 512 MiB in float64
MOST = 2**16  # rows of a block, where they are narrow
COLUMNS = 64  # that are summed at once


class Rows:
    """Rows (N, D), widened to float64 when they are looked at.

    Parameters
    ----------
    tensor
        (N, D), floating; kept as it is.
    change
        Of float64 rows (n, D), and of the same rows of `beside`, gives as many (n, D), each from its own row.
    beside
        (N, ...) each.
    """

    def __init__(self, tensor: Tensor, change: Callable[..., Tensor] | None = None, *beside: Tensor) -> None:
        self._tensor, self._change, self._beside = tensor, change, beside
        self.width, self.device = tensor.shape[1], tensor.device

    def __len__(self) -> int:
        return len(self._tensor)

    def __getitem__(self, rows: slice | Tensor | list[int]) -> Tensor:
        found = self._tensor[rows].double()
        return found if self._change is None else self._change(found, *(b[rows] for b in self._beside))

    def blocks(self, *columns: Tensor, size: int | None = None) -> Iterator[tuple[Tensor, ...]]:
        """Some rows (n, D) at a time, each with the same rows of `columns` (N, ...)."""
        size = size or self._size
        for start in range(0, max(len(self), 1), size):
            part = slice(start, start + size)
            yield self[part], *(column[part] for column in columns)

    def total(self, measure: Callable[..., Tensor], *columns: Tensor) -> Tensor:
        """Sum of what `measure` makes of each block."""
        return reduce(torch.add, (measure(*block) for block in self.blocks(*columns)))

    def each(self, measure: Callable[..., Tensor], *columns: Tensor) -> Tensor:
        """What `measure` makes of the rows of each block, (n, ...), put together: (N, ...)."""
        return torch.cat([measure(*block) for block in self.blocks(*columns)])

    def mean(self) -> Tensor:
        """Mean of the rows: (D,)."""
        if self._change is not None:
            return self.total(lambda h: h.sum(dim=0)) / len(self)
        return reduce(torch.add, map(_sum, torch.split(self._tensor, self._size))) / len(self)

    def deviation(self, mean: Tensor) -> Tensor:
        """Standard deviation, with 1/N, of the rows from their mean (D,): (D,)."""
        if len(self) <= self._size:
            return self[:].std(dim=0, correction=0)
        return (self.total(lambda h: (h - mean).square().sum(dim=0)) / len(self)).sqrt()

    def held(self) -> Rows:
        """The same, made once and for all if one block holds them: for those who look several times."""
        return Rows(self[:]) if len(self) <= self._size else self

    @neutral
    def kept(self) -> dict[str, Tensor]:
        """What `remade` takes to make the same again; changed rows as they are changed, in float64."""
        if self._change is None:
            return {"rows": self._tensor}
        rows = torch.empty(len(self), self.width, dtype=torch.float64, device=self.device)
        start = 0
        for (block,) in self.blocks():
            rows[start : start + len(block)] = block
            start += len(block)
        return {"rows": rows}

    @classmethod
    @neutral
    def remade(cls, rows: Tensor) -> Self:
        """Make them of what `kept` gave."""
        return cls(rows)

    @property
    def _size(self) -> int:
        """Rows of a block."""
        return max(1, min(MOST, AT_ONCE // max(1, self.width)))


def _sum(rows: Tensor) -> Tensor:
    # By columns, whose sums are rounded as those of all at once: what is widened stays in the cache.
    return torch.cat([part.double().sum(dim=0) for part in torch.split(rows, COLUMNS, dim=1)])


def scatter(rows: Tensor) -> Tensor:
    """Sum of the products of rows (n, D) with themselves: (D, D)."""
    return rows.T @ rows


def normalised(rows: Tensor) -> Tensor:
    """Rows (n, D) divided by their lengths."""
    return functional.normalize(rows, dim=1, eps=1e-12)

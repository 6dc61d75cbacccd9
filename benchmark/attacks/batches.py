"""What is attacked batch by batch, in one go or in several: rows for the images, and their random numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from benchmark.seeds import derive_seed

Rows = Mapping[str, Tensor]  # on the CPU; row i is of image i


def generator(first: int, seed: int, *purpose: str) -> torch.Generator:
    """The random numbers of the batch that begins with image `first`: the same, whatever else is attacked."""
    place = (first,) if first else ()
    return torch.Generator().manual_seed(derive_seed(seed, *purpose, *place))


def join(parts: Sequence[Rows]) -> dict[str, Tensor]:
    """Rows of several groups of images, in order; a column that only some have is of their images alone.

    Columns (N, P) of a search over P points are as long as the longest: a search that has ended stays right
    or wrong, and its losses are NaN from then on.
    """
    found = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        own = [part[name] for part in parts if name in part]
        points = max(map(_points, own))
        found[name] = torch.cat([_as_long(rows, points) for rows in own])
    return found


def _points(rows: Tensor) -> int:
    return rows.shape[1] if rows.ndim > 1 else 0


def _as_long(rows: Tensor, points: int) -> Tensor:
    missing = points - _points(rows)
    if not missing:
        return rows
    if rows.dtype == torch.bool:
        return torch.cat([rows, rows[:, -1:].expand(-1, missing)], dim=1)
    return functional.pad(rows, (0, missing), value=torch.nan)

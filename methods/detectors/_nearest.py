"""Nearest neighbours by brute force: k-th distances, and the k largest inner products.

Candidates come from one matrix product, which may be in float32; what is returned is computed in float64 from
the rows themselves. Where the rounding of the product leaves the choice open, the row is searched again more
exactly, so that a result never depends on what else is in the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from methods.base import HyperparameterError

DISTANCES = 2**20  # held at once: 8 MiB, which stay in the cache
GATHERED = 2**17  # numbers of candidates held at once: 1 MiB
MARGIN = 8  # candidates beyond those asked for
GROUP = 32  # columns of which only the largest is looked at first


def check_k(k: int, size: int) -> None:
    """Raise `HyperparameterError` if a bank of `size` rows has no k-th neighbour."""
    if k > size:
        raise HyperparameterError(f"k: expected at most the number of training images, {size}, got {k}")


def kth_distance(
    queries: Tensor, bank: Tensor, k: int, search: torch.dtype = torch.float64, at_once: int | None = None
) -> Tensor:
    """Euclidean distance of queries (N, D) to the k-th nearest row, counted from 1, of a bank (M, D): (N,).

    Both are float64; `search` is the type in which candidates are sought, and `at_once` how many distances
    are held. Distances are summed from differences: the identity with inner products loses half of the digits
    where the distance is small, and the probabilities of a confident network differ by less than that.
    """
    half = bank.square().sum(dim=1) / 2  # (M,): the nearest row has the largest ⟨q, b⟩ - |b|²/2
    rows = max(1, (at_once or DISTANCES) // len(bank))
    cast, offset = bank.to(search), half.to(search)
    reach = (2 * half.max()).sqrt()

    def nearest(block: Tensor, cast: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
        closeness = torch.addmm(offset, block.to(cast.dtype), cast.T, beta=-1)  # (n, M)
        values, found = largest(closeness, min(k + MARGIN, len(bank)))
        unit = torch.finfo(cast.dtype).eps * (8 + math.sqrt(bank.shape[1]))
        slack = 2 * unit * reach * (torch.linalg.vector_norm(block, dim=1) + reach)  # (n,)
        kth = values[:, k - 1].double()
        distance = _distances(block, bank, found[:, k - 1 : k])[:, 0]
        # The k-th is certain if no other candidate is as close as rounding could make it.
        near = (values.double() - kth[:, None]).abs() <= slack[:, None]
        rivals = (near.sum(dim=1) > 1).nonzero()[:, 0]
        first = max(0, k - 1 - MARGIN)
        open_above = near[:, first] if first > 0 else torch.zeros_like(near[:, 0])
        open_below = near[:, -1] if values.shape[1] < len(bank) else torch.zeros_like(near[:, 0])
        among = _distances(block[rivals], bank, found[rivals, first:])
        distance[rivals] = torch.kthvalue(among, k - first, dim=1).values
        return distance, (open_above | open_below).nonzero()[:, 0]

    def one(block: Tensor) -> Tensor:
        distance, doubtful = nearest(block, cast, offset)
        if len(doubtful) and search != torch.float64:
            distance[doubtful], again = nearest(block[doubtful], bank, half)
            doubtful = doubtful[again]
        if len(doubtful):
            all_of_them = torch.cdist(block[doubtful], bank, compute_mode="donot_use_mm_for_euclid_dist")
            distance[doubtful] = torch.topk(all_of_them, k, dim=1, largest=False).values[:, -1]
        return distance

    return torch.cat([one(block) for block in torch.split(queries, rows)])


def largest_products(
    queries: Tensor, bank: Tensor, k: int, search: torch.dtype = torch.float64, at_once: int | None = None
) -> Tensor:
    """The k largest inner products of queries (N, D) with the rows of a bank (M, D): (N, k), descending.

    Arguments as for `kth_distance`.
    """
    rows = max(1, (at_once or DISTANCES) // len(bank))
    cast = bank.to(search)
    reach = torch.linalg.vector_norm(bank, dim=1).max()

    def one(block: Tensor) -> Tensor:
        if search == torch.float64:
            return largest(block @ bank.T, k)[0]
        values, found = largest(block.to(search) @ cast.T, min(k + MARGIN, len(bank)))
        among = _by_rows(lambda q, b: (b @ q[:, :, None])[:, :, 0], block, bank, found)
        best = torch.topk(among, k, dim=1).values
        if values.shape[1] < len(bank):
            unit = torch.finfo(search).eps * (8 + math.sqrt(bank.shape[1]))
            slack = 2 * unit * reach * torch.linalg.vector_norm(block, dim=1)  # (n,)
            doubtful = (values[:, -1] >= values[:, k - 1] - slack).nonzero()[:, 0]
            best[doubtful] = torch.topk(block[doubtful] @ bank.T, k, dim=1).values
        return best

    return torch.cat([one(block) for block in torch.split(queries, rows)])


def largest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row of values (N, M), descending, and their columns, as `torch.topk` gives them.

    Each of them lies in one of the k groups of columns whose largest are largest, and few columns are left.
    """
    grouped = values.shape[1] // GROUP * GROUP
    if k * GROUP * 2 > grouped:
        return torch.topk(values, k, dim=1)
    groups = values[:, :grouped].view(len(values), grouped // GROUP, GROUP)
    of_group = torch.topk(groups.amax(dim=2), k, dim=1).indices  # (N, k)
    columns = (of_group[:, :, None] * GROUP + torch.arange(GROUP, device=values.device)).flatten(1)
    rest = torch.arange(grouped, values.shape[1], device=values.device).expand(len(values), -1)
    columns = torch.cat([columns, rest], dim=1)
    found = torch.topk(values.gather(1, columns), k, dim=1)
    return found.values, columns.gather(1, found.indices)


def _distances(queries: Tensor, bank: Tensor, found: Tensor) -> Tensor:
    return _by_rows(lambda q, b: torch.linalg.vector_norm(q[:, None] - b, dim=2), queries, bank, found)


def _by_rows(
    measure: Callable[[Tensor, Tensor], Tensor], queries: Tensor, bank: Tensor, found: Tensor
) -> Tensor:
    """`measure` of queries (n, D) and the rows found for each, (n, c, D): (n, c), a few queries at a time."""
    rows = max(1, GATHERED // (found.shape[1] * bank.shape[1]))
    parts = [
        measure(q, bank[f]) for q, f in zip(torch.split(queries, rows), torch.split(found, rows), strict=True)
    ]
    return torch.cat(parts)

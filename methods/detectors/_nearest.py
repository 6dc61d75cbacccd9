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
from methods.detectors._rows import Rows

DISTANCES = 2**20  # held at once: 8 MiB, which stay in the cache
QUERIES = 4096  # whose candidates are held at once: a bank in many blocks is read once for all of them
GATHERED = 2**17  # numbers of candidates held at once: 1 MiB
MARGIN = 8  # candidates beyond those asked for
GROUP = 32  # columns of which only the largest is looked at first

Measure = Callable[[Tensor], Tensor]


def check_k(k: int, size: int) -> None:
    """Raise `HyperparameterError` if a bank of `size` rows has no k-th neighbour."""
    if k > size:
        raise HyperparameterError(f"k: expected at most the number of training images, {size}, got {k}")


def kth_distance(
    queries: Tensor, bank: Rows, k: int, search: torch.dtype = torch.float64, at_once: int | None = None
) -> Tensor:
    """Euclidean distance of queries (N, D) to the k-th nearest row, counted from 1, of a bank (M, D): (N,).

    Queries are float64; `search` is the type in which candidates are sought, and `at_once` how many distances
    are held. Distances are summed from differences: the identity with inner products loses half of the digits
    where the distance is small, and the probabilities of a confident network differ by less than that.
    """

    def one(block: Tensor) -> Tensor:
        distance, doubtful = _kth_by_products(block, bank, k, search, at_once)
        if len(doubtful) and search != torch.float64:
            distance[doubtful], again = _kth_by_products(block[doubtful], bank, k, torch.float64, at_once)
            doubtful = doubtful[again]
        if len(doubtful):
            distance[doubtful] = -_search(block[doubtful], bank, k, _by_differences, at_once)[0][:, -1]
        return distance

    return torch.cat([one(block) for block in torch.split(queries, QUERIES)])


def _kth_by_products(
    queries: Tensor, bank: Rows, k: int, kind: torch.dtype, at_once: int | None
) -> tuple[Tensor, Tensor]:
    """The k-th distances (n,), and which of them the rounding of the search leaves open."""
    reach = queries.new_zeros(())

    def closeness(rows: Tensor) -> Measure:
        nonlocal reach
        half = rows.square().sum(dim=1) / 2  # (m,): the nearest row has the largest ⟨q, b⟩ - |b|²/2
        reach = torch.maximum(reach, (2 * half.max()).sqrt())
        cast, offset = rows.to(kind), half.to(kind)
        return lambda q: torch.addmm(offset, q.to(kind), cast.T, beta=-1)

    values, found = _search(queries, bank, min(k + MARGIN, len(bank)), closeness, at_once)
    unit = torch.finfo(kind).eps * (8 + math.sqrt(bank.width))
    slack = 2 * unit * reach * (torch.linalg.vector_norm(queries, dim=1) + reach)  # (n,)
    kth = values[:, k - 1].double()
    distance = _distances(queries, bank, found[:, k - 1 : k])[:, 0]
    # The k-th is certain if no other candidate is as close as rounding could make it.
    near = (values.double() - kth[:, None]).abs() <= slack[:, None]
    rivals = (near.sum(dim=1) > 1).nonzero()[:, 0]
    first = max(0, k - 1 - MARGIN)
    open_above = near[:, first] if first > 0 else torch.zeros_like(near[:, 0])
    open_below = near[:, -1] if values.shape[1] < len(bank) else torch.zeros_like(near[:, 0])
    among = _distances(queries[rivals], bank, found[rivals, first:])
    distance[rivals] = torch.kthvalue(among, k - first, dim=1).values
    return distance, (open_above | open_below).nonzero()[:, 0]


def _by_differences(rows: Tensor) -> Measure:
    return lambda q: -torch.cdist(q, rows, compute_mode="donot_use_mm_for_euclid_dist")


def largest_products(
    queries: Tensor, bank: Rows, k: int, search: torch.dtype = torch.float64, at_once: int | None = None
) -> Tensor:
    """The k largest inner products of queries (N, D) with the rows of a bank (M, D): (N, k), descending.

    Arguments as for `kth_distance`.
    """

    def one(block: Tensor) -> Tensor:
        reach = block.new_zeros(())

        def products(rows: Tensor) -> Measure:
            nonlocal reach
            reach = torch.maximum(reach, torch.linalg.vector_norm(rows, dim=1).max())
            cast = rows.to(search)
            return lambda q: q.to(search) @ cast.T

        if search == torch.float64:
            return _search(block, bank, k, products, at_once)[0]
        values, found = _search(block, bank, min(k + MARGIN, len(bank)), products, at_once)
        among = _by_rows(lambda q, b: (b @ q[:, :, None])[:, :, 0], block, bank, found)
        best = torch.topk(among, k, dim=1).values
        if values.shape[1] < len(bank):
            unit = torch.finfo(search).eps * (8 + math.sqrt(bank.width))
            slack = 2 * unit * reach * torch.linalg.vector_norm(block, dim=1)  # (n,)
            doubtful = (values[:, -1] >= values[:, k - 1] - slack).nonzero()[:, 0]
            if len(doubtful):
                best[doubtful] = largest_products(block[doubtful], bank, k, torch.float64, at_once)
        return best

    return torch.cat([one(block) for block in torch.split(queries, QUERIES)])


def _search(
    queries: Tensor, bank: Rows, count: int, closeness: Callable[[Tensor], Measure], at_once: int | None
) -> tuple[Tensor, Tensor]:
    """The `count` rows of a bank that are closest to each of queries (n, D): how close (n, count), and which.

    Closest first. `closeness` takes some rows (m, D) and returns what measures queries (n, D) against them,
    (n, m), larger for closer. Each block of the bank is read once.
    """
    best: tuple[Tensor, Tensor] | None = None
    start = 0
    for (rows,) in bank.blocks():
        measure = closeness(rows)
        parts = torch.split(queries, max(1, (at_once or DISTANCES) // len(rows)))
        found = [largest(measure(part), min(count, len(rows))) for part in parts]
        values, which = (torch.cat(column) for column in zip(*found, strict=True))
        which += start
        if best is not None:
            values, which = torch.cat([best[0], values], dim=1), torch.cat([best[1], which], dim=1)
            values, order = torch.topk(values, min(count, values.shape[1]), dim=1)
            which = which.gather(1, order)
        best = values, which
        start += len(rows)
    assert best is not None
    return best


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


def _distances(queries: Tensor, bank: Rows, found: Tensor) -> Tensor:
    return _by_rows(lambda q, b: torch.linalg.vector_norm(q[:, None] - b, dim=2), queries, bank, found)


def _by_rows(
    measure: Callable[[Tensor, Tensor], Tensor], queries: Tensor, bank: Rows, found: Tensor
) -> Tensor:
    """`measure` of queries (n, D) and the rows found for each, (n, c, D): (n, c), a few queries at a time."""
    rows = max(1, GATHERED // (found.shape[1] * bank.width))
    parts = zip(torch.split(queries, rows), torch.split(found, rows), strict=True)
    return torch.cat([measure(q, bank[f.flatten()].view(*f.shape, bank.width)) for q, f in parts])

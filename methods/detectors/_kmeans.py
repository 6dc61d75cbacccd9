"""k-means, for detectors of clusters: Lloyd's iterations from a k-means++ start.

Not a detector: files that begin with an underscore are not registered.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.detectors._rows import Rows

ITERATIONS = 100


def kmeans(rows: Rows, clusters: int, rng: torch.Generator) -> Tensor:
    """Cluster (N,) of each of rows (N, D), drawn from `rng` alone; no cluster is empty.

    A centre that loses its last row moves to the row that is farthest from its own centre.

    Raises
    ------
    ValueError
        If there are fewer different rows than clusters.
    """
    centres = _plus_plus(rows, clusters, rng)
    squares = rows.each(lambda h: h.square().sum(dim=1))
    assigned = squares.new_full((len(rows),), -1, dtype=torch.long)
    for _ in range(ITERATIONS):
        distances = rows.each(lambda h, sq, c=centres: _squared_distances(h, sq, c), squares)  # (N, K)
        nearest, found = distances.min(dim=1)
        found = _without_empty(found, nearest, clusters)
        if torch.equal(found, assigned):
            break
        assigned = found
        counts = torch.bincount(assigned, minlength=clusters)
        sums = torch.zeros_like(centres)
        for h, of in rows.blocks(assigned):
            sums.index_add_(0, of, h)
        centres = sums / counts[:, None]
    return assigned


def _plus_plus(rows: Rows, clusters: int, rng: torch.Generator) -> Tensor:
    first = int(torch.randint(len(rows), (1,), generator=rng))
    chosen = [first]
    distances = _from(rows, first)
    for _ in range(clusters - 1):
        total = distances.cumsum(dim=0)
        if total[-1] <= 0:
            raise ValueError(f"there are only {len(chosen)} different rows for {clusters} clusters")
        at = torch.rand(1, generator=rng, dtype=torch.float64).to(total) * total[-1]
        index = min(int(torch.searchsorted(total, at, right=True)), len(rows) - 1)
        chosen.append(index)
        distances = torch.minimum(distances, _from(rows, index))
    return rows[chosen]


def _from(rows: Rows, index: int) -> Tensor:
    """Squared distance (N,) of each row from that of an index."""
    at = rows[[index]]  # (1, D)
    return rows.each(lambda h: (h - at).square().sum(dim=1))


def _squared_distances(rows: Tensor, squares: Tensor, centres: Tensor) -> Tensor:
    return torch.addmm(squares[:, None] + centres.square().sum(dim=1), rows, centres.T, alpha=-2)


def _without_empty(assigned: Tensor, distances: Tensor, clusters: int) -> Tensor:
    counts = torch.bincount(assigned, minlength=clusters)
    for empty in (counts == 0).nonzero()[:, 0].tolist():
        spare = torch.where(counts[assigned] > 1, distances, -torch.inf)
        farthest = int(spare.argmax())
        counts[assigned[farthest]] -= 1
        counts[empty] += 1
        assigned[farthest] = empty
    return assigned

"""The order of pooled ID and OOD scores, counted: what `detection` computes its metrics from.

Written for speed: a few passes over blocks that stay in the processor's cache, next to one sort.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Bits = NDArray[Any]
"""Bit patterns of float32 or float64 numbers, as int32 or int64."""

Places = NDArray[np.int64]

_BLOCK = 1 << 16
"""Scores read at a time: the temporaries of a block stay in the processor's cache."""

_MANY_TIES = 1 / 4
"""Share of tied scores above which it is faster to count at the distinct scores than at every score."""


class Side(NamedTuple):
    """Counts of a block at its scores of one side: below it at an ID score, up to it at an OOD score."""

    own: Vector
    """Scores of the same side."""
    pooled: Vector
    """Scores of both sides."""
    times: Vector | None = None
    """Scores that the entry stands for; one each if None."""


def total_of(terms: Vector, times: Vector | None) -> float:
    """Sum over the scores of a side of the terms at its entries."""
    return float(np.sum(terms if times is None else terms * times))


def counted_blocks(id_vector: Vector, ood_vector: Vector) -> Iterator[tuple[int, int, Side, Side, float]]:
    """Sort the pooled scores and count along them, in blocks that no tied group straddles.

    Yields
    ------
    n_before, ids_before, ids, oods, tied_pairs : numbers of all and of ID scores before the block, counts at
        its ID and at its OOD scores, and its number of tied pairs of one ID and one OOD score.
    """
    bits = _merge(id_vector, ood_vector)
    few_groups = _tied_share(bits) > 15 / 16
    size = 8 * _BLOCK if few_groups else _BLOCK
    marks = bits[size::size]
    floats = f"f{bits.itemsize}"
    firsts = np.minimum((marks & -2).view(floats), (marks | 1).view(floats))  # of the tied groups there
    cuts = np.unique([0, *np.searchsorted(bits.view(floats), firsts), bits.size])
    steps: Vector = np.arange(0 if few_groups else 2 * _BLOCK + 1).astype(np.float64)
    ids_before = 0
    for start, stop in pairwise(cuts.tolist()):
        block = bits[start:stop]
        many = block.size >= steps.size or _tied_share(block) > _MANY_TIES
        ids, oods, tied_pairs = _at_groups(block) if many else _at_scores(block, steps)
        yield start, ids_before, ids, oods, tied_pairs
        ids_before += stop - start - (int(oods.own[-1]) if oods.own.size else 0)


def _tied_share(bits: Bits) -> float:
    """Estimate how many scores equal the next one: which way to count is faster, not what comes out."""
    step = bits.size // 1024 | 1  # odd: pairs must not fall in step with it
    tied = bits[1::step] >> 1 == bits[:-1:step] >> 1
    return float(np.count_nonzero(tied) / max(tied.size, 1))


def _at_groups(block: Bits) -> tuple[Side, Side, float]:
    """Count at the distinct scores."""
    ends = np.append(np.flatnonzero(block[1:] != block[:-1]), block.size - 1)
    runs = block[ends]  # tied scores of one side
    last = np.flatnonzero(np.append(runs[1:] >> 1 != runs[:-1] >> 1, True))
    pooled = np.append(0.0, ends[last] + 1)
    own = np.append(0.0, np.cumsum(np.diff(ends, prepend=-1) * (runs & 1))[last])
    oods = pooled - own
    new_ids, new_oods = np.diff(own), np.diff(oods)
    ids = Side(own[:-1], pooled[:-1], new_ids)
    return ids, Side(oods[1:], pooled[1:], new_oods), float(np.sum(new_ids * new_oods))


def _at_scores(block: Bits, steps: Vector) -> tuple[Side, Side, float]:
    """Count at every score as if all were distinct, then set the tied groups right; steps: 0, 1, 2, ..."""
    is_id = (block & 1).astype(np.bool_)
    at_id, at_ood = np.flatnonzero(is_id), np.flatnonzero(~is_id)
    ids = Side(steps[: at_id.size], at_id.astype(np.float64))
    oods = Side(steps[1 : 1 + at_ood.size], (at_ood + 1).astype(np.float64))
    ties_before = np.zeros(block.size + 1, np.bool_)
    np.less_equal((block[1:] ^ block[:-1]).view(f"u{block.itemsize}"), 1, out=ties_before[1:-1])
    edges = np.flatnonzero(ties_before[1:] != ties_before[:-1])  # first and last of each tied group
    if not edges.size:
        return ids, oods, 0.0
    first, stop = edges[::2], edges[1::2] + 1
    id_first, id_stop = np.searchsorted(at_id, first), np.searchsorted(at_id, stop)
    ood_first, ood_stop = first - id_first, stop - id_stop
    ids = _with_ties(ids, id_first, id_stop, id_first, first)
    oods = _with_ties(oods, ood_first, ood_stop, ood_stop, stop)
    return ids, oods, float(np.sum((id_stop - id_first) * (ood_stop - ood_first)))


def _with_ties(side: Side, first: Places, stop: Places, own: Places, pooled: Places) -> Side:
    """Set the entries from `first` up to `stop` of each tied group to the counts of the group."""
    sizes = stop - first
    ends = np.cumsum(sizes)
    members = np.repeat(stop - ends, sizes) + np.arange(ends[-1])
    result = Side(side.own.copy(), side.pooled)
    result.own[members] = np.repeat(own, sizes)
    result.pooled[members] = np.repeat(pooled, sizes)
    return result


def _merge(id_vector: Vector, ood_vector: Vector) -> Bits:
    """Sort the pooled scores, each carrying its side with it, so that no argsort is needed.

    Scaled by a power of two into (−1, 1), a float64 leaves bit 62, the top of its exponent, at zero. Moving
    the magnitude up into it frees the lowest bit, which then says ID; the order of the scores stays. Scores
    that are float32 numbers are taken as such, which sort in half the time.

    Returns
    -------
    (N,) bit patterns by ascending score: bit 0 is the side, the other bits are equal exactly at tied scores.
    """
    n_in, n = id_vector.size, id_vector.size + ood_vector.size
    largest = max(abs(float(edge)) for side in (id_vector, ood_vector) for edge in (side.min(), side.max()))
    scale = math.ldexp(1.0, -max(0, math.frexp(largest)[1]))
    narrow = _is_float32(id_vector) and _is_float32(ood_vector)
    floats, ints = (np.float32, np.int32) if narrow else (np.float64, np.int64)
    tagged = np.empty(n, floats)
    merged: Bits = tagged.view(ints)
    for side, place, is_id in ((id_vector, merged[:n_in], True), (ood_vector, merged[n_in:], False)):
        for start in range(0, side.size, _BLOCK):
            source, target = side[start : start + _BLOCK] * scale, place[start : start + _BLOCK]
            bits = source.astype(floats, copy=False).view(ints)
            np.bitwise_and(bits, np.iinfo(ints).max, out=target)
            target += bits  # sign + 2 · magnitude
            if is_id:
                target |= 1
    tagged.sort()
    tiny = floats(4 * float(np.finfo(floats).tiny))
    zeros = tagged[np.searchsorted(tagged, -tiny) : np.searchsorted(tagged, tiny)]
    if zeros.size and zeros.size != np.count_nonzero(id_vector == 0) + np.count_nonzero(ood_vector == 0):
        # Scaling may have rounded a tiny score; the ranks of the distinct scores have the same order.
        _, ranks = np.unique(np.concatenate([id_vector, ood_vector]), return_inverse=True)
        return _merge(ranks[:n_in].astype(np.float64), ranks[n_in:].astype(np.float64))
    np.abs(zeros, out=zeros)  # −0 equals +0
    return merged


def _is_float32(vector: Vector) -> bool:
    with np.errstate(over="ignore"):
        blocks = (vector[start : start + _BLOCK] for start in range(0, vector.size, _BLOCK))
        return all(np.array_equal(block, block.astype(np.float32)) for block in blocks)

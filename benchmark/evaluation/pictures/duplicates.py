"""Images of one set that are, exactly or nearly, images of another, found by their hashes.

Near hashes are compared by multi-index hashing: M. Norouzi, A. Punjani, D. J. Fleet, "Fast Search in Hamming
Space with Multi-Index Hashing", CVPR 2012. Of two codes that differ in at most d bits, one of four parts of
16 bits differs in at most d // 4: candidates are looked up by each part, and compared. Memory is bounded by
a block of candidates, whatever the sizes of the sets.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from benchmark.evaluation.pictures.hashes import Codes

DISTANCE = 6  # bits: docs/evaluate_images.md has what it finds, and what it takes for one by chance
LOOKALIKES = 0.03  # share of a set that may resemble others of it, where a distance is to be used
_PARTS, _PART = 4, 16
_VALUES = 1 << _PART
_BLOCK = 1 << 21  # candidates that are compared at a time

Hashes = tuple[Codes, Codes]
"""Exact and near hashes of a set, each (N,)."""


def overlapping(known: Hashes, other: Hashes, distance: int = DISTANCE) -> NDArray[np.bool_]:
    """Which images of another set are images of a known one.

    Parameters
    ----------
    known, other : tuple of uint64 arrays
        Exact and near hashes, (N,) each and (M,) each.
    distance : int
        Bits in which near hashes may differ; negative compares exact ones alone.

    Returns
    -------
    bool array (M,)
    """
    return matched(known, other, distance) >= 0


def matched(known: Hashes, other: Hashes, distance: int = DISTANCE) -> NDArray[np.int64]:
    """Which known image each of another set is, (M,): the first equal one, else a near one, else -1."""
    near = np.full(len(other[1]), -1, dtype=np.int64)
    if distance >= 0 and len(known[1]) and len(other[1]):
        codes, first = np.unique(known[1], return_index=True)
        asked, back = np.unique(other[1], return_inverse=True)
        best = np.full(len(asked), len(known[1]), dtype=np.int64)
        for i, j in _pairs(codes, asked, distance):
            np.minimum.at(best, j, first[i])
        near = np.where(best < len(known[1]), best, -1)[back.ravel()]
    same = _first_equal(known[0], other[0])
    return np.where(same >= 0, same, near)


def usable_distance(known: Hashes, distance: int = DISTANCE) -> int:
    """The largest distance, up to `distance`, that tells the pictures of a set apart; -1 if none does.

    Digits on black look alike to a near hash though they are different pictures. A distance at which more
    than `LOOKALIKES` of the set's own images have another one of other pixels close by says nothing of
    overlaps with other sets. A set with many true near-duplicates, such as a video's frames, is refused too.
    """
    exact, near = known
    _, firsts = np.unique(exact, return_index=True)
    codes, counts = np.unique(near[firsts], return_counts=True)
    least = np.where(counts > 1, 0, 65)  # bits to the closest picture of other pixels
    for i, j in _pairs(codes, codes, distance) if distance >= 0 else ():
        apart = i != j
        np.minimum.at(least, j[apart], _differing(codes[i[apart]], codes[j[apart]]))
    shares = [float(counts[least <= d].sum()) / max(1, len(firsts)) for d in range(distance + 1)]
    return max((d for d, share in enumerate(shares) if share <= LOOKALIKES), default=-1)


def _first_equal(known: Codes, other: Codes) -> NDArray[np.int64]:
    if not len(known):
        return np.full(len(other), -1, dtype=np.int64)
    values, first = np.unique(known, return_index=True)
    place = np.minimum(np.searchsorted(values, other), len(values) - 1)
    return np.where(values[place] == other, first[place], -1).astype(np.int64)


def _pairs(
    codes: Codes, asked: Codes, distance: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs (i, j) of codes[i] and asked[j] that differ in at most `distance` bits, some repeatedly."""
    for part in range(_PARTS):
        shift = np.uint64(part * _PART)
        keys = ((codes >> shift) & np.uint64(_VALUES - 1)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        starts = np.searchsorted(keys[order], np.arange(_VALUES + 1))
        wanted = ((asked >> shift) & np.uint64(_VALUES - 1)).astype(np.int64)
        for mask in _masks(distance // _PARTS):
            begin, end = starts[wanted ^ mask], starts[(wanted ^ mask) + 1]
            found = np.flatnonzero(end > begin)
            for chunk in _blocks(found, end - begin):
                counts = (end - begin)[chunk]
                j = np.repeat(chunk, counts)
                inside = np.arange(len(j)) - np.repeat(np.cumsum(counts) - counts, counts)
                i = order[np.repeat(begin[chunk], counts) + inside]
                close = _differing(codes[i], asked[j]) <= distance
                yield i[close], j[close]


def _blocks(found: NDArray[np.int64], counts: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cut `found` where its candidates add up to a block; a code with more is a block of its own."""
    total = np.cumsum(counts[found])
    at = 0
    while at < len(found):
        before = total[at - 1] if at else 0
        after = max(at + 1, int(np.searchsorted(total, before + _BLOCK, side="right")))
        yield found[at:after]
        at = after


def _masks(bits: int) -> list[int]:
    """The values of a part that have at most so many bits."""
    most = min(bits, _PART)
    return [sum(1 << p for p in chosen) for n in range(most + 1) for chosen in combinations(range(_PART), n)]


# NumPy 1.26 cannot count bits.
_ONES = (
    np.unpackbits(np.arange(_VALUES, dtype=np.uint16).view(np.uint8))
    .reshape(-1, _PART)
    .sum(1, dtype=np.uint8)
)


def _differing(a: Codes, b: Codes) -> NDArray[np.int64]:
    parts = np.ascontiguousarray(a ^ b).view(np.uint16).reshape(-1, _PARTS)
    bits: NDArray[np.int64] = _ONES[parts].sum(axis=1, dtype=np.int64)
    return bits

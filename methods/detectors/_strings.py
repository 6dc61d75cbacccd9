"""Feature maps as strings: a scan, a quantiser, the complexity of strings and their distance (spec §1.13).

A map of C channels and S positions becomes C strings of S symbols each. All channels of all images go through
every step together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SWEEPS = 10  # of Lloyd's iteration, at most
LEAST_GAIN = 0.1  # it stops where a sweep lowers the mean squared error by less than this share
FLOOR = 1e-14  # a squared error below this share of the squared values is rounding
VALUES_AT_ONCE = 1 << 22  # 32 MiB of float64
STRINGS_AT_ONCE = 2048  # parsed in step: enough to hide the cost of a step, few enough to stay near the cache
Ints = NDArray[np.integer[Any]]


@cache
def gilbert_order(height: int, width: int) -> Tensor:
    """Order the positions of a map along the generalised Hilbert curve: (H·W,) row-major indices.

    Neighbours on the curve are neighbours in the map (a diagonal step is needed for some odd sizes).
    """
    walk = (
        _gilbert((0, 0), (0, width), (height, 0))
        if width >= height
        else _gilbert((0, 0), (height, 0), (0, width))
    )
    return torch.tensor([row * width + column for row, column in walk])


Vector = tuple[int, int]


def _gilbert(at: Vector, a: Vector, b: Vector) -> Iterator[Vector]:
    """Walk the parallelogram at `at` of sides a (along which the walk goes) and b."""
    w, h = abs(sum(a)), abs(sum(b))
    da, db = _unit(a), _unit(b)
    if h == 1 or w == 1:
        along, steps = (da, w) if h == 1 else (db, h)
        yield from (_plus(at, along, times=i) for i in range(steps))
        return
    half_a, half_b = (a[0] // 2, a[1] // 2), (b[0] // 2, b[1] // 2)
    if 2 * w > 3 * h:
        if sum(half_a) % 2 and w > 2:
            half_a = _plus(half_a, da)
        yield from _gilbert(at, half_a, b)
        yield from _gilbert(_plus(at, half_a), _plus(a, half_a, times=-1), b)
        return
    if sum(half_b) % 2 and h > 2:
        half_b = _plus(half_b, db)
    yield from _gilbert(at, half_b, half_a)
    yield from _gilbert(_plus(at, half_b), a, _plus(b, half_b, times=-1))
    last = _plus(_plus(_plus(_plus(at, a), da, times=-1), half_b), db, times=-1)
    yield from _gilbert(last, (-half_b[0], -half_b[1]), _plus(half_a, a, times=-1))


def _plus(a: Vector, b: Vector, times: int = 1) -> Vector:
    return a[0] + times * b[0], a[1] + times * b[1]


def _unit(a: Vector) -> Vector:
    return (a[0] > 0) - (a[0] < 0), (a[1] > 0) - (a[1] < 0)


def lloyd_max(maps: Tensor, levels: int) -> Tensor:
    r"""Levels of each channel of maps (N, C, ...) by Lloyd's iteration: (C, L) float64, ascending.

    The first levels are :math:`\min + (i + \tfrac12) / L \cdot (\max - \min)`. A sweep assigns every value to
    its nearest level and moves each level to the mean of its values; a level without values stays. A channel
    stops where a sweep gains too little, and at the latest after ten.
    """
    parts = torch.split(maps, max(1, VALUES_AT_ONCE // maps[:, 0].numel()), dim=1)
    return torch.cat([_lloyd(part.transpose(0, 1).flatten(1).double(), levels) for part in parts])


def _lloyd(values: Tensor, levels: int) -> Tensor:
    low, high = values.amin(dim=1, keepdim=True), values.amax(dim=1, keepdim=True)
    current = low + (torch.arange(levels).to(values) + 0.5) / levels * (high - low)  # (C, L)
    total, squares = values.sum(dim=1), values.square().sum(dim=1)
    everything = torch.full_like(total, values.shape[1])
    error, going = torch.full_like(total, torch.inf), torch.ones_like(total, dtype=torch.bool)
    for _ in range(SWEEPS):
        above = [values > bound[:, None] for bound in midpoints(current).unbind(dim=1)]
        counts = _steps(everything, [a.sum(dim=1).double() for a in above])  # (C, L)
        sums = _steps(total, [torch.where(a, values, 0.0).sum(dim=1) for a in above])
        previous, error = error, squares + (current * (counts * current - 2 * sums)).sum(dim=1)
        going = going & (error < (1 - LEAST_GAIN) * previous) & (error > FLOOR * squares)
        if not going.any():
            break
        means = torch.where(counts > 0, sums / counts, current)
        current = torch.where(going[:, None], means, current)
    return current


def _steps(everything: Tensor, above: list[Tensor]) -> Tensor:
    """What lies between consecutive bounds, of what lies above each of them."""
    heights = torch.stack([everything, *above, torch.zeros_like(everything)], dim=1)
    return heights[:, :-1] - heights[:, 1:]


def midpoints(levels: Tensor) -> Tensor:
    """Bounds between ascending levels (C, L): (C, L - 1)."""
    return (levels[:, 1:] + levels[:, :-1]) / 2


def quantise(maps: Tensor, levels: Tensor) -> Tensor:
    """Index of the nearest of the levels (C, L) of each value of maps (N, C, S), the lower of two: uint8."""
    rows = max(1, VALUES_AT_ONCE // max(1, maps[:1].numel()))
    return torch.cat([_exceeded(part, midpoints(levels)) for part in torch.split(maps, rows)])


def _exceeded(maps: Tensor, bounds: Tensor) -> Tensor:
    """How many of its channel's bounds (C, B) each value of maps (..., C, S) exceeds."""
    symbols = maps.new_zeros(maps.shape, dtype=torch.uint8)
    for bound in bounds.unbind(dim=1):
        symbols += maps > bound[:, None]
    return symbols


def prototypes(mean_maps: Tensor, strings: Tensor, levels: int) -> Tensor:
    r"""Write mean training maps (C, S) with symbols as frequent as in training strings (N, C, S).

    With :math:`\phi_l` the frequency of symbol l in a channel's strings,
    :math:`T_l = \mathrm{round}(S \sum_{j \le l} \phi_j)`, at most S - 1, and :math:`\theta_l` the value of
    rank :math:`T_l`, counted from 0, of the channel's mean map, a symbol is the number of :math:`\theta_l`
    below the value. Returns (C, S) uint8.
    """
    images, _, size = strings.shape
    up_to = torch.stack(
        [(strings <= symbol).sum(dim=(0, 2)) for symbol in range(levels - 1)], dim=1
    )  # (C, L-1)
    ranks = (up_to.double() / images).round().long().clamp_max(size - 1)
    return _exceeded(mean_maps, mean_maps.sort(dim=1).values.gather(1, ranks))


def complexities(strings: Tensor, levels: int) -> Tensor:
    """One more than the number of whole phrases in the LZ parse of each of strings (B, S): (B,) int64."""
    tries = _Tries.empty(len(strings), strings.shape[1], levels)
    return torch.from_numpy(tries.parse(strings.T.cpu().numpy()) + 1).to(strings.device)


def compression_distances(strings: Tensor, prototype: Tensor, levels: int) -> Tensor:
    r"""Distance by compression of strings (N, C, S) to their channel's prototype (C, S): (N, C) float64.

    .. math::
        \mathrm{NCD}(a, b) = \frac{\min(c(ab), c(ba)) - \min(c(a), c(b))}{\max(c(a), c(b))}

    with c the complexity and a the prototype. Cost: 3 S steps of a few operations on all strings.
    """
    channels, size = prototype.shape
    a = prototype.T.cpu().numpy()  # (S, C)
    after_a = _Tries.empty(channels, 2 * size, levels)
    phrases_a = after_a.parse(a)
    found = []
    for part in torch.split(strings, max(1, STRINGS_AT_ONCE // channels)):
        n = len(part)
        b = part.permute(2, 0, 1).reshape(size, n * channels).cpu().numpy()  # (S, N C)
        more_ab = after_a.repeated(n).parse(b)
        tries = _Tries.empty(n * channels, 2 * size, levels)
        phrases_b = tries.parse(b)
        more_ba = tries.parse(np.tile(a, (1, n)))
        c_a, c_b = np.tile(phrases_a, n) + 1, phrases_b + 1
        c_both = np.minimum(c_a + more_ab, c_b + more_ba)
        found.append((c_both - np.minimum(c_a, c_b)) / np.maximum(c_a, c_b))
    return torch.from_numpy(np.concatenate(found).reshape(len(strings), channels)).to(strings.device)


@dataclass
class _Tries:
    """One trie a string, all of which are parsed in step.

    A node is the place of its first child in its trie; a child that is not there is 0, which is the root, so
    that a walk that falls off the trie is back at the root. New nodes take the places from the top down. Of
    the child that is there and the place of a new one, the larger is therefore what is there after a step.
    """

    children: Ints  # (B, T)
    node: Ints  # (B,) where each parse stands
    free: Ints  # (B,) place of the next new node
    levels: int

    @classmethod
    def empty(cls, strings: int, symbols: int, levels: int) -> Self:
        """Make tries with room for strings of so many symbols."""
        top = levels * most_phrases(symbols, levels)
        kind = np.int16 if top + levels <= np.iinfo(np.int16).max else np.int32
        children = np.zeros((strings, top + levels), kind)
        return cls(children, np.zeros(strings, kind), np.full(strings, top, kind), levels)

    def repeated(self, times: int) -> _Tries:
        """Copy all tries, as they stand, that many times."""
        tiled = (np.tile(self.children, (times, 1)), np.tile(self.node, times), np.tile(self.free, times))
        return _Tries(*tiled, self.levels)

    def parse(self, symbols: Ints) -> Ints:
        """Parse the next symbols (S, B) of each string and count the phrases that end there: (B,) int64."""
        flat, node, free = self.children.reshape(-1), self.node, self.free.copy()
        places = symbols.astype(np.int64, order="C")  # a step is one row
        places += self.children.shape[1] * np.arange(len(node))
        width = free.dtype.type(self.levels)
        for place in places:
            place += node
            node = flat[place]
            flat[place] = np.maximum(node, free)
            free -= (node == 0) * width
        phrases = (self.free.astype(np.int64) - free) // self.levels
        self.node, self.free = node, free
        return phrases


def most_phrases(symbols: int, levels: int) -> int:
    """How many whole phrases a string of so many symbols can have at most: all are different words."""
    phrases, length = 0, 1
    while symbols >= length:
        more = min(levels**length, symbols // length)
        phrases, symbols, length = phrases + more, symbols - more * length, length + 1
    return phrases

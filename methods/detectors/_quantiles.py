"""Quantiles of more numbers than can be sorted at once, exact, interpolated as NumPy's are.

What lies at a rank is found in the numbers' own type and widened to float64 then. Not a detector: files that
begin with an underscore are not registered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

SORTED = 2**27  # numbers that are sorted at once: 512 MiB in float32
COUNTED = 2**20  # numbers that are counted at once
DIGIT = 16  # bits by which numbers are told apart in one pass over them


def quantiles(rows: Tensor, shares: Sequence[float]) -> Tensor:
    """Quantiles of all numbers of rows (N, D) together: (S,) float64, for shares from 0 to 1."""
    if rows.numel() <= SORTED:
        return feature_quantiles(rows.reshape(-1, 1), shares)[:, 0]
    return _between(_of_ranks(rows, _neighbours(rows.numel(), shares)), rows.numel(), shares)


def feature_quantiles(rows: Tensor, shares: Sequence[float]) -> Tensor:
    """Quantiles of each column of rows (N, D), some columns at a time: (S, D) float64."""
    ranks = _neighbours(len(rows), shares)
    columns = torch.split(rows, max(1, SORTED // max(1, len(rows))), dim=1)
    found = torch.cat([_sorted_at(part.T.contiguous(), ranks) for part in columns])  # (D, 2 S)
    return _between(found.T, len(rows), shares)


def _neighbours(count: int, shares: Sequence[float]) -> list[int]:
    """Pairs of ranks, from 0, between which each quantile of so many numbers lies."""
    lower = [math.floor((count - 1) * share) for share in shares]
    return [min(low + step, count - 1) for low in lower for step in (0, 1)]


def _between(found: Tensor, count: int, shares: Sequence[float]) -> Tensor:
    """What lies between the neighbours (2 S, ...) of each quantile: (S, ...) float64."""
    results = []
    for pair, share in zip(torch.split(found.double(), 2), shares, strict=True):
        weight = math.modf((count - 1) * share)[0]
        gap = pair[1] - pair[0]
        # From the nearer end, as NumPy does.
        results.append(pair[0] + gap * weight if weight < 0.5 else pair[1] - gap * (1 - weight))
    return torch.stack(results)


def _sorted_at(values: Tensor, ranks: list[int]) -> Tensor:
    """What lies at these ranks of each of several sets of numbers (D, N): (D, R)."""
    if values.device.type == "cpu":
        # NumPy selects with vector instructions, many times faster than torch sorts.
        return torch.from_numpy(np.partition(values.numpy(), ranks, axis=1)[:, ranks])
    return values.sort(dim=1).values[:, ranks]


def _of_ranks(rows: Tensor, ranks: Sequence[int]) -> Tensor:
    """What lies at these ranks of all numbers of rows (N, D): (R,), in a pass for each 16 bits of their type.

    Keys are in the order of the numbers. A pass counts, of the numbers whose keys begin with the digits found
    so far, how many have which next digit.
    """
    bits, kind = (32, torch.int32) if rows.dtype == torch.float32 else (64, torch.int64)
    left = list(ranks)  # ranks among the numbers that begin with the digits found
    first = [-(1 << DIGIT - 1)] * len(left)  # the least key that begins with them
    for shift in range(bits - DIGIT, -1, -DIGIT):
        counts = {low: torch.zeros(1 << DIGIT, dtype=torch.long, device=rows.device) for low in first}
        for block in torch.split(rows, max(1, COUNTED // max(1, rows.shape[1]))):
            keys = _flipped(block.flatten().view(kind), bits) >> shift
            for low, count in counts.items():
                digits = keys - low
                own = digits[(digits >= 0) & (digits < 1 << DIGIT)]
                count += torch.bincount(own, minlength=1 << DIGIT)
        for i, low in enumerate(first):
            up_to = counts[low].cumsum(0)
            digit = int(torch.searchsorted(up_to, left[i], right=True))
            left[i] -= int(up_to[digit] - counts[low][digit])
            first[i] = (low + digit) << (DIGIT if shift else 0)
    return _flipped(torch.tensor(first, dtype=kind, device=rows.device), bits).view(rows.dtype)


def _flipped(whole: Tensor, bits: int) -> Tensor:
    """Bits of floating numbers as keys in their order, or the other way: those of negative ones turned."""
    return whole ^ ((whole >> bits - 1) & (1 << bits - 1) - 1)

"""Scores a few rows at a time, so that what is computed on the way stays in the processor's cache.

A whole set at a time, every intermediate result would be written to memory and read from there again, which
takes longer than the arithmetic. Not a detector: files that begin with an underscore are not registered.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

AT_ONCE = 2**18  # numbers of the widest column


def by_blocks(score: Callable[..., Tensor], *columns: Tensor) -> Tensor:
    """Put together what `score` gives for some rows of each column, (n, ...): (N,)."""
    rows = max(1, AT_ONCE // max(1, *(column[:1].numel() for column in columns)))
    blocks = zip(*(torch.split(column, rows) for column in columns), strict=True)
    first = score(*next(blocks))
    if len(first) == len(columns[0]):
        return first
    if first.requires_grad:
        return torch.cat([first, *(score(*block) for block in blocks)])
    # Small results that are kept between large ones that are not would keep memory from being used again.
    found, done = first.new_empty(len(columns[0])), len(first)
    found[:done] = first
    for block in blocks:
        part = score(*block)
        found[done : done + len(part)] = part
        done += len(part)
    return found


def log_sum_exp(logits: Tensor) -> Tensor:
    """Log of the summed exponentials of finite logits (K, n): (n,)."""
    largest = logits.amax(dim=0)
    return (logits - largest).exp_().sum(dim=0).log() + largest


def working_type(features: Tensor) -> torch.dtype:
    """In which products of features are taken: float32 of float32 numbers, and else float64.

    Their rounding is that of the features themselves, which a network computed in the same type. What follows
    from the products, where differences and small probabilities count, is for float64.
    """
    return torch.float32 if features.dtype == torch.float32 else torch.float64


def classes_first(logits: Tensor) -> Tensor:
    """Logits (n, K) as (K, n) float64: what is summed over few classes is then summed along memory."""
    return logits.T.to(torch.float64, memory_format=torch.contiguous_format)


def head_logits(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Logits of features (n, D), weight (K, D), bias (K,) of one type, as (K, n) float64."""
    return torch.addmm(bias[:, None], weight, h.T).double()


def largest_of_each(rows: Tensor, k: int) -> Tensor:
    """The k largest numbers of each row (n, D): (n, k), in no certain order but for the least, the first."""
    if rows.device.type == "cpu" and not rows.requires_grad:
        # NumPy sorts rows with vector instructions, some ten times faster than torch selects from them.
        return torch.from_numpy(np.sort(rows.numpy(), axis=1)[:, rows.shape[1] - k :])
    return torch.topk(rows, k, dim=1).values.flip(1)

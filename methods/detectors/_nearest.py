"""The k-th nearest neighbour without normalisation, for the paired study of logits and probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.base import HyperparameterError

DISTANCES = 2**24  # held at once: 128 MiB


def check_k(k: int, size: int) -> None:
    """Raise `HyperparameterError` if a bank of `size` rows has no k-th neighbour."""
    if k > size:
        raise HyperparameterError(f"k: expected at most the number of training images, {size}, got {k}")


def kth_distance(queries: Tensor, bank: Tensor, k: int) -> Tensor:
    """Euclidean distance of queries (N, K) to the k-th nearest row, counted from 1, of a bank (M, K): (N,).

    Distances are summed from differences: the identity with inner products loses half of the digits where the
    distance is small, and the probabilities of a confident network differ by less than that.
    """
    rows = max(1, DISTANCES // len(bank))
    return torch.cat([_block(block, bank, k) for block in torch.split(queries, rows)])


def _block(queries: Tensor, bank: Tensor, k: int) -> Tensor:
    distances = torch.cdist(queries, bank, compute_mode="donot_use_mm_for_euclid_dist")  # (n, M)
    return torch.kthvalue(distances, k, dim=1).values

"""What noise models share that confuse a class with one other."""

from __future__ import annotations

import torch
from torch import Tensor


def flipped(partners: Tensor, strength: float) -> Tensor:
    """(K, K) float64: 1 - p on the diagonal, p at each row's partner, an index of another class (K,)."""
    classes = len(partners)
    matrix = (1 - strength) * torch.eye(classes, dtype=torch.float64)
    matrix[torch.arange(classes), partners] = strength
    return matrix

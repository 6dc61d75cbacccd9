"""What objectives that mix images share."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from methods.objectives._precision import widened


def numpy_rng(rng: torch.Generator) -> np.random.Generator:
    """Make a generator of NumPy, which draws from Beta distributions, from one number of torch's."""
    return np.random.default_rng(int(torch.randint(2**62, (), generator=rng)))


def mixed_cross_entropy(logits: Tensor, labels: Tensor, partners: Tensor, share: float) -> Tensor:
    """Scalar cross-entropy of logits (B, K): `share` of it to labels (B,), the rest to the partners' (B,)."""
    logits = widened(logits)
    own, other = functional.cross_entropy(logits, labels), functional.cross_entropy(logits, partners)
    return share * own + (1 - share) * other


def check_alpha(alpha: float) -> None:
    """Check the parameter of a Beta distribution."""
    if not 0 < alpha < math.inf:
        raise ValueError(f"alpha: expected a finite number above 0, got {alpha}")

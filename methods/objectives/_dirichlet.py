"""Dirichlet distributions over class probabilities, for prior networks."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

LOWEST, HIGHEST = math.log(1e-8), 20.0  # of a logit
CONCENTRATION = 100.0  # published


def concentrations(logits: Tensor) -> Tensor:
    """Concentrations α = exp(z) of logits (N, K), in float64: (N, K), from 1e-8 to e^20.

    A logit beyond those bounds counts as the bound. Its gradient is that at the bound and not zero, so that
    training can bring it back.
    """
    exact = logits.double()
    return torch.exp(exact.detach().clamp(LOWEST, HIGHEST) + (exact - exact.detach()))


def flat(logits: Tensor) -> Tensor:
    """Target of outliers: every concentration is 1, so that all predictions are equally likely. (N, K)."""
    return torch.ones_like(logits, dtype=torch.float64)


def sharp(labels: Tensor, classes: int, concentration: float, smoothing: float = 0.0) -> Tensor:
    """Target of images: 1, and `concentration` more at the label. (N, K).

    The part `smoothing` of that goes to all classes alike, the label's included.
    """
    one_hot = functional.one_hot(labels, classes).double()
    return 1 + concentration * ((1 - smoothing) * one_hot + smoothing / classes)


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """KL(Dir(first) ‖ Dir(second)) for each row of concentrations (N, K): (N,)."""
    total = first.sum(dim=1)
    terms = torch.lgamma(second) - torch.lgamma(first)
    terms = terms + (first - second) * (torch.digamma(first) - torch.digamma(total)[:, None])
    return torch.lgamma(total) - torch.lgamma(second.sum(dim=1)) + terms.sum(dim=1)


def check(gamma: float, concentration: float) -> None:
    """Check the hyper-parameters that prior networks share."""
    if not 0 <= gamma < math.inf:
        raise ValueError(f"gamma: expected a finite number of at least 0, got {gamma}")
    if not 0 < concentration < math.inf:
        raise ValueError(f"concentration: expected a finite number above 0, got {concentration}")

"""Uniform noise: some labels are replaced by any class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.label_noise import NoiseModel
from methods.noise_models._papers import GLC
from methods.registry import register


@register("uniform")
@dataclass(frozen=True)
class Uniform(NoiseModel):
    r"""A label is replaced with probability p by a class drawn from all K (Hendrycks et al. 2018).

    .. math:: C = \frac{p}{K} \mathbf{1} \mathbf{1}^T + (1 - p) I

    At p = 1 a label tells nothing of its image. The draw may give the true class again: the share of wrong
    labels is :math:`p (K - 1) / K`. `uniform_patrini` has p of them wrong instead.

    Deviations from the paper: none.
    """

    paper = GLC

    def matrix(self, classes: int, strength: float, rng: torch.Generator) -> Tensor:
        """(K, K) float64; draws nothing."""
        self._check(classes, strength)
        identity = torch.eye(classes, dtype=torch.float64)
        return strength / classes + (1 - strength) * identity

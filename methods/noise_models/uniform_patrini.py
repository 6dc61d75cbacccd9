"""Uniform noise over the wrong classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.label_noise import NoiseModel
from methods.noise_models._papers import FORWARD
from methods.registry import register


@register("uniform_patrini")
@dataclass(frozen=True)
class UniformPatrini(NoiseModel):
    r"""A label is wrong with probability p, and each wrong class as likely (Patrini et al. 2017).

    .. math:: C_{ii} = 1 - p, \qquad C_{ij} = \frac{p}{K - 1}, \; j \ne i

    Pure chance is at :math:`p = (K - 1) / K`; beyond it the true class is the least likely label. `uniform`
    with :math:`p K / (K - 1)` is the same noise.

    Deviations from the paper: none.
    """

    paper = FORWARD

    def matrix(self, classes: int, strength: float, rng: torch.Generator) -> Tensor:
        """(K, K) float64; draws nothing."""
        self._check(classes, strength)
        identity = torch.eye(classes, dtype=torch.float64)
        return (1 - strength) * identity + strength / (classes - 1) * (1 - identity)

"""Flip noise to the next class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.label_noise import NoiseModel
from methods.noise_models._papers import FORWARD
from methods.noise_models._partners import flipped
from methods.registry import register


@register("flip_next")
@dataclass(frozen=True)
class FlipNext(NoiseModel):
    r"""A label of class i becomes that of the next class with probability p (after Patrini et al. 2017).

    .. math:: C_{ii} = 1 - p, \qquad C_{i, (i + 1) \bmod K} = p

    Nothing but the labels is random, so that the matrix is known beforehand.

    Deviations from the paper: there the next class is that within one coarse class of CIFAR-100.
    """

    paper = FORWARD

    def matrix(self, classes: int, strength: float, rng: torch.Generator) -> Tensor:
        """(K, K) float64; draws nothing."""
        self._check(classes, strength)
        return flipped((torch.arange(classes) + 1) % classes, strength)

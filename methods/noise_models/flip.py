"""Flip noise: each class is confused with one other, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.label_noise import NoiseModel
from methods.noise_models._papers import GLC
from methods.noise_models._partners import flipped
from methods.registry import register


@register("flip")
@dataclass(frozen=True)
class Flip(NoiseModel):
    r"""A label of class i becomes that of its partner with probability p (Hendrycks et al. 2018).

    .. math:: C_{ii} = 1 - p, \qquad C_{i \pi(i)} = p, \qquad \pi(i) \sim U(\{1, \dots, K\} \setminus \{i\})

    Each class draws its partner by itself: two may have the same one. From p = 1/2 on the wrong label is the
    more likely one, which nothing but trusted labels can tell.

    Deviations from the paper: none.
    """

    paper = GLC

    def matrix(self, classes: int, strength: float, rng: torch.Generator) -> Tensor:
        """(K, K) float64; draws the partners, whatever p is."""
        self._check(classes, strength)
        away = torch.randint(1, classes, (classes,), generator=rng)
        return flipped((torch.arange(classes) + away) % classes, strength)

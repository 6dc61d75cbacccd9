"""Hierarchical noise: a class is confused with those of its group."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.label_noise import NoiseModel
from methods.noise_models._papers import GLC
from methods.registry import register

# The coarse class of each fine class of CIFAR-100, both in alphabetical order.
CIFAR100 = (
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7,
    6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10,
    16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16,
    12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13,
)  # fmt: skip


@register("hierarchical")
@dataclass(frozen=True)
class Hierarchical(NoiseModel):
    r"""A label is wrong with probability p, and then of a class of the same group (Hendrycks et al. 2018).

    .. math::
        C_{ii} = 1 - p, \qquad C_{ij} = \frac{p}{|G(i)| - 1}, \; j \ne i, \; j \in G(i)

    with G(i) the group of class i.

    Parameters
    ----------
    groups
        The group of each class: K whole numbers, each of at least two classes. None: the 20 coarse classes of
        CIFAR-100, where there are 100 classes in the alphabetical order of their names.

    Deviations from the paper: none. It names CIFAR-100 only.
    """

    groups: tuple[int, ...] | list[int] | None = None

    paper = GLC
    small = {"groups": [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]}

    def __post_init__(self) -> None:
        if self.groups is None:
            return
        if not all(isinstance(group, int) and not isinstance(group, bool) for group in self.groups):
            raise ValueError(f"groups: expected a whole number for each class, got {self.groups}")
        object.__setattr__(self, "groups", tuple(self.groups))
        for group, size in Counter(self.groups).items():
            if size < 2:
                alone = self.groups.index(group)
                raise ValueError(
                    f"groups: class {alone} is alone in group {group}; expected another one there"
                )

    def matrix(self, classes: int, strength: float, rng: torch.Generator) -> Tensor:
        """(K, K) float64; draws nothing."""
        self._check(classes, strength)
        if self.groups is None and classes != len(CIFAR100):
            raise ValueError(
                f"groups: None stands for the coarse classes of CIFAR-100, which has 100 classes; "
                f"expected the group of each of {classes}"
            )
        groups = torch.tensor(CIFAR100 if self.groups is None else self.groups)
        if len(groups) != classes:
            raise ValueError(f"groups: expected one for each of {classes} classes, got {len(groups)}")
        identity = torch.eye(classes, dtype=torch.float64)
        others = (groups[:, None] == groups).double() - identity
        return (1 - strength) * identity + strength * others / others.sum(dim=1, keepdim=True)

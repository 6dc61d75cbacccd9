"""The worst case of several attacks, in the manner of AutoAttack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.attack import Classifier
from methods.attacks._losses import resists
from methods.attacks.apgd_ce import APGDCE, PAPER
from methods.attacks.apgd_t import APGDT
from methods.attacks.square import Square
from methods.registry import register
from methods.worst_case import WorstCase


@register("aa_lite")
@dataclass(frozen=True)
class AALite(WorstCase):
    r"""Auto-PGD on cross-entropy, then targeted, then squares; each on what resists (Croce & Hein 2020).

    .. math:: x' = \text{the first of the attacks' points that the network errs on, else the last}

    Images that the network errs on already are left alone; `path` yields the answer after each of the three.
    Starts and queries are drawn for the whole batch: those of image i depend on the generator, i and the
    number of images. Cost: that of the three, of the images that resist those before.

    Parameters
    ----------
    epsilon
        ε in [0, 1], of pixels in [0, 1].
    steps
        Of Auto-PGD, at least 1.
    targets
        Of the targeted one, at least 1.
    queries
        Of the square attack, at least 1.

    Deviations from the paper: FAB is left out, so that results do not compare with those of AutoAttack.
    """

    epsilon: float = 8 / 255
    steps: int = 100
    targets: int = 9
    queries: int = 5000

    paper = PAPER
    small = {"steps": 8, "targets": 2, "queries": 30}

    def __post_init__(self) -> None:
        self._check(steps=self.steps, targets=self.targets, queries=self.queries)

    def _search(
        self, network: Classifier, images: Tensor, labels: Tensor, rng: torch.Generator
    ) -> Iterator[Tensor]:
        found = images.clone()
        left = resists(network, images, labels)
        for attack in (
            APGDCE(self.epsilon, self.steps),
            APGDT(self.epsilon, self.steps, self.targets),
            Square(self.epsilon, self.queries),
        ):
            moved = attack.among(network, images, labels, left, rng)
            found = torch.where(left[:, None, None, None], moved, found)
            left = left & resists(network, found, labels)
            yield found

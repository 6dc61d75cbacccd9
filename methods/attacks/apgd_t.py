"""Auto-PGD towards each of several wrong classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.attack import Attack, Classifier, cross_entropy
from methods.attacks._apgd import apgd, last, random_start
from methods.attacks._losses import resists, targeted_dlr
from methods.attacks.apgd_ce import PAPER
from methods.registry import register


@register("apgd_t")
@dataclass(frozen=True)
class APGDT(Attack):
    r"""Auto-PGD on the targeted difference of logits ratio, a target after the other (Croce & Hein 2020).

    .. math::
        L_t = -\frac{z_y - z_t}{z_{(1)} - \frac{1}{2}(z_{(3)} + z_{(4)}) + 10^{-12}}

    with :math:`z_{(i)}` in descending order, towards the classes ranked second, third, … on the clean image.
    Images that the network errs on already are left alone; of those that resist, the point of the last
    target is returned; `path` yields the answer after each target. A start of its own is drawn for each
    target, for the whole batch: that of image i depends on the generator, i and the number of images. Cost:
    two forward passes, and for each target `steps` + 1 forward and backward passes and one forward pass of
    the images that still resist.

    Parameters
    ----------
    epsilon
        ε in [0, 1], of pixels in [0, 1].
    steps
        For each target, at least 1.
    targets
        How many classes are tried, at least 1; all wrong ones where there are fewer.

    Deviations from the paper: with fewer than four classes the ratio does not exist; cross-entropy to the
    target is lowered instead.
    """

    epsilon: float = 8 / 255
    steps: int = 100
    targets: int = 9

    paper = PAPER
    small = {"steps": 12, "targets": 3}

    def __post_init__(self) -> None:
        self._check(steps=self.steps, targets=self.targets)

    def _search(
        self, network: Classifier, images: Tensor, labels: Tensor, rng: torch.Generator
    ) -> Iterator[Tensor]:
        return self._targets(network, images, labels, resists(network, images, labels), rng)

    def among(
        self, network: Classifier, images: Tensor, labels: Tensor, rows: Tensor, rng: torch.Generator
    ) -> Tensor:
        """Attack some rows (N,) bool only, from the starts that they have in the whole batch."""
        return last(self._targets(network, images, labels, rows, rng))

    def _targets(
        self, network: Classifier, images: Tensor, labels: Tensor, rows: Tensor, rng: torch.Generator
    ) -> Iterator[Tensor]:
        with torch.no_grad():
            logits = network(images)
        classes = logits.shape[1]
        # The label comes last, so that it is never a target.
        order = logits.scatter(1, labels[:, None], -torch.inf).argsort(dim=1, descending=True)
        found, left = images.clone(), rows.clone()
        for target in range(max(1, min(self.targets, classes - 1))):
            start = random_start(images, self.epsilon, rng)
            if left.any():
                wanted = order[left, target]

                def loss(logits: Tensor, own: Tensor, wanted: Tensor = wanted) -> Tensor:
                    if classes < 4:
                        return -cross_entropy(logits, wanted)
                    return targeted_dlr(logits, own, wanted)

                some = images[left], labels[left]
                moved = last(apgd(network, *some, loss, self.epsilon, self.steps, start[left]))
                errs = ~resists(network, moved, labels[left])
                found[left] = moved
                left[left.clone()] = ~errs
            yield found.clone()

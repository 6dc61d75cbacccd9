"""Fast gradient sign method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.attack import Attack, Classifier, cross_entropy, gradient
from methods.method import Paper
from methods.registry import register


@register("fgsm")
@dataclass(frozen=True)
class FGSM(Attack):
    r"""One step of length ε along the sign of the loss's gradient (Goodfellow et al. 2015).

    .. math:: x' = \mathrm{clip}_{[0, 1]}(x + \epsilon \, \mathrm{sign}(\nabla_x CE(x, y)))

    with :math:`\mathrm{sign}(0) = 0`. Nothing is drawn. Cost: one forward and one backward pass.

    Parameters
    ----------
    epsilon
        ε in [0, 1], of pixels in [0, 1].

    Deviations from the paper: none.
    """

    epsilon: float = 8 / 255

    paper = Paper(
        title="Explaining and Harnessing Adversarial Examples",
        authors="I. J. Goodfellow, J. Shlens, C. Szegedy",
        venue="ICLR",
        year=2015,
        arxiv="1412.6572",
    )

    def __post_init__(self) -> None:
        self._check()

    def _search(
        self, network: Classifier, images: Tensor, labels: Tensor, rng: torch.Generator
    ) -> Iterator[Tensor]:
        found, _ = gradient(lambda x: cross_entropy(network(x), labels), images)
        yield images + self.epsilon * found.sign()

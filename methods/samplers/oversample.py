"""Oversampling: rare classes are shown as often as the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from methods.imbalance import BETA, Sampler, class_weights, classes_of
from methods.method import Paper
from methods.registry import register


@register("oversample")
@dataclass(frozen=True)
class Oversample(Sampler):
    r"""Images are drawn with replacement, those of rare classes more often (Buda et al. 2018).

    .. math:: P(\text{image}\ j) \propto w_{y_j}, \qquad w_i = 1 / n_i

    so that every class has the same expected share of an epoch. An epoch has as many images as the set.

    Parameters
    ----------
    weights
        ``inverse`` as above, or ``cb``: :math:`w_i = (1 - \beta) / (1 - \beta^{n_i})` with β = 0.9999, the
        weights of the objective `class_balanced`, as in the release of Cao et al. 2019. The share of a class
        then grows with its size: with 5,000 images it is 1.27 times that of a very rare class.

    Deviations from the paper: there every class is repeated until it is as large as the largest, here an
    epoch keeps its length, so that methods are compared at equal cost.
    """

    weights: Literal["inverse", "cb"] = "inverse"

    paper = Paper(
        title="A Systematic Study of the Class Imbalance Problem in Convolutional Neural Networks",
        authors="M. Buda, A. Maki, M. A. Mazurowski",
        venue="Neural Networks",
        year=2018,
        arxiv="1710.05381",
    )

    def epoch(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        """Rows of one epoch, drawn anew: (N,) int64."""
        _, place, counts = classes_of(labels.cpu())  # where rng is
        weights = class_weights(counts, BETA if self.weights == "cb" else None)
        return torch.multinomial(weights[place], len(labels), replacement=True, generator=rng)

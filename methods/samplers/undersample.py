"""Undersampling: large classes are shown in part."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.imbalance import Sampler, classes_of
from methods.method import Paper
from methods.registry import register


@register("undersample")
@dataclass(frozen=True)
class Undersample(Sampler):
    """Every class is shown with as many images as the smallest has (Buda et al. 2018).

    They are drawn without replacement, and anew for every epoch, so that in the long run all images are
    seen. An epoch has C · min n images of C classes, and costs accordingly little.

    Deviations from the paper: there the images are drawn once.
    """

    paper = Paper(
        title="A Systematic Study of the Class Imbalance Problem in Convolutional Neural Networks",
        authors="M. Buda, A. Maki, M. A. Mazurowski",
        venue="Neural Networks",
        year=2018,
        arxiv="1710.05381",
    )

    def size(self, labels: Tensor) -> int:
        """How many images an epoch shows, for labels (N,)."""
        _, _, counts = classes_of(labels)
        return len(counts) * int(counts.min())

    def epoch(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        """Rows of one epoch, drawn anew: (`size`,) int64."""
        _, place, counts = classes_of(labels.cpu())  # where rng is
        shuffled = torch.randperm(len(labels), generator=rng)
        by_class = shuffled[place[shuffled].argsort(stable=True)]
        starts = counts.cumsum(0) - counts
        number = torch.arange(len(labels)) - starts.repeat_interleave(counts)  # of each row within its class
        kept = by_class[number < counts.min()]
        return kept[torch.randperm(len(kept), generator=rng)]

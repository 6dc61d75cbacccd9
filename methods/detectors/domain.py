"""The domain head of a multi-task curriculum: how likely an image is of the labelled images' domain."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.base import Detector, Features, NotApplicable, Paper, Signal
from methods.neutral import neutral
from methods.registry import register


@register("domain")
@dataclass(frozen=True)
class Domain(Detector):
    r"""Probability of in-distribution by the domain head (Yu et al. 2020).

    .. math:: s = \sigma(d) = \frac{1}{1 + e^{-d}}

    with d the output of the head that the objective `mtc` trains.

    Shapes: domain logits (N, 1) → scores (N,). Cost: O(N). No hyper-parameters. Deviations from the paper:
    none; its OOD score is 1 - s.
    """

    paper = Paper(
        title="Multi-Task Curriculum Framework for Open-Set Semi-Supervised Learning",
        authors="Q. Yu, D. Ikami, G. Irie, K. Aizawa",
        venue="ECCV",
        year=2020,
        arxiv="2007.11330",
    )
    needs = frozenset({Signal.OUTPUTS})

    @staticmethod
    @neutral
    def example_outputs(logits: Tensor) -> Tensor:
        """(N, 1) domain logits."""
        return logits.amax(dim=1, keepdim=True)

    def score(self, features: Features) -> Tensor:
        """Score domain logits (N, 1): (N,) float64.

        Raises
        ------
        NotApplicable
            If the network has no domain head.
        """
        outputs = features.outputs
        if outputs.shape[1] != 1:
            raise NotApplicable(f"the network has no domain head: {outputs.shape[1]} outputs and not one")
        return torch.sigmoid(outputs[:, 0].double())

"""Maximum softmax probability."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.base import Detector, Features, Paper, Signal
from methods.detectors._blocks import by_blocks, classes_first
from methods.registry import register


@register("msp")
@dataclass(frozen=True)
class MSP(Detector):
    r"""Probability of the predicted class, the baseline of the field (Hendrycks & Gimpel 2017).

    .. math:: s = \max_k \mathrm{softmax}(z)_k

    Shapes: logits (N, K) → scores (N,). Cost: O(NK). No hyper-parameters.

    Deviations from the paper: none. Some releases store :math:`-\max_k p_k` as an outlier score. The softmax
    is taken in float64: in float32 a margin of 17 between the logits already gives exactly 1.0, and such ties
    change the false-positive rate; float64 moves that margin to 37.

    Differs from: none: OpenOOD v1.5 and pytorch-ood 0.4.0 have the same score, in float32.
    """

    paper = Paper(
        title="A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural Networks",
        authors="D. Hendrycks, K. Gimpel",
        venue="ICLR",
        year=2017,
        arxiv="1610.02136",
    )
    aliases = ("max_softmax", "maximum_softmax_probability", "baseline")
    needs = frozenset({Signal.LOGITS})

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K): (N,) float64."""
        return by_blocks(lambda z: torch.softmax(classes_first(z), dim=0).amax(dim=0), features.logits)

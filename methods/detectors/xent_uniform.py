"""Cross-entropy between the uniform distribution and the prediction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.base import Detector, Features, Paper, Signal
from methods.detectors._blocks import by_blocks, classes_first
from methods.registry import register


@register("xent_uniform")
@dataclass(frozen=True)
class XentUniform(Detector):
    r"""How badly the uniform distribution predicts what the network does (Hendrycks et al. 2019).

    .. math::
        s = \log \sum_k e^{z_k} - \frac1K \sum_k z_k = \mathrm{CE}(u, p) = \mathrm{KL}(u \Vert p) + \log K

    with :math:`p = \mathrm{softmax}(z)` and :math:`u_k = 1/K`. It is the loss that outlier exposure gives to
    outliers, read as a score; its least value is :math:`\log K`. Computed as :math:`-\frac1K \sum_k \log p_k`
    from shifted logits, in which a constant added to all logits cancels before anything is rounded.

    Shapes: logits (N, K) → scores (N,). Cost: O(NK). No hyper-parameters.

    Deviations from the paper: its main score is `msp`; this is the alternative of its release, made for
    networks trained towards the uniform prediction on outliers, and usable on any. Where references disagree:
    the release stores :math:`-s`, since there higher means outlier. Where the logits have mean zero it equals
    `energy` at temperature 1.
    """

    paper = Paper(
        title="Deep Anomaly Detection with Outlier Exposure",
        authors="D. Hendrycks, M. Mazeika, T. Dietterich",
        venue="ICLR",
        year=2019,
        arxiv="1812.04606",
    )
    needs = frozenset({Signal.LOGITS})

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K): (N,) float64."""
        return -by_blocks(lambda z: torch.log_softmax(classes_first(z), dim=0).mean(dim=0), features.logits)

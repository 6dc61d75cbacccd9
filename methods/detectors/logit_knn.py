"""Distance to the k-th nearest training image in logit space."""

from __future__ import annotations

from dataclasses import dataclass

from methods.detectors._softmax_study import Logits, PairedKNN
from methods.registry import register


@register("logit_knn")
@dataclass(frozen=True)
class LogitKNN(Logits, PairedKNN):
    r"""Distance to the k-th nearest training logits; paired with `prob_knn` (Aigrain & Detyniecki 2019).

    .. math:: s = -\lVert z - z_{(k)} \rVert

    where :math:`z_{(k)}` is the k-th nearest of the logits of the M training images (the bank), counted from
    1. Nothing is normalised, so the scale of the logits, which the softmax divides away, counts. The paper
    claims that this loss hinders detection; `prob_knn` is the same detector after the softmax, and what
    separates the two scores is the softmax alone.

    Shapes: logits (N, K) → scores (N,). Cost: O(NMK), in blocks of rows that hold 2²⁴ distances at once.

    Parameters
    ----------
    k
        Which neighbour, at least 1.

    Deviations from the paper: its own two detectors could not be verified, so this is a controlled comparison
    of its claim and not a reproduction; k = 50 is the published default of `knn` on CIFAR-10.
    """

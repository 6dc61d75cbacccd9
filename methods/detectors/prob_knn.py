"""Distance to the k-th nearest training image in probability space."""

from __future__ import annotations

from dataclasses import dataclass

from methods.detectors._softmax_study import PairedKNN, Probabilities
from methods.registry import register


@register("prob_knn")
@dataclass(frozen=True)
class ProbKNN(Probabilities, PairedKNN):
    r"""Distance to the k-th nearest training softmax; paired with `logit_knn` (Aigrain & Detyniecki 2019).

    .. math:: s = -\lVert p - p_{(k)} \rVert, \qquad p = \mathrm{softmax}(z)

    where :math:`p_{(k)}` is the k-th nearest of the probabilities of the M training images (the bank),
    counted from 1. An image far beyond the training images along a class has the probabilities of that class,
    and so is near here and far in `logit_knn`.

    Shapes: logits (N, K) → scores (N,). Cost: O(NMK), in blocks of rows that hold 2²⁴ distances at once.

    Parameters
    ----------
    k
        Which neighbour, at least 1.

    Deviations from the paper: its own two detectors could not be verified, so this is a controlled comparison
    of its claim and not a reproduction; k = 50 is the published default of `knn` on CIFAR-10. The softmax is
    taken in float64, so that rounding does not tie what the claim is about.
    """

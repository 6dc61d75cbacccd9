"""Mahalanobis distance to the nearest class mean, in probability space."""

from __future__ import annotations

from dataclasses import dataclass

from methods.detectors._softmax_study import PairedMahalanobis, Probabilities
from methods.registry import register


@register("prob_mahalanobis")
@dataclass(frozen=True)
class ProbMahalanobis(Probabilities, PairedMahalanobis):
    r"""`mahalanobis` of the softmax; paired with `logit_mahalanobis` (Aigrain & Detyniecki 2019).

    .. math::
        p &= \mathrm{softmax}(z) \\
        \Sigma &= \frac{1}{N} \sum_i (p_i - \mu_{y_i})(p_i - \mu_{y_i})^\top \\
        s &= -\min_c \; (p - \mu_c)^\top \Sigma^{+} (p - \mu_c)

    with :math:`\mu_c` the mean probabilities of the training images labelled c. The computation is that of
    `mahalanobis`, which sees the probabilities in place of the features. They sum to 1, so Σ has rank K - 1
    at most and the pseudo-inverse is a necessity. An image far beyond the training images along a class has
    the probabilities of that class, and so is near here and far in `logit_mahalanobis`.

    Shapes: logits (N, K), labels (N,) → scores (N,). Cost: fit O(NK² + K³), score O(NK²). No
    hyper-parameters. The specification calls it ``prob_maha``.

    Deviations from the paper: its own two detectors could not be verified, so this is a controlled comparison
    of its claim and not a reproduction. The softmax is taken in float64, so that rounding does not tie what
    the claim is about. Where the network is certain of its training images, Σ is tiny and the distance of
    an image of which it is not is huge.
    """

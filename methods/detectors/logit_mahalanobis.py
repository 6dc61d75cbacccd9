"""Mahalanobis distance to the nearest class mean, in logit space."""

from __future__ import annotations

from dataclasses import dataclass

from methods.detectors._softmax_study import Logits, PairedMahalanobis
from methods.registry import register


@register("logit_mahalanobis")
@dataclass(frozen=True)
class LogitMahalanobis(Logits, PairedMahalanobis):
    r"""`mahalanobis` of the logits; paired with `prob_mahalanobis` (Aigrain & Detyniecki 2019).

    .. math::
        \Sigma &= \frac{1}{N} \sum_i (z_i - \mu_{y_i})(z_i - \mu_{y_i})^\top \\
        s &= -\min_c \; (z - \mu_c)^\top \Sigma^{+} (z - \mu_c)

    with :math:`\mu_c` the mean logits of the training images labelled c. The computation is that of
    `mahalanobis`, which sees the logits in place of the features; `prob_mahalanobis` is the same after the
    softmax, and what separates the two scores is the softmax alone. Logits are affine in the features, so Σ
    is singular where the head is, such as where its rows sum to zero: hence the pseudo-inverse.

    Shapes: logits (N, K), labels (N,) → scores (N,). Cost: fit O(NK² + K³), score O(NK²). No
    hyper-parameters. The specification calls it ``logit_maha``.

    Deviations from the paper: its own two detectors could not be verified, so this is a controlled comparison
    of its claim and not a reproduction.
    """

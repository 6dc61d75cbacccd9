"""LINe: the energy of what the neurons and weights say that matter to the predicted class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks, head_logits, log_sum_exp, working_type
from methods.detectors._gaussian import class_means
from methods.detectors._quantiles import feature_quantiles, quantiles
from methods.detectors._rows import Rows
from methods.method import check_percent
from methods.registry import register


@register("line")
@dataclass(frozen=True)
class LINe(Detector):
    r"""Energy after clipping and class-wise pruning by contribution (Ahn, Park & Kim 2023).

    .. math::
        V_{cd} &= \frac{1}{N_c} \sum_{i : y_i = c} h_{id} \frac{\partial z_{ic}}{\partial h_{id}}
            = \mu_{cd} W_{cd} \\
        \bar h &= \min(h, \delta), \qquad \hat y = \arg\max_k (\bar h W^\top + b)_k \\
        M_{kd} &= W_{kd} \, [V_{\hat y d} > a_{\hat y}] \, [|V_{\hat y d}| W_{kd} > t_{\hat y}] \\
        s &= \log \sum_k \exp(\bar h M^\top + b)_k

    V is what neuron d contributes to the logit of class c: the first-order Taylor estimate of its Shapley
    value, averaged over the training images of the class, with μ their mean features. Of the predicted class,
    :math:`a_c` is a percentile of the D contributions, and :math:`t_c` one of all K·D weights times the sizes
    of the contributions to it, both linearly interpolated. Neurons at or below the first and weights at or
    below the second are left out; the bias stays. Clipping makes neurons that fire count alike.

    Products of float32 features are computed in float32, the score of the logits in float64. Shapes: features
    (N, D), labels (N,), weight (K, D), bias (K,) → scores (N,). Cost: fit O(ND + K²D), score O(NKD + K²D), in
    turn for the images of each class predicted.

    Parameters
    ----------
    activations
        The percentile of neurons, in percent from 0 to 100. None takes the published 10 for at least 100
        classes and else 90.
    weights
        That of weights. None takes the published 10 for at least 1000 classes and else 90.
    clip
        δ > 0, in the units of the features. None takes the published 0.8 for at least 1000 classes and else
        1.

    Deviations from the paper: none known. The published values were chosen for one network each: a DenseNet
    on CIFAR-10 and CIFAR-100, and ResNet-50 on ImageNet. δ is no percentile: networks with larger or smaller
    features want another. Where references disagree: the formulas are those of the authors' code, the
    contributions signed and the class predicted after clipping; a re-implementation reads the paper's eq. 4
    as the mean of absolute contributions, which was not established. Signed features are taken as they are
    and clipped from above alone.

    Differs from: OpenOOD v1.5 and pytorch-ood 0.4.0 do not have it.
    """

    activations: float | None = None
    weights: float | None = None
    clip: float | None = None

    ceiling: float = fitted()  # δ
    kept: Tensor = fitted()  # (K, D) bool: neurons, by class predicted
    sizes: Tensor = fitted()  # (K, D): |V|
    thresholds: Tensor = fitted()  # (K,): t
    weight: Tensor = fitted()  # (K, D)
    bias: Tensor = fitted()  # (K,)

    paper = Paper(
        title="LINe: Out-of-Distribution Detection by Leveraging Important Neurons",
        authors="Y. H. Ahn, G.-M. Park, S. T. Kim",
        venue="CVPR",
        year=2023,
        arxiv="2303.13995",
    )
    needs = frozenset({Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        for name, value in (("activations", self.activations), ("weights", self.weights)):
            check_percent(name, value)
            if value is not None and not 0 <= value <= 100:
                raise ValueError(f"{name}: expected None or a number from 0 to 100, got {value}")
        if self.clip is not None and not 0 < self.clip < math.inf:
            raise ValueError(f"clip: expected None or a finite number above 0, got {self.clip}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn contributions and what is left out for each class; keep the head.

        Raises
        ------
        ValueError
            If a class has no training image.
        """
        weight, classes = head.weight.double(), len(head.weight)
        contributions = class_means(Rows(train.penultimate), train.labels.long(), classes) * weight
        activations = _or(self.activations, 10.0 if classes >= 100 else 90.0)
        share = _or(self.weights, 10.0 if classes >= 1000 else 90.0) / 100
        sizes = contributions.abs()
        return self.with_state(
            ceiling=_or(self.clip, 0.8 if classes >= 1000 else 1.0),
            kept=contributions > feature_quantiles(contributions.T, [activations / 100])[0][:, None],
            sizes=sizes,
            thresholds=torch.cat([quantiles(weight * size, [share]) for size in sizes]),
            weight=weight,
            bias=head.bias.double(),
        )

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D): (N,) float64."""
        kind = working_type(features.penultimate)
        weight, bias = self.weight.to(kind), self.bias.to(kind)

        def predicted(h: Tensor) -> Tensor:
            return head_logits(h.to(kind).clamp(max=self.ceiling), weight, bias).argmax(dim=0)

        # All images of a class at once, since its weights are made for them.
        classes, order = by_blocks(predicted, features.penultimate).sort(stable=True)
        counts = torch.bincount(classes, minlength=len(weight)).tolist()
        scores = [features.penultimate.new_empty(0, dtype=torch.float64)]
        for c, rows in enumerate(torch.split(order, counts)):
            if len(rows):
                own = self._of_class(c).to(kind)
                scores.append(by_blocks(partial(self._score, own), features.penultimate[rows]))
        return torch.cat(scores)[order.argsort()]

    def _of_class(self, c: int) -> Tensor:
        """M (K, D), where class c is predicted."""
        kept = self.kept[c] & (self.weight * self.sizes[c] > self.thresholds[c])
        return torch.where(kept, self.weight, 0.0)

    def _score(self, weight: Tensor, h: Tensor) -> Tensor:
        h = h.to(weight).clamp(max=self.ceiling)
        return log_sum_exp(head_logits(h, weight, self.bias.to(weight)))


def _or(value: float | None, published: float) -> float:
    return published if value is None else value

"""CADRef: relative distance to the predicted class's mean feature, split by what raises its logit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, NotApplicable, Signal, fitted
from methods.detectors._blocks import by_blocks, classes_first, log_sum_exp
from methods.detectors.caref import CARef, predicted_means, size
from methods.detectors.gen import GEN
from methods.registry import register

LogitScore = Literal["energy", "gen", "max_logit", "msp"]

LEAST = 1e-12  # that errors are divided by


@register("cadref")
@dataclass(frozen=True)
class CADRef(Detector):
    r"""`caref` with its two directions apart, one weighed by the image's own confidence (Ling et al. 2025).

    .. math::
        e &= h - \mu_{\hat y}, \qquad \sigma = \mathrm{sign}(w_{\hat y}), \qquad \hat y = \arg\max_k z_k \\
        E_p &= \frac{1}{\lVert h \rVert_1} \sum_d \max(\sigma_d e_d, 0), \qquad
            E_n = \frac{1}{\lVert h \rVert_1} \sum_d \max(-\sigma_d e_d, 0) \\
        s &= -\left( \frac{E_p}{S(z)} + \frac{E_n}{\bar S} \right), \qquad
            \bar S = \frac{1}{N} \sum_i S(z_i)

    with the class means :math:`\mu` as in `caref`, w the rows of the head and the mean of S over the training
    images. :math:`E_p` raises the predicted class's logit above that of its mean feature and :math:`E_n`
    lowers it. :math:`E_p + E_n` is the error of `caref` where no weight is zero; a feature of weight zero
    counts in neither.

    Shapes: features (N, D), logits (N, K), weight (K, D), labels (N,) → scores (N,). Cost: fit O(ND + NK),
    score O(ND + NK).

    Parameters
    ----------
    logit_score
        S. ``energy``: the log of the summed exponentials of the logits. ``max_logit``: the largest of them.
        ``msp``: the largest probability. ``gen``: :math:`1 / \sum_j p_j^{0.1} (1 - p_j)^{0.1}` over the
        max(10, K // 10) largest probabilities.

    Deviations from the release: means of classes never predicted and features that are all zero, as in
    `caref`. S must be positive to divide by: one below 1e-12 counts as 1e-12, so that an image whose logits
    are all far below 0 scores very low, and a network where the mean over the training images is not positive
    is not applicable. The sum of ``gen`` is as exact as that of `gen`, where the release's float32 gives 0
    for a sure prediction and divides by it. Where references disagree: the paper's equations for
    :math:`E_p` and :math:`E_n` are reported, by pytorch-ood, to split by the sign of :math:`w_d h_d` where
    its text, its figure and the release split by that of :math:`w_d e_d`, as here; the printed equations were
    not at hand. Signed features need nothing special.

    Differs from: pytorch-ood's development version has ``energy`` by default too, in float32, with the means
    of `caref` there; its version 0.4.0 and OpenOOD v1.5 do not have it.
    """

    logit_score: LogitScore = "energy"

    means: Tensor = fitted()  # (K, D): μ
    signs: Tensor = fitted()  # (K, D): of the weight
    typical: float = fitted()  # the mean of S

    paper = CARef.paper
    needs = frozenset({Signal.LOGITS, Signal.PENULTIMATE, Signal.HEAD})

    def __post_init__(self) -> None:
        if self.logit_score not in get_args(LogitScore):
            raise ValueError(
                f"logit_score: expected one of {', '.join(get_args(LogitScore))}, got {self.logit_score!r}"
            )

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the mean feature of each class and the mean of S; keep the signs of the head.

        Raises
        ------
        ValueError
            If a class has neither a training image that is predicted so nor one that is labelled so.
        NotApplicable
            If the mean of S over the training images is not positive.
        """
        typical = float(by_blocks(self._confidence, train.logits).mean())
        if typical <= LEAST:
            raise NotApplicable(
                f"the mean {self.logit_score} of the training images is {typical:.3g}: errors cannot be "
                "divided by what is not positive"
            )
        signs = head.weight.double().sign()
        return self.with_state(means=predicted_means(train), signs=signs, typical=typical)

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D) of images with logits (N, K): (N,) float64."""
        return by_blocks(self._score, features.penultimate, features.logits)

    def _score(self, h: Tensor, logits: Tensor) -> Tensor:
        h, predicted = h.double(), logits.argmax(dim=1)
        aligned = (h - self.means[predicted]) * self.signs[predicted]  # (n, D)
        raising, lowering = aligned.clamp(min=0).sum(dim=1), (-aligned).clamp(min=0).sum(dim=1)
        own = self._confidence(logits).clamp(min=LEAST)
        return -(raising / own + lowering / self.typical) / size(h)

    def _confidence(self, logits: Tensor) -> Tensor:
        """S of logits (n, K): (n,)."""
        z = classes_first(logits)  # (K, n)
        if self.logit_score == "energy":
            return log_sum_exp(z)
        if self.logit_score == "max_logit":
            return z.amax(dim=0)
        if self.logit_score == "msp":
            return torch.softmax(z, dim=0).amax(dim=0)
        entropy = -GEN(gamma=0.1, top=max(10, len(z) // 10)).raw_score(Features(logits))
        return 1 / entropy.clamp(min=LEAST)

"""Layer-wise uncertainty: how unusual the variances are that a network's layers predict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, NotApplicable, Paper, Signal, fitted
from methods.registry import register

Sign = Literal["two_sided", "up"]


@register("layerwise_uncertainty")
@dataclass(frozen=True)
class LayerwiseUncertainty(Detector):
    r"""Largest logit less the deviation of each layer's log-variance (Okamoto, Suzuki & Matsuo 2019).

    .. math::
        s = \zeta(\max_k z_k) - \sum_l |\zeta(v_l)|, \qquad \zeta(a) = \frac{a - \mathrm{mean}}{\mathrm{std}}

    with :math:`v_l` the mean log-variance that layer l predicts for the image, and the mean and the standard
    deviation (1/N) of each over the validation images. The network must have been trained with variance
    heads: layers that give a mean and a log-variance, and pass on a draw from them.

    Shapes: logits (N, K), log-variances (N, L) → scores (N,). Cost: O(NK + NL).

    Parameters
    ----------
    sign
        ``two_sided``: a log-variance is unusual on either side, as above; ``up``: only a large one is, and
        the sum is of :math:`\zeta(v_l)`.

    Deviations from the paper: its combiners, a logistic regression and a small convolutional network, are
    fitted on test outliers; here all terms weigh the same, in units of their own spread, and nothing but
    in-distribution data is used. Where references disagree: the release takes the largest probability where
    the paper's figure shows the largest logit, as here; it turns the sign of the last layer, which a fitted
    regression undoes. No sign is known beforehand, hence ``two_sided``.
    """

    sign: Sign = "two_sided"

    mean: Tensor = fitted()  # (1 + L,): of the largest logit, and of each layer
    deviation: Tensor = fitted()  # (1 + L,)

    paper = Paper(
        title="Out-of-Distribution Detection Using Layerwise Uncertainty in Deep Neural Networks",
        authors="I. Okamoto, M. Suzuki, Y. Matsuo",
        venue="ICLR 2020 submission",
        year=2019,
    )
    aliases = ("ufel",)
    needs = frozenset({Signal.LOG_VARIANCES, Signal.LOGITS})

    def __post_init__(self) -> None:
        if self.sign not in get_args(Sign):
            raise ValueError(f"sign: expected one of {', '.join(get_args(Sign))}, got {self.sign!r}")

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn mean and spread of every term from the validation images.

        Raises
        ------
        NotApplicable
            If the largest logit or a layer's log-variance is the same for all of them.
        """
        terms = _terms(val)
        mean = terms.mean(dim=0)
        deviation = (terms - mean).square().mean(dim=0).sqrt()
        constant = ~(deviation > 1e-12 * mean.abs())  # of no image it is NaN
        if constant[0]:
            raise NotApplicable("the largest logit is the same for every validation image")
        if constant.any():
            layers = ", ".join(str(i) for i in constant[1:].nonzero().flatten().tolist())
            raise NotApplicable(f"the log-variance of layer {layers} is the same for every validation image")
        return self.with_state(mean=mean, deviation=deviation)

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K) and log-variances (N, L): (N,) float64."""
        z = (_terms(features) - self.mean) / self.deviation  # (N, 1 + L)
        layers = z[:, 1:] if self.sign == "up" else z[:, 1:].abs()
        return z[:, 0] - layers.sum(dim=1)


def _terms(features: Features) -> Tensor:
    largest = features.logits.amax(dim=1, keepdim=True)
    return torch.cat([largest.double(), features.log_variances.double()], dim=1)

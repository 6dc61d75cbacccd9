"""AdaSCALE-L: scaled logits, with a percentile that follows from how an image's activations shift."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.detectors._adascale import AdaScale
from methods.detectors._blocks import log_sum_exp
from methods.registry import register


@register("adascale_l")
@dataclass(frozen=True)
class AdaScaleL(AdaScale):
    r"""Energy of scaled logits, with a percentile of each image's own (Regmi 2025).

    .. math:: s = \log \sum_c \exp\big(r^2 \, (h W^\top + b)\big)_c

    with r as in `adascale_a`. Shapes: images (N, 3, H, W) → scores (N,). Cost: as there.

    Parameters
    ----------
    low
        p_min, in percent, at least 0.
    high
        p_max, in percent, at least `low` and below 100.
    shifted
        k_Q, in percent of the activations, rounded down, at least one of them: above 0, at most 100.
    corrected
        k_C, likewise.
    emphasis
        λ ≥ 0.
    share
        o, from 0 to 1.
    epsilon
        ε ≥ 0, the step in pixel units, of images in [0, 1].

    Deviations from the paper, and where references disagree: as in `adascale_a`, but that r has no limit. The
    bias is scaled with the rest of the logit, as in OpenOOD's copy of the author's code.

    Differs from: OpenOOD after v1.5 as in `adascale_a`; its release v1.5 and pytorch-ood 0.4.0 lack it.
    """

    def _energy(self, logits: Tensor, r: Tensor) -> Tensor:
        return log_sum_exp(r.square() * (logits + self.bias[:, None]))

"""AdaSCALE-A: scaled activations, with a percentile that follows from how an image's activations shift."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.detectors._adascale import AdaScale
from methods.detectors._blocks import log_sum_exp
from methods.detectors.ash import LARGEST_RATIO
from methods.registry import register


@register("adascale_a")
@dataclass(frozen=True)
class AdaScaleA(AdaScale):
    r"""Energy of scaled activations, with a percentile of each image's own (Regmi 2025).

    An image is moved, where its predicted logit depends on it least, so as to raise that logit; activations
    of outliers shift more by that, at their largest. With g the gradient of the predicted logit in the image,
    O the share o of all numbers of the image for which :math:`|g|` is smallest, and h' the activations of the
    moved image,

    .. math::
        x'_j &= x_j + \epsilon \, \mathrm{sgn}(g_j) \text{ for } j \in O, \qquad \mathrm{sgn}(0) = 0 \\
        Q &= \sum_{d \in \text{top } k_Q \text{ of } h} |h_d - h'_d|, \qquad
            C = \sum_{d \in \text{top } k_C \text{ of } h} \max(h'_d, 0) \\
        p &= p_{\min} + \big(1 - F(\lambda Q + C)\big) (p_{\max} - p_{\min}) \\
        k &= D - \mathrm{round}(D p / 100), \qquad
            r = \frac{\sum_d \max(h_d, 0)}{\sum_{d \in \text{top } k} \max(h_d, 0)} \\
        s &= \log \sum_c \exp\big(\exp(r) \, h W^\top + b\big)_c

    F is the share of in-distribution validation images where :math:`\lambda Q + C` is at most as large. An
    image that shifts much gets a low percentile, a small r and so little scaling. With p_min = p_max it is
    `scale`, for activations that are not negative. `adascale_l` scales the logits instead.

    Of equal activations the first is the larger. Shapes: images (N, 3, H, W) → scores (N,). Cost: two forward
    passes and one backward pass through the network, and O(ND log D + NKD).

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

    Deviations from the paper: the percentiles are those that the author's code in OpenOOD starts from, which
    then chooses them with validation outliers; here no data is used. Its step is 0.5 in images normalised
    channel by channel, which is 0.5 deviations of the channel in pixels; here all channels step by 0.113,
    which is 0.5 times ImageNet's mean deviation. All validation images make F, where that code draws 5000.
    Activations that are all at most 0 have r = 1, where that code divides 0 by 0, and r is at most 20.

    Where references disagree: k_Q and k_C go by the names k1 and k2, and which is which is doubtful. The
    author's page says that his code swaps the two of the paper, and gives k1 = 5 % and k2 = 1 % without
    saying of which; early settings there have k1 = 1 and k2 = 5. OpenOOD's copy uses 5 % for C and 1 % for Q,
    in fitting and in scoring alike, and so does this. The text of the paper was not at hand, nor was the
    author's own code. The page advises p_min = 60 and a tuned p_max.

    Differs from: OpenOOD after v1.5 as said; its v1.5 release and pytorch-ood 0.4.0 do not have it.
    """

    def _energy(self, logits: Tensor, r: Tensor) -> Tensor:
        return log_sum_exp(r.clamp(max=LARGEST_RATIO).exp() * logits + self.bias[:, None])

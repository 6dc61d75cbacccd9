"""i-ODIN: ODIN with a step of the most important number of the image alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.base import FeatureNetwork, Paper
from methods.detectors.odin import ODIN
from methods.registry import register


@register("iodin")
@dataclass(frozen=True)
class IODIN(ODIN):
    r"""ODIN, stepping only where the gradient is largest (Regmi 2024).

    .. math::
        g &= \nabla_x \left[-\log \mathrm{softmax}(z(x) / T)_{\hat y}\right], \qquad
        j = \arg\max_i |g_i| \\
        \tilde x_j &= x_j - \epsilon \, \mathrm{sgn}_+(g_j), \qquad \tilde x_i = x_i \text{ for } i \ne j \\
        s &= \max_k \mathrm{softmax}(z(\tilde x) / T)_k

    where i runs over all channels of all pixels, and the lowest of equal largest gradients counts. Shapes:
    images (N, 3, H, W) → scores (N,). Cost: as `odin`.

    Parameters
    ----------
    temperature
        T > 0, in the units of the logits.
    epsilon
        ε ≥ 0, the step in pixel units, of images in [0, 1].

    Deviations from the paper: the defaults are those of the author's code in OpenOOD, which searches a grid
    with validation outliers; here no data is used. Where references disagree: as in `odin`.

    Differs from: OpenOOD v1.5 has these values and then takes what validation outliers choose; pytorch-ood
    0.4.0 does not have it.
    """

    paper = Paper(
        title="Going Beyond Conventional OOD Detection",
        authors="S. Regmi",
        venue="arXiv",
        year=2024,
        arxiv="2411.10794",
    )

    def direction(self, network: FeatureNetwork, images: Tensor) -> Tensor:
        """Sign of the largest input gradient of the loss at its place and 0 elsewhere, like `images`."""
        flat = self.gradient(network, images).flatten(1)
        largest = flat.abs().argmax(dim=1, keepdim=True)
        sign = 2 * (flat.gather(1, largest) >= 0).to(images.dtype) - 1
        return torch.zeros_like(flat).scatter_(1, largest, sign).view_as(images)

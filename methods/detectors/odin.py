"""ODIN: temperature scaling and a small step of the input."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from methods.base import Features, GradientDetector, Paper, Signal
from methods.registry import register


@register("odin")
@dataclass(frozen=True)
class ODIN(GradientDetector):
    r"""Softmax at a high temperature, after a step towards a surer prediction (Liang et al. 2018, eqs. 1, 2).

    .. math::
        \hat y &= \arg\max_k z_k(x) \\
        g &= \nabla_x \left[-\log \mathrm{softmax}(z(x) / T)_{\hat y}\right] \\
        \tilde x &= x - \epsilon \, \mathrm{sgn}_+(g), \qquad \mathrm{sgn}_+(0) = +1 \\
        s &= \max_k \mathrm{softmax}(z(\tilde x) / T)_k

    In-distribution images gain more from the step than others. Shapes: images (N, 3, H, W) → scores (N,).
    Cost: two forward passes and one backward pass through the network.

    Parameters
    ----------
    temperature
        T > 0, in the units of the logits.
    epsilon
        ε ≥ 0, the step in pixel units, of images in [0, 1].

    Deviations from the paper: the published values were searched for on test outliers; here they are the
    release's defaults (DenseNet, CIFAR-10) and no data is used. Where references disagree: the release steps
    by ε/std in normalised space, which is this step of ε in pixels; :math:`\mathrm{sgn}_+(0) = +1` is what
    the release computes, and like the release the stepped image is not clipped to [0, 1]. The softmax is in
    float64, because at T = 1000 all scores lie within about 1e-3 of 1/K and float32 would tie them.

    Differs from: OpenOOD v1.5 has these values and may choose others by validation outliers; it divides the
    step by the deviations of CIFAR-10's channels on any data. pytorch-ood 0.4.0 has these values, steps in
    the units of its input, and takes the sign of 0 as 0.
    """

    temperature: float = 1000.0
    epsilon: float = 0.0014

    paper = Paper(
        title="Enhancing the Reliability of Out-of-distribution Image Detection in Neural Networks",
        authors="S. Liang, Y. Li, R. Srikant",
        venue="ICLR",
        year=2018,
        arxiv="1706.02690",
    )
    needs = frozenset({Signal.LOGITS})
    step_name = "epsilon"

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature: expected a finite number above 0, got {self.temperature}")
        if not 0 <= self.epsilon < math.inf:
            raise ValueError(f"epsilon: expected a finite number of at least 0, got {self.epsilon}")

    def loss(self, features: Features) -> Tensor:
        """Cross-entropy (N,) of the predicted class at the temperature."""
        scaled = features.logits.double() / self.temperature  # (N, K)
        return functional.cross_entropy(scaled, scaled.argmax(dim=1), reduction="none")

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K), of images that have been stepped: (N,) float64."""
        return torch.softmax(features.logits.double() / self.temperature, dim=1).amax(dim=1)

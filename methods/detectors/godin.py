"""The detector of generalized ODIN: the similarity to the nearest class, after a small step of the input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from methods.base import FeatureNetwork, Features, GradientDetector, NotApplicable, Paper, Signal
from methods.neutral import neutral
from methods.registry import register


@register("godin")
@dataclass(frozen=True)
class GODIN(GradientDetector):
    r"""One part of the logits h / g, after a step towards a higher score (Hsu et al. 2020).

    .. math::
        s(x) &= \max_k h_k(x) \;\text{ or }\; g(x) \\
        \tilde x &= x + \epsilon \, \mathrm{sgn}_+(\nabla_x s(x)), \qquad \mathrm{sgn}_+(0) = +1 \\
        \epsilon^* &= \arg\max_\epsilon \; \frac{1}{M} \sum_{i \in \mathrm{val}} s(\tilde x_i)

    with ε in {0, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08}; the score is :math:`s(\tilde x)`. h and g are the
    outputs of the head that the objective `generalized_odin` trains. The M images that choose ε are
    in-distribution validation images.

    Shapes: h (N, K), g (N, 1) → scores (N,). Cost: with a step, two forward passes and one backward pass
    through the network; once, those of the validation images for each ε.

    Parameters
    ----------
    epsilon
        ε ≥ 0, the step in pixel units, of images in [0, 1]; None has it chosen.
    part
        ``h`` or ``g``.

    Deviations from the paper: none. Where references disagree: one benchmark takes a softmax of h; here h is
    as it is. The stepped image is not clipped to [0, 1].

    Differs from: OpenOOD v1.5 fixes ε = 0.0025 and takes the softmax of h; pytorch-ood 0.4.0 does not have
    it.
    """

    epsilon: float | None = None
    part: Literal["h", "g"] = "h"

    paper = Paper(
        title="Generalized ODIN: Detecting Out-of-distribution Image without Learning from "
        "Out-of-distribution Data",
        authors="Y.-C. Hsu, Y. Shen, H. Jin, Z. Kira",
        venue="CVPR",
        year=2020,
        arxiv="2002.11297",
    )
    aliases = ("generalized_odin",)
    needs = frozenset({Signal.LOGITS, Signal.OUTPUTS})
    step_name = "epsilon"
    step_grid = (0.0, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08)

    def __post_init__(self) -> None:
        if self.epsilon is not None and not 0 <= self.epsilon < math.inf:
            raise ValueError(f"epsilon: expected None or a finite number of at least 0, got {self.epsilon}")
        if self.part not in ("h", "g"):
            raise ValueError(f"part: expected 'h' or 'g', got {self.part!r}")

    def loss(self, features: Features) -> Tensor:
        """The score (N,) with the other sign."""
        return -self.score(features)

    def direction(self, network: FeatureNetwork, images: Tensor) -> Tensor:
        """Where the step leads away from: pixels without a gradient are raised, as the formula has it."""
        return 1 - 2 * (self.gradient(network, images) <= 0).to(images.dtype)

    @staticmethod
    @neutral
    def example_outputs(logits: Tensor) -> Tensor:
        """(N, K + 1): h, and g."""
        return torch.cat([logits, torch.sigmoid(logits.amax(dim=1, keepdim=True))], dim=1)

    def score(self, features: Features) -> Tensor:
        """Score outputs (N, K + 1) of images that have been stepped: (N,) float64.

        Raises
        ------
        NotApplicable
            If the network has no generalized ODIN head.
        """
        outputs, classes = features.outputs, features.logits.shape[1]
        if outputs.shape[1] != classes + 1:
            raise NotApplicable(
                f"the network has no generalized ODIN head: {outputs.shape[1]} outputs for {classes} classes"
            )
        return (outputs[:, :-1].amax(dim=1) if self.part == "h" else outputs[:, -1]).double()

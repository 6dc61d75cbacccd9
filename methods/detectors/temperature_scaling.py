"""Maximum softmax probability at the temperature that calibrates the network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import scipy
import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks, classes_first
from methods.registry import register

BOUNDS = (0.05, 20.0)  # temperatures searched


@register("temperature_scaling")
@dataclass(frozen=True)
class TemperatureScaling(Detector):
    r"""`msp` after temperature scaling (Guo et al. 2017); the project's specification calls it ``ts_msp``.

    .. math::
        T^* &= \arg\min_{T \in [0.05, 20]} \; -\frac1N \sum_i \log \mathrm{softmax}(z_i / T)_{y_i} \\
        s &= \max_k \mathrm{softmax}(z / T^*)_k

    where i runs over the validation images. The loss is convex in β = 1/T, so its minimum is where its slope,

    .. math:: \frac1N \sum_i \sum_k \mathrm{softmax}(\beta z_i)_k \, (z_{ik} - z_{iy_i}),

    changes sign: a bounded search over log T, to 1e-12. The loss itself is so flat there that comparing its
    values in float64 tells T to some 3e-8 only.

    Shapes: logits (N, K), labels (N,) → scores (N,). Cost: fit some 15 passes of O(NK), score O(NK). No
    hyper-parameters.

    Where every validation image is classified rightly, the loss is least at T = 0.05, and where every label
    has the smallest logit, at T = 20: ``at_bound`` of the fitted detector tells that the data do not
    determine T. At 0.05 a margin of 1.9 between the logits already gives exactly 1.0 in float64, and such
    ties change the false-positive rate. T is 1 where it makes no difference.

    Deviations from the paper: it scales to calibrate and not to detect outliers; the score is the confidence
    that it calibrates. Where references disagree: the paper's release runs 50 steps of L-BFGS from T = 1.5;
    code of Hendrycks et al. bisects the slope over [0.2, 5] to 1e-4.

    Differs from: OpenOOD v1.5 stops L-BFGS after 50 steps from T = 1.5, pytorch-ood 0.4.0 after 50 from 1,
    which may not have arrived; here T is the minimum.
    """

    temperature: float = fitted()  # T*
    at_bound: bool = fitted()

    paper = Paper(
        title="On Calibration of Modern Neural Networks",
        authors="C. Guo, G. Pleiss, Y. Sun, K. Weinberger",
        venue="ICML",
        year=2017,
        arxiv="1706.04599",
    )
    aliases = ("temp_scaling", "ts", "ts_msp")
    needs = frozenset({Signal.LOGITS})

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the temperature from the validation logits and labels.

        Raises
        ------
        ValueError
            If there is no validation image, or its logits are not finite.
        """
        logits, labels = val.logits.double(), val.labels.long()
        gaps = logits - logits.gather(1, labels[:, None])  # (N, K)

        def slope(log_t: float) -> float:
            p = torch.softmax(logits * math.exp(-log_t), dim=1)
            return (p * gaps).sum(dim=1).mean().item()  # of the loss in 1/T: falls as T rises

        if not math.isfinite(slope(0.0)):
            raise ValueError(
                f"val: the loss of {len(val)} images has slope {slope(0.0)}, expected a finite one; "
                "there must be at least one image, and every logit must be finite"
            )
        if slope(0.0) == 0:
            return self.with_state(temperature=1.0, at_bound=False)
        coldest, hottest = (math.log(bound) for bound in BOUNDS)
        if slope(coldest) <= 0:
            return self.with_state(temperature=BOUNDS[0], at_bound=True)
        if slope(hottest) >= 0:
            return self.with_state(temperature=BOUNDS[1], at_bound=True)
        temperature = math.exp(scipy.optimize.brentq(slope, coldest, hottest, xtol=1e-12))
        return self.with_state(temperature=temperature, at_bound=False)

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K): (N,) float64."""
        return by_blocks(
            lambda z: torch.softmax(classes_first(z) / self.temperature, dim=0).amax(dim=0), features.logits
        )

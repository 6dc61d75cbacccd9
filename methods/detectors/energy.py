"""Energy score."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from methods.base import Detector, Features, Paper, Signal
from methods.detectors._blocks import by_blocks, classes_first, log_sum_exp
from methods.registry import register


@register("energy")
@dataclass(frozen=True)
class Energy(Detector):
    r"""Negative free energy: the log-partition function of the logits (Liu et al. 2020, eq. 4).

    .. math:: s = T \log \sum_k \exp(z_k / T)

    Shapes: logits (N, K) → scores (N,). Cost: O(NK). Deviations from the paper: none; it stores the energy
    :math:`E = -s`, so higher scores mean more in-distribution here.

    Parameters
    ----------
    temperature
        T > 0, in the units of the logits.

    Differs from: none: OpenOOD v1.5 (as EBO) and pytorch-ood 0.4.0 have T = 1, in float32.
    """

    temperature: float = 1.0

    paper = Paper(
        title="Energy-based Out-of-distribution Detection",
        authors="W. Liu, X. Wang, J. Owens, Y. Li",
        venue="NeurIPS",
        year=2020,
        arxiv="2010.03759",
    )
    aliases = ("ebo", "energy_based", "energy_score")
    needs = frozenset({Signal.LOGITS})

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature: expected a finite number above 0, got {self.temperature}")

    def score(self, features: Features) -> Tensor:
        """Score logits (N, K): (N,) float64."""
        return by_blocks(self._score, features.logits)

    def _score(self, logits: Tensor) -> Tensor:
        z = classes_first(logits)
        if self.temperature == 1:  # a quotient by 1 is a copy, which costs as much as the exponentials
            return log_sum_exp(z)
        return self.temperature * log_sum_exp(z / self.temperature)

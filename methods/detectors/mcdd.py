"""Deep-MCDD: the distance to the nearest class's Gaussian, of a network that was trained with Gaussians."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.base import Detector, Features, NotApplicable, Paper, Signal
from methods.neutral import neutral
from methods.registry import register


@register("mcdd")
@dataclass(frozen=True)
class MCDD(Detector):
    r"""Distance to the nearest class, as the head measures it (Lee et al. 2020).

    .. math::
        D_k(x) = \frac{\lVert f - \mu_k \rVert^2}{2 e^{2 r_k}} + d \, r_k, \qquad s = -\min_k D_k(x)

    D are the outputs of the head that the objective `deep_generative_classifier` trains: up to a constant,
    negative log-densities of the features f.

    Shapes: distances (N, K) → scores (N,). Cost: O(NK). No hyper-parameters. Deviations from the paper: none.
    """

    paper = Paper(
        title="Multi-Class Data Description for Out-of-distribution Detection",
        authors="D. Lee, S. Yu, H. Yu",
        venue="KDD",
        year=2020,
        arxiv="2104.00941",
    )
    needs = frozenset({Signal.OUTPUTS})

    @staticmethod
    @neutral
    def example_outputs(logits: Tensor) -> Tensor:
        """(N, K) distances."""
        return -logits

    def score(self, features: Features) -> Tensor:
        """Score distances (N, K): (N,) float64.

        Raises
        ------
        NotApplicable
            If the network has no head of class distances.
        """
        distances, classes = features.outputs, features.logits.shape[1]
        if distances.shape[1] != classes:
            seen = f"{distances.shape[1]} outputs for {classes} classes"
            raise NotApplicable(f"the network has no head of class distances: {seen}")
        return -distances.double().amin(dim=1)

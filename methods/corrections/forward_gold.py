"""Forward correction with some trusted labels in the second training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from methods.corrections._anchors import check_percentile, from_anchors
from methods.corrections._forward import joint_loss
from methods.label_noise import Correction
from methods.method import Paper
from methods.objective import Batch, Setup, TrainableNetwork
from methods.registry import register


@register("forward_gold")
@dataclass(frozen=True)
class ForwardGold(Correction):
    r"""Forward correction, and cross-entropy where a label is trusted (Hendrycks et al. 2018).

    .. math::
        L = -\frac{1}{B} \Big[ \sum_\mathrm{trusted} \log p_{y}
            + \sum_\mathrm{others} \log \max\big( (p^T \hat C)_{\tilde y}, 10^{-12} \big) \Big]

    Ĉ comes from anchors, as that of `forward_correction` does. The network of the first phase has not seen
    the trusted labels; their images may be anchors. Against `glc` it shows what trusted labels give without
    an estimate from them.

    Shapes and cost: those of `forward_correction`.

    Parameters
    ----------
    percentile
        As that of `forward_correction`.

    Deviations from the paper: those of `forward_correction`.
    """

    percentile: float | None = None

    paper = Paper(
        title="Using Trusted Data to Train Deep Networks on Labels Corrupted by Severe Noise",
        authors="D. Hendrycks, M. Mazeika, D. Wilson, K. Gimpel",
        venue="NeurIPS",
        year=2018,
        arxiv="1802.05300",
    )
    trusted = True
    detectors = ("msp",)

    def __post_init__(self) -> None:
        check_percentile(self.percentile)

    def estimate(self, setup: Setup) -> Tensor:
        """(K, K) float64 from the anchors."""
        return from_anchors(self.probabilities(setup), self.percentile)

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch."""
        return joint_loss(self, network, batch, modules)

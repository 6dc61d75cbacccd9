"""Prior network, trained with the reverse divergence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from methods.method import Paper
from methods.objective import Batch, Data, Objective, TrainableNetwork
from methods.objectives._dirichlet import CONCENTRATION, check, concentrations, divergence, flat, sharp
from methods.objectives._outliers import both_logits
from methods.registry import register


def reverse_kl_loss(
    logits: Tensor,
    labels: Tensor,
    outlier_logits: Tensor,
    gamma: float = 1.0,
    concentration: float = CONCENTRATION,
) -> Tensor:
    """Scalar loss of logits (B, K), labels (B,) and the logits (O, K) of outliers, in float64."""
    target = sharp(labels, logits.shape[1], concentration)
    known = divergence(concentrations(logits), target).mean()
    unknown = divergence(concentrations(outlier_logits), flat(outlier_logits)).mean()
    return (known + gamma * unknown) / concentration


@register("prior_network_reverse_kl")
@dataclass(frozen=True)
class PriorNetworkReverseKL(Objective):
    r"""Reverse divergence, from the network's Dirichlet distributions to targets (Malinin & Gales 2019).

    .. math::
        L = \frac{1}{c} \Big( \frac{1}{B} \sum_i \mathrm{KL}(\mathrm{Dir}(\alpha_i) \| \mathrm{Dir}(\tau_i))
            + \frac{\gamma}{O} \sum_j \mathrm{KL}(\mathrm{Dir}(\alpha_j) \| \mathrm{Dir}(1)) \Big), \qquad
        \alpha = e^z, \quad \tau_{ik} = 1 + c \, [k = y_i]

    with i over the images of the batch and j over its outliers, as many. It seeks a mode: where classes
    overlap, the network keeps one sharp distribution between them instead of a flat one over all.

    Parameters
    ----------
    gamma
        γ ≥ 0, the weight of outliers.
    concentration
        c > 0.

    Deviations from the paper: concentrations are held within 1e-8 and e^20, the gradient passing, where the
    release adds 1e-8 inside the gamma functions. Divided by c, as in the release. No adversarial training.
    Optimizer and schedule are those of the track.
    """

    gamma: float = 1.0
    concentration: float = CONCENTRATION

    paper = Paper(
        title="Reverse KL-Divergence Training of Prior Networks: "
        "Improved Uncertainty and Adversarial Robustness",
        authors="A. Malinin, M. Gales",
        venue="NeurIPS",
        year=2019,
        arxiv="1905.13472",
    )
    needs = frozenset({Data.OUTLIERS})
    detectors = ("dirichlet", "msp", "entropy")
    cost = 2.0
    clip_norm = 10.0

    def __post_init__(self) -> None:
        check(self.gamma, self.concentration)

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch and its outliers."""
        logits, outlier_logits = both_logits(self, network, batch)
        return reverse_kl_loss(logits, batch.labels, outlier_logits, self.gamma, self.concentration)

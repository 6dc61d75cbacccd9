"""Prior network: a Dirichlet distribution over predictions, sharp for images and flat for outliers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from methods.method import Paper
from methods.objective import Batch, Data, Objective, TrainableNetwork
from methods.objectives._dirichlet import CONCENTRATION, check, concentrations, divergence, flat, sharp
from methods.objectives._outliers import both_logits
from methods.registry import register


def forward_kl_loss(
    logits: Tensor,
    labels: Tensor,
    outlier_logits: Tensor,
    gamma: float = 1.0,
    concentration: float = CONCENTRATION,
    smoothing: float = 0.0,
) -> Tensor:
    """Scalar loss of logits (B, K), labels (B,) and the logits (O, K) of outliers, in float64."""
    target = sharp(labels, logits.shape[1], concentration, smoothing)
    known = divergence(target, concentrations(logits)).mean()
    unknown = divergence(flat(outlier_logits), concentrations(outlier_logits)).mean()
    return (known + gamma * unknown) / concentration


@register("prior_network")
@dataclass(frozen=True)
class PriorNetwork(Objective):
    r"""Forward divergence from target Dirichlet distributions to the network's (Malinin & Gales 2018).

    .. math::
        L = \frac{1}{c} \Big( \frac{1}{B} \sum_i \mathrm{KL}(\mathrm{Dir}(\tau_i) \| \mathrm{Dir}(\alpha_i))
            + \frac{\gamma}{O} \sum_j \mathrm{KL}(\mathrm{Dir}(1) \| \mathrm{Dir}(\alpha_j)) \Big), \qquad
        \alpha = e^z, \quad \tau_{ik} = 1 + c \, [k = y_i]

    with i over the images of the batch and j over its outliers, as many. With many classes this divergence
    trains poorly where classes overlap; `prior_network_reverse_kl` swaps its arguments.

    Parameters
    ----------
    gamma
        γ ≥ 0, the weight of outliers.
    concentration
        c > 0.
    smoothing
        From 0 to below 1: the part of c that is spread evenly over all classes.

    Deviations from the paper: the targets are not smoothed by default. Concentrations are held within 1e-8
    and e^20, the gradient passing, where the release adds 1e-8 inside the gamma functions. Divided by c, as
    in the release. Optimizer and schedule are those of the track.
    """

    gamma: float = 1.0
    concentration: float = CONCENTRATION
    smoothing: float = 0.0

    aliases = ("dpn",)
    paper = Paper(
        title="Predictive Uncertainty Estimation via Prior Networks",
        authors="A. Malinin, M. Gales",
        venue="NeurIPS",
        year=2018,
        arxiv="1802.10501",
    )
    needs = frozenset({Data.OUTLIERS})
    detectors = ("dirichlet", "msp", "entropy")
    cost = 2.0
    clip_norm = 10.0

    def __post_init__(self) -> None:
        check(self.gamma, self.concentration)
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"smoothing: expected a number from 0 to below 1, got {self.smoothing}")

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch and its outliers."""
        logits, outlier_logits = both_logits(self, network, batch)
        return forward_kl_loss(
            logits, batch.labels, outlier_logits, self.gamma, self.concentration, self.smoothing
        )

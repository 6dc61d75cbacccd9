"""Energy fine-tuning: a margin between the energies of images and of outliers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.method import Paper
from methods.objective import Batch, Data, Objective, Setup, TrainableNetwork
from methods.objectives._outliers import both_logits
from methods.registry import register

ID_QUANTILE, OUTLIER_QUANTILE = 0.2, 0.8


class Margins(nn.Module):
    """The two margins, kept with the training's state."""

    m_in: Tensor
    m_out: Tensor

    def __init__(self, m_in: float, m_out: float) -> None:
        super().__init__()
        self.register_buffer("m_in", torch.tensor(m_in, dtype=torch.float64))
        self.register_buffer("m_out", torch.tensor(m_out, dtype=torch.float64))

    def forward(self) -> tuple[Tensor, Tensor]:
        """Scalars m_in and m_out."""
        return self.m_in, self.m_out


def margins(logits: Tensor, outlier_logits: Tensor) -> tuple[float, float]:
    """m_in and m_out from the logits (V, K) of ID validation images and (O, K) of outliers.

    They are the 20th percentile of the energies of the former and the 80th of those of the latter. Where
    those are not in ascending order, they are one below and one above their mean.
    """
    m_in = float(np.quantile(_energy(logits.double()).cpu().numpy(), ID_QUANTILE))
    m_out = float(np.quantile(_energy(outlier_logits.double()).cpu().numpy(), OUTLIER_QUANTILE))
    if m_in < m_out:
        return m_in, m_out
    middle = (m_in + m_out) / 2
    return middle - 1, middle + 1


def hinges(energy: Tensor, outlier_energy: Tensor, m_in: Tensor, m_out: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squared hinge of images above m_in, and that of outliers below m_out: two scalars."""
    return (energy - m_in).relu().square().mean(), (m_out - outlier_energy).relu().square().mean()


def energy_loss(
    logits: Tensor, labels: Tensor, outlier_logits: Tensor, weight: float, m_in: Tensor, m_out: Tensor
) -> Tensor:
    """Scalar loss of logits (B, K), labels (B,) and the logits (O, K) of outliers."""
    hinge_in, hinge_out = hinges(_energy(logits), _energy(outlier_logits), m_in, m_out)
    return functional.cross_entropy(logits, labels) + weight * (hinge_in + hinge_out)


def _energy(logits: Tensor) -> Tensor:
    return -torch.logsumexp(logits, dim=1)


@register("energy_finetune")
@dataclass(frozen=True)
class EnergyFinetune(Objective):
    r"""Fine-tuning with squared hinges on the energies of images and of outliers (Liu et al. 2020, eq. 8).

    .. math::
        L = -\frac{1}{B} \sum_i \log \mathrm{softmax}(z_i)_{y_i}
            + w \Big( \frac{1}{B} \sum_i \max(0, E_i - m_\mathrm{in})^2
            + \frac{1}{O} \sum_j \max(0, m_\mathrm{out} - E_j)^2 \Big), \qquad
        E = -\log \sum_k e^{z_k}

    with i over the images of the batch and j over its outliers, twice as many. Each hinge is averaged over
    its own images. Training starts from the cross-entropy network.

    Parameters
    ----------
    weight
        w ≥ 0.
    m_in
        Margin of images, in units of the logits. None: the 20th percentile of the energies that the network
        it starts from gives ID validation images. Published: -23 on CIFAR-10, -27 on CIFAR-100.
    m_out
        Margin of outliers, given or None as `m_in` is. None: the 80th percentile of the energies of the
        training outliers. Published: -5. Where the two percentiles are not in ascending order, the margins
        are their mean minus and plus 1.

    Deviations from the paper: the margins, which do not carry over from one network to another, follow from
    the rule above unless they are given. Optimizer and schedule are those of the track.
    """

    weight: float = 0.1
    m_in: float | None = None
    m_out: float | None = None

    aliases = ("energy_ft", "energy_regularized_loss")
    paper = Paper(
        title="Energy-based Out-of-distribution Detection",
        authors="W. Liu, X. Wang, J. Owens, Y. Li",
        venue="NeurIPS",
        year=2020,
        arxiv="2010.03759",
    )
    needs = frozenset({Data.OUTLIERS})
    outlier_ratio = 2.0
    starts_from = "cross_entropy"
    detectors = ("energy", "msp")
    cost = 3.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight: expected a finite number of at least 0, got {self.weight}")
        for name, value, other in (
            ("m_in", self.m_in, self.m_out),
            ("m_out", self.m_out, self.m_in),
        ):
            if value is None and other is not None:
                raise ValueError(f"{name}: expected a number, as the other margin is {other}, got None")
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name}: expected a finite number or None, got {value}")

    def modules(self, setup: Setup) -> Mapping[str, nn.Module]:
        """Make the margins, from the network as it is before training where they are not given."""
        if self.m_in is not None and self.m_out is not None:
            return {"margins": Margins(self.m_in, self.m_out)}
        if setup.outliers is None or len(setup.outliers) == 0:
            raise ValueError("setup.outliers: energy_finetune expected at least one image, got none")
        if len(setup.val) == 0:
            raise ValueError("setup.val: energy_finetune expected at least one image, got none")
        found = margins(setup.logits(setup.val), setup.logits(setup.outliers))
        return {"margins": Margins(*found)}

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch and its outliers."""
        logits, outlier_logits = both_logits(self, network, batch)
        m_in, m_out = modules["margins"]()
        return energy_loss(logits, batch.labels, outlier_logits, self.weight, m_in, m_out)

"""Deep generative classifier (Deep-MCDD): one spherical Gaussian of features for each class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.method import Paper
from methods.objective import Batch, Objective, ObjectiveHead, TrainableNetwork
from methods.registry import register

Scale = Literal["softplus_shift", "relu"]


class GaussianHead(ObjectiveHead):
    """Logits of features (N, D) under one Gaussian a class; its outputs are the distances (N, K)."""

    def __init__(self, dimension: int, classes: int, sigma_param: Scale) -> None:
        super().__init__()
        self.sigma_param = sigma_param
        self.centres = nn.Parameter(torch.empty(classes, dimension))
        self.log_scales = nn.Parameter(torch.zeros(classes))
        self.biases = nn.Parameter(torch.zeros(classes))
        nn.init.xavier_uniform_(self.centres)

    def forward(self, penultimate: Tensor) -> Tensor:
        """Logits (N, K)."""
        return self.logits(self.outputs(penultimate))

    def outputs(self, penultimate: Tensor) -> Tensor:
        """(N, K): D, the distance to each class, small for what is of it."""
        if self.sigma_param == "relu":
            r = functional.relu(self.log_scales)
        else:
            r = functional.softplus(self.log_scales) - math.log(2)
        squared = (penultimate[:, None] - self.centres).square().sum(dim=2)
        return squared * (-2 * r).exp() / 2 + penultimate.shape[1] * r

    def logits(self, distances: Tensor) -> Tensor:
        """Logits (N, K) of distances (N, K)."""
        return self.biases - distances


def generative_loss(distances: Tensor, logits: Tensor, labels: Tensor, pull: float) -> Tensor:
    """Cross-entropy of logits (N, K), and the mean distance (N, K) to the centre of the own class."""
    own = distances.gather(1, labels[:, None]).mean()
    return pull * own + functional.cross_entropy(logits, labels)


@register("deep_generative_classifier")
@dataclass(frozen=True)
class DeepGenerativeClassifier(Objective):
    r"""Each class a Gaussian with a centre and one variance, found with the features (Lee et al. 2020).

    .. math::
        D_k(x) &= \frac{\lVert f - \mu_k \rVert^2}{2 e^{2 r_k}} + d \, r_k, \qquad
        r_k = \log(1 + e^{s_k}) - \log 2 \\
        z_k &= a_k - D_k, \qquad
        L = \frac{1}{B} \sum_i \left[ \lambda D_{y_i}(x_i) - \log \mathrm{softmax}(z_i)_{y_i} \right]

    The detector `mcdd` scores with :math:`-\min_k D_k`. No outliers are used.

    Shapes: features f (N, d), centres (K, d), scales s and biases a (K,). Cost: that of cross-entropy, and
    NKd numbers of memory.

    Parameters
    ----------
    pull
        λ ≥ 0, how much images are drawn to their class's centre; the release has 0.1 for images and 1 for
        tables.
    sigma_param
        How the logarithm of the deviation is made of s: ``softplus_shift`` as above, or ``relu``:
        :math:`r_k = \max(s_k, 0)`.

    Deviations from the paper: the formulas are those of the journal-length version's release (KDD 2020),
    except that r is a shifted softplus. The release's ``relu`` has no gradient at its start, s = 0, so that
    its variances stay 1 for ever.
    """

    pull: float = 0.1
    sigma_param: Scale = "softplus_shift"

    paper = Paper(
        title="Multi-Class Data Description for Out-of-distribution Detection",
        authors="D. Lee, S. Yu, H. Yu",
        venue="KDD",
        year=2020,
        arxiv="2104.00941",
    )
    detectors = ("mcdd", "msp")

    def __post_init__(self) -> None:
        if not 0 <= self.pull < math.inf:
            raise ValueError(f"pull: expected a finite number of at least 0, got {self.pull}")
        if self.sigma_param not in ("softplus_shift", "relu"):
            raise ValueError(f"sigma_param: expected 'softplus_shift' or 'relu', got {self.sigma_param!r}")

    def head(self, dimension: int, classes: int) -> ObjectiveHead:
        """Make the Gaussians: Xavier-uniform centres, unit variances, no bias."""
        return GaussianHead(dimension, classes, self.sigma_param)

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch.

        Raises
        ------
        TypeError
            If the network does not end in this objective's head.
        """
        head = network.head
        if not isinstance(head, GaussianHead):
            raise TypeError(
                f"the network ends in {type(head).__name__}, not in this objective's GaussianHead"
            )
        distances = head.outputs(network.penultimate(batch.images))
        return generative_loss(distances, head.logits(distances), batch.labels, self.pull)

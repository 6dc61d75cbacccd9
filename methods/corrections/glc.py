"""Gold loss correction: trusted labels tell how the others are wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.corrections._forward import joint_loss
from methods.label_noise import Correction
from methods.method import Paper
from methods.objective import Batch, Setup, TrainableNetwork
from methods.registry import register


def from_trusted(probabilities: Tensor, labels: Tensor) -> Tensor:
    """(K, K) float64: mean probabilities of each class, of (M, K) with true class indices (M,).

    The row of a class without images is that of the identity.
    """
    classes = probabilities.shape[1]
    members = functional.one_hot(labels, classes).double()  # (M, K)
    counts = members.sum(dim=0)
    matrix = members.T @ probabilities.double() + torch.diag((counts == 0).double())
    return matrix / matrix.sum(dim=1, keepdim=True)


@register("glc")
@dataclass(frozen=True)
class GLC(Correction):
    r"""Forward correction by the mean prediction for trusted images of each class (Hendrycks et al. 2018).

    .. math::
        \hat C_i &= \frac{1}{|A_i|} \sum_{x \in A_i} p'(x), \qquad
            A_i = \text{trusted images of true class } i \\
        L &= -\frac{1}{B} \Big[ \sum_\mathrm{trusted} \log p_{y}
            + \sum_\mathrm{others} \log \max\big( (p^T \hat C)_{\tilde y}, 10^{-12} \big) \Big]

    The network of the first phase, :math:`p'`, has not seen the trusted labels. It learns the noise, and
    trusted labels read it off. A class without trusted images is taken to have no noise; the history's
    ``classes_without_trusted`` counts such classes.

    Shapes: logits (B, K), Ĉ (K, K). Cost: a step costs what cross-entropy's does. The first phase is another
    training.

    Deviations from the paper: a probability below 1e-12 counts as that, without gradient. The network's head
    has a bias, which the release for pre-trained networks leaves out.
    """

    paper = Paper(
        title="Using Trusted Data to Train Deep Networks on Labels Corrupted by Severe Noise",
        authors="D. Hendrycks, M. Mazeika, D. Wilson, K. Gimpel",
        venue="NeurIPS",
        year=2018,
        arxiv="1802.05300",
    )
    trusted = True
    detectors = ("msp",)

    def modules(self, setup: Setup) -> Mapping[str, nn.Module]:
        """Keep the estimated matrix with the training's state, and how many classes it was not seen for."""
        made = super().modules(setup)
        seen = torch.bincount(_trusted_labels(setup), minlength=setup.classes) > 0
        made["noise"].register_buffer("classes_without_trusted", (~seen).sum())
        return made

    def estimate(self, setup: Setup) -> Tensor:
        """(K, K) float64 from the trusted images."""
        probabilities = self.probabilities(setup)
        return from_trusted(probabilities[_trusted(setup)], _trusted_labels(setup))

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch."""
        missing = modules["noise"].get_buffer("classes_without_trusted")
        batch.note("classes_without_trusted", missing)
        return joint_loss(self, network, batch, modules)


def _trusted(setup: Setup) -> Tensor:
    assert setup.trusted is not None  # `Correction.probabilities` checks that
    return setup.trusted.cpu()


def _trusted_labels(setup: Setup) -> Tensor:
    return setup.labels.cpu()[_trusted(setup)].long()

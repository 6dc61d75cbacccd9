"""RegMixup: mixup beside the plain cross-entropy, with images that lie half-way between two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.method import Paper
from methods.objective import Batch, Objective, TrainableNetwork
from methods.objectives._mixing import check_alpha, mixed_cross_entropy, numpy_rng
from methods.objectives._precision import widened
from methods.registry import register


@register("regmixup")
@dataclass(frozen=True)
class RegMixup(Objective):
    r"""Cross-entropy of images and, as a regulariser, of weighted means of two (Pinto et al. 2022).

    .. math::
        \tilde x_i &= \lambda x_i + (1 - \lambda) x_{\pi(i)}, \qquad
            \lambda \sim \mathrm{Beta}(\alpha, \alpha) \\
        L &= -\frac{1}{2B} \sum_i \big[ \log p(x_i)_{y_i} + \lambda \log p(\tilde x_i)_{y_i}
            + (1 - \lambda) \log p(\tilde x_i)_{y_{\pi(i)}} \big]

    with one λ and one random permutation π a batch. A large α keeps λ near 1/2: the plain term has the images
    themselves, and the other is for what is far from all of them, where the predictions become flat.

    Cost: twice that of cross-entropy. Images and mixtures share one forward pass, so that batch normalisation
    sees both.

    Parameters
    ----------
    alpha
        α > 0; 20 is the value for CIFAR-10, 10 that for CIFAR-100, in the authors' commands.

    Deviations from the paper: none in what is minimised. Where references disagree: the paper adds both
    terms, the second with a weight η of 1; the authors' code averages over all 2B images, half as much, with
    the learning rate made for that, and is followed.
    """

    alpha: float = 20.0

    paper = Paper(
        title="RegMixup: Mixup as a Regularizer Can Surprisingly Improve Accuracy and Out Distribution "
        "Robustness",
        authors="F. Pinto, H. Yang, S.-N. Lim, P. H. S. Torr, P. K. Dokania",
        venue="NeurIPS",
        year=2022,
        arxiv="2206.14502",
    )
    detectors = ("msp", "energy")
    cost = 2.0

    def __post_init__(self) -> None:
        check_alpha(self.alpha)

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch, as it is and mixed."""
        images, labels = batch.images, batch.labels
        share = float(numpy_rng(batch.rng).beta(self.alpha, self.alpha))
        order = torch.randperm(len(images), generator=batch.rng).to(images.device)
        mixtures = share * images + (1 - share) * images[order]
        own, mixed = torch.split(widened(network(torch.cat([images, mixtures]))), len(images))
        plain = functional.cross_entropy(own, labels)
        regulariser = mixed_cross_entropy(mixed, labels, labels[order], share)
        batch.note("plain_loss", plain.detach())
        batch.note("mixed_loss", regulariser.detach())
        return (plain + regulariser) / 2

"""CIDER: images near the prototype of their class on a sphere, prototypes far from each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.method import Paper
from methods.objective import Batch, Objective, Setup, TrainableNetwork
from methods.objectives._augment import contrastive_view
from methods.objectives._prototypes import Prototypes, compactness, dispersion
from methods.registry import register

BASE_TEMPERATURE = 0.07


@register("cider")
@dataclass(frozen=True)
class CIDER(Objective):
    r"""Views of images compact about class prototypes, which disperse (Ming et al. 2023).

    .. math::
        \mu_c &\leftarrow \frac{m \mu_c + (1 - m) v}{\lVert m \mu_c + (1 - m) v \rVert}
            \quad \text{for each view } v \text{ of class } c \text{ in turn} \\
        L_\mathrm{dis} &= \frac{1}{K} \sum_i \log \frac{1}{K - 1} \sum_{j \ne i} e^{\mu_i^\top \mu_j / \tau},
            \qquad
        L_\mathrm{comp} = -\frac{1}{2B} \sum_i \log
            \frac{e^{v_i^\top \mu_{y_i} / \tau}}{\sum_c e^{v_i^\top \mu_c / \tau}} \\
        L &= L_\mathrm{dis} + \lambda \frac{\tau}{0.07} L_\mathrm{comp}

    with :math:`v` the normalised output of an MLP (D → D → `projection`) on features of a view. Prototypes
    have the gradient of the views that moved them in this batch; in the compactness they are constants.
    Detectors are given the features, not the projection: the paper's is `knn`, which normalises them.

    Shapes: images (B, 3, H, W), views v (2B, P), prototypes μ (K, P), with P = `projection`. Cost: two views
    of each image, so twice that of cross-entropy, and as many small steps as a class has views in the batch.

    Parameters
    ----------
    weight
        λ ≥ 0; 2 in the commands of the release.
    momentum
        m of the prototypes, in [0, 1); 0.95 in the command of the release for CIFAR-10, 0.5 in that for
        CIFAR-100.
    temperature
        τ > 0.
    projection
        Dimension of the views.
    flip
        Whether views may be mirrored; wrong for what is another thing then, such as digits.

    Deviations from the paper: a prototype starts as the first view of its class, and a class of which none
    was seen takes no part; in the release prototypes start as the means of the training images by the network
    before training. With one class there is no dispersion. The head learns to classify along, by
    cross-entropy on the features, which it does not change: a linear probe, so that the accuracy of the
    network means something. Its loss is in the total. Views are those of `ssd`. Where references disagree:
    the factor τ/0.07 of the compactness is the release's alone and is followed, with the learning rate made
    for it.
    """

    weight: float = 2.0
    momentum: float = 0.95
    temperature: float = 0.1
    projection: int = 128
    flip: bool = True

    paper = Paper(
        title="How to Exploit Hyperspherical Embeddings for Out-of-Distribution Detection?",
        authors="Y. Ming, Y. Sun, O. Dia, Y. Li",
        venue="ICLR",
        year=2023,
        arxiv="2203.04450",
    )
    detectors = ("knn", "mahalanobis")
    cost = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight: expected a finite number of at least 0, got {self.weight}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum: expected a number in [0, 1), got {self.momentum}")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature: expected a finite number above 0, got {self.temperature}")
        if self.projection < 1:
            raise ValueError(f"projection: expected at least 1, got {self.projection}")

    def modules(self, setup: Setup) -> Mapping[str, nn.Module]:
        """Make the projection and the prototypes."""
        d = setup.dimension
        return {
            "projection": nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, self.projection)),
            "prototypes": Prototypes(setup.classes, self.projection),
        }

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch: of the views, and of the probe."""
        views = torch.cat([contrastive_view(batch.images, batch.rng, self.flip) for _ in range(2)])
        labels = batch.labels.repeat(2)
        features = network.penultimate(views)
        projected = functional.normalize(modules["projection"](features).to(views.dtype), dim=1)
        prototypes = modules["prototypes"]
        assert isinstance(prototypes, Prototypes)
        moved = prototypes.follow(projected, labels, self.momentum)
        apart = dispersion(moved, self.temperature)
        near = compactness(projected, labels, moved.detach(), self.temperature)
        probe = functional.cross_entropy(network.head(features.detach()), labels)
        batch.note("dispersion_loss", apart.detach())
        batch.note("compactness_loss", near.detach())
        batch.note("probe_loss", probe.detach())
        return apart + self.weight * (self.temperature / BASE_TEMPERATURE) * near + probe

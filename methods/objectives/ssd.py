"""SSD: self-supervised contrastive training, for outlier detection without labels."""

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
from methods.registry import register

BASE_TEMPERATURE = 0.07


def contrastive_loss(views: Tensor, classes: Tensor, temperature: float) -> Tensor:
    """(M,) loss of each anchor among unit vectors `views` (M, P), of which those of a class belong together.

    `classes` (M,) tells it. An anchor that is alone in its class has a loss of 0.
    """
    with torch.autocast(views.device.type, enabled=False):
        similar = views @ views.T / temperature
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    log_p = functional.log_softmax(similar.masked_fill(itself, -math.inf), dim=1)
    positive = (classes[:, None] == classes) & ~itself
    return -log_p.masked_fill(~positive, 0).sum(dim=1) / positive.sum(dim=1).clamp(min=1)


@register("ssd")
@dataclass(frozen=True)
class SSD(Objective):
    r"""Two views of an image shall be alike among all others (Sehwag et al. 2021).

    .. math::
        \ell_i = -\frac{1}{|P(i)|} \sum_{j \in P(i)} \log
            \frac{\exp(v_i^\top v_j / \tau)}{\sum_{a \ne i} \exp(v_i^\top v_a / \tau)}, \qquad
        L = \frac{\tau}{0.07} \frac{1}{2B} \sum_i \ell_i

    with :math:`v` the normalised output of an MLP (D → D → `projection`) on features of a view, and P(i) the
    other view of the same image; with labels (SSD+), all other views of the same class. Views are random
    crops of a fifth to all of the area, mirrored, with changed colours or gray. The detector `ssd_score`
    takes the features, not the projection.

    Shapes: images (B, 3, H, W), views v (2B, `projection`). Cost: two views of each image, so twice that of
    cross-entropy, and O(B²).

    Parameters
    ----------
    labels
        Whether classes are used: SSD+.
    temperature
        τ > 0.
    projection
        Dimension of the views.
    base_temperature_factor
        Whether the loss is multiplied by τ/0.07, as in the release, whose learning rate is made for that.
    flip
        Whether views may be mirrored; wrong for what is another thing then, such as digits.

    Deviations from the paper: none in the loss of the features. The head learns to classify along, by
    cross-entropy on the features, which it does not change: a linear probe, so that the accuracy of the
    network means something. Its loss is in the total. A hue is turned about the gray axis, where the release
    moves it in HSV, and the order of the changes of colour is drawn for the batch.
    """

    labels: bool = False
    temperature: float = 0.5
    projection: int = 128
    base_temperature_factor: bool = True
    flip: bool = True

    paper = Paper(
        title="SSD: A Unified Framework for Self-Supervised Outlier Detection",
        authors="V. Sehwag, M. Chiang, P. Mittal",
        venue="ICLR",
        year=2021,
        arxiv="2103.12051",
    )
    detectors = ("ssd_score", "knn", "mahalanobis")
    cost = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature: expected a finite number above 0, got {self.temperature}")
        if self.projection < 1:
            raise ValueError(f"projection: expected at least 1, got {self.projection}")

    def modules(self, setup: Setup) -> Mapping[str, nn.Module]:
        """Make the projection."""
        d = setup.dimension
        return {"projection": nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, self.projection))}

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch: of the views, and of the probe."""
        views = torch.cat([contrastive_view(batch.images, batch.rng, self.flip) for _ in range(2)])
        features = network.penultimate(views)
        groups = batch.labels if self.labels else torch.arange(len(batch.images), device=views.device)
        projected = functional.normalize(modules["projection"](features).to(views.dtype), dim=1)
        alike = contrastive_loss(projected, groups.repeat(2), self.temperature).mean()
        if self.base_temperature_factor:
            alike = alike * (self.temperature / BASE_TEMPERATURE)
        probe = functional.cross_entropy(network.head(features.detach()), batch.labels.repeat(2))
        batch.note("contrastive_loss", alike.detach())
        batch.note("probe_loss", probe.detach())
        return alike + probe

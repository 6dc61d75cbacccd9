"""CutMix: training on images with a box of another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.method import Paper
from methods.objective import Batch, Objective, TrainableNetwork
from methods.objectives._mixing import check_alpha, mixed_cross_entropy, numpy_rng
from methods.objectives._precision import widened
from methods.registry import register


class Box(NamedTuple):
    """Columns x1 to x2 and rows y1 to y2, the ends excluded, and the share of the image that is outside."""

    x1: int
    y1: int
    x2: int
    y2: int
    share: float


def box(width: int, height: int, share: float, x: int, y: int) -> Box:
    """Box around (x, y) that leaves about `share` of an image; more where it is clipped to the image."""
    side = math.sqrt(1 - share)
    half_width, half_height = int(width * side) // 2, int(height * side) // 2
    x1, x2 = max(x - half_width, 0), min(x + half_width, width)
    y1, y2 = max(y - half_height, 0), min(y + half_height, height)
    return Box(x1, y1, x2, y2, 1 - (x2 - x1) * (y2 - y1) / (width * height))


@register("cutmix")
@dataclass(frozen=True)
class CutMix(Objective):
    r"""Cross-entropy of images with a box pasted from another, to the labels of both (Yun et al. 2019).

    .. math::
        L = -\frac{1}{B} \sum_i \big[ \lambda \log p(\tilde x_i)_{y_i}
            + (1 - \lambda) \log p(\tilde x_i)_{y_{\pi(i)}} \big]

    where :math:`\tilde x_i` is :math:`x_i` with a box of :math:`x_{\pi(i)}`. The box has the sides
    :math:`\sqrt{1 - \lambda'}` of the image's, λ' from Beta(α, α), and a centre that is uniform over the
    pixels; it is clipped to the image, and λ is the share of the image that is left. One box and one random
    permutation π a batch. Batches that are not mixed are trained on with the plain cross-entropy.

    Parameters
    ----------
    alpha
        α > 0; 1 makes λ' uniform.
    probability
        Of a batch to be mixed, from 0 to 1; 0.5 is the release's value for CIFAR.

    Deviations from the paper: none.
    """

    alpha: float = 1.0
    probability: float = 0.5

    paper = Paper(
        title="CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features",
        authors="S. Yun, D. Han, S. J. Oh, S. Chun, J. Choe, Y. Yoo",
        venue="ICCV",
        year=2019,
        arxiv="1905.04899",
    )
    detectors = ("msp",)

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability: expected a number from 0 to 1, got {self.probability}")

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch, mixed or not."""
        images, labels, rng = batch.images, batch.labels, numpy_rng(batch.rng)
        if rng.random() >= self.probability:
            return functional.cross_entropy(widened(network(images)), labels)
        height, width = images.shape[-2:]
        x, y = int(rng.integers(width)), int(rng.integers(height))
        x1, y1, x2, y2, share = box(width, height, float(rng.beta(self.alpha, self.alpha)), x, y)
        order = torch.randperm(len(images), generator=batch.rng).to(images.device)
        mixed = images.clone()
        mixed[:, :, y1:y2, x1:x2] = images[order, :, y1:y2, x1:x2]
        return mixed_cross_entropy(network(mixed), labels, labels[order], share)

"""PixMix: training on images that are mixed, again and again, with structured pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.method import Paper
from methods.objective import Batch, Data, Objective, TrainableNetwork
from methods.objectives._mixing import numpy_rng
from methods.objectives._operations import TOP, check_severity, quantised, varied
from methods.objectives._precision import widened
from methods.registry import register

SMALLEST = 1e-37  # of what is raised to a power that may be negative


def coefficients(count: int, beta: float, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw a and b (count,) of as many mixings: both positive, or a above 1 and b negative, as likely."""
    near = draw.random(count) < 0.5
    large, a, b = draw.beta(beta, 1, count), draw.beta(1, beta, count), draw.beta(1, beta, count)
    return torch.from_numpy(np.where(near, large, 1 + a)), torch.from_numpy(np.where(near, b, -b))


def added(images: Tensor, pictures: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Mix images in [0, 1] by a weighted sum of what they differ from gray by."""
    mixed: Tensor = (a * (2 * images - 1) + b * (2 * pictures - 1) + 1) / 2
    return mixed.clamp(0, 1)


def multiplied(images: Tensor, pictures: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Mix images in [0, 1] by a product of powers, of which gray is 1."""
    mixed: Tensor = (2 * images) ** a * (2 * pictures).clamp(min=SMALLEST) ** b / 2
    return mixed.clamp(0, 1)


def mixed_with(
    images: Tensor, pictures: Tensor, rng: torch.Generator, rounds: int, beta: float, severity: float
) -> Tensor:
    """Mix each image (B, C, H, W) up to `rounds` times with its picture, or with itself, varied."""
    draw, levels = numpy_rng(rng), quantised(images)
    times = torch.randint(rounds + 1, (len(images),), generator=rng)
    mixed = _varied_in_places(images, torch.ones(len(images), dtype=torch.bool), levels, rng, severity)
    for done in range(rounds):
        going_on = times > done
        other = _varied_in_places(pictures, going_on, levels, rng, severity)
        a, b = (c.to(images)[:, None, None, None] for c in coefficients(len(images), beta, draw))
        sums = torch.rand(len(images), generator=rng) < 0.5
        found = torch.where(_each(sums, images), added(mixed, other, a, b), multiplied(mixed, other, a, b))
        mixed = torch.where(_each(going_on, images), found, mixed)
    return mixed


def _varied_in_places(
    images: Tensor, wanted: Tensor, levels: Tensor, rng: torch.Generator, severity: float
) -> Tensor:
    """Put, for every second of the `wanted`, varied `levels` in the place of `images`."""
    chosen = (torch.rand(len(images), generator=rng) < 0.5) & wanted
    rows = torch.where(chosen)[0].to(images.device)
    found = images.clone()
    found[rows] = varied(levels[rows], rng, severity) / TOP
    return found


def _each(chosen: Tensor, images: Tensor) -> Tensor:
    return chosen.to(images.device)[:, None, None, None]


@register("pixmix")
@dataclass(frozen=True)
class PixMix(Objective):
    r"""Cross-entropy of images that are mixed with structured pictures (Hendrycks et al. 2022).

    An image, or as likely one operation on it, is the first :math:`\tilde x`. It is mixed n times, n uniform
    from 0 to `rounds`, each time with one operation on the image or, as likely, with its picture, q:

    .. math::
        2 \tilde x - 1 &\leftarrow a \, (2 \tilde x - 1) + b \, (2 q - 1) \quad \text{or, as likely,} \quad
        2 \tilde x \leftarrow (2 \tilde x)^a \max(2 q, 10^{-37})^b \\
        (a, b) &\sim \mathrm{Beta}(\beta, 1) \times \mathrm{Beta}(1, \beta) \quad \text{or, as likely,} \quad
        a - 1, -b \sim \mathrm{Beta}(1, \beta) \\
        L &= -\frac{1}{B} \sum_i \log \mathrm{softmax}(z(\tilde x_i))_{y_i}

    clipped to [0, 1] each time. The operations are those of `augmix`. The pictures are the outliers that the
    training is given, one for each image; what they show is not learnt: the label stays that of the image.

    Shapes: images and pictures (B, 3, H, W). Cost: that of cross-entropy; the operations and mixings are of B
    images, `rounds` + 1 times.

    Parameters
    ----------
    rounds
        k ≥ 0.
    beta
        β > 0: the larger, the nearer images stay to what they were. 3 is the release's value for CIFAR, 4
        that for ImageNet.
    severity
        Greatest strength of an operation, from 0.1 to 10; 3 is the release's value for CIFAR, 1 that for
        ImageNet.

    Deviations from the paper: the pictures are what the track gives as outliers, varied as the track varies
    images; those of the paper are fractals and visualizations of features. Where references disagree: the
    commands of the release have brightness, contrast, colour and sharpness among the operations, which its
    code leaves out unless asked; here they are left out, as some of them are corruptions that robustness is
    tested with. How operations are rounded is told in `augmix`. That it is scored with `msp` follows OpenOOD.
    """

    rounds: int = 4
    beta: float = 3.0
    severity: float = 3.0

    paper = Paper(
        title="PixMix: Dreamlike Pictures Comprehensively Improve Safety Measures",
        authors="D. Hendrycks, A. Zou, M. Mazeika, L. Tang, B. Li, D. Song, J. Steinhardt",
        venue="CVPR",
        year=2022,
        arxiv="2112.05135",
    )
    needs = frozenset({Data.OUTLIERS})
    detectors = ("msp",)

    def __post_init__(self) -> None:
        if self.rounds < 0:
            raise ValueError(f"rounds: expected at least 0, got {self.rounds}")
        if not 0 < self.beta < math.inf:
            raise ValueError(f"beta: expected a finite number above 0, got {self.beta}")
        check_severity(self.severity)

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch, mixed.

        Raises
        ------
        ValueError
            If the batch has no outliers.
        """
        images, pictures = batch.images, batch.outliers
        if pictures is None or len(pictures) == 0:
            got = "none" if pictures is None else f"shape {tuple(pictures.shape)}"
            raise ValueError(f"batch.outliers: pixmix expected at least one picture to mix with, got {got}")
        of_each = torch.arange(len(images), device=images.device) % len(pictures)
        shown = mixed_with(images, pictures[of_each], batch.rng, self.rounds, self.beta, self.severity)
        return functional.cross_entropy(widened(network(shown)), batch.labels)

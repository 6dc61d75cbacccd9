"""AugMix: images mixed with chains of simple operations on them, and predictions that agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.method import Paper
from methods.objective import Batch, Objective, TrainableNetwork
from methods.objectives._mixing import check_alpha, numpy_rng
from methods.objectives._operations import TOP, check_severity, quantised, varied
from methods.objectives._precision import widened
from methods.registry import register

LONGEST = 3  # operations in a chain, at most


def jensen_shannon(logits: Tensor) -> Tensor:
    """(B,) divergence in nats of the predictions by logits (V, B, K): 0 if they agree, at most log V."""
    log_p = functional.log_softmax(logits, dim=2)
    log_m = torch.logsumexp(log_p, dim=0) - math.log(len(logits))
    return (log_p.exp() * (log_p - log_m)).sum(dim=2).mean(dim=0)


def augmented(images: Tensor, rng: torch.Generator, chains: int, severity: float, alpha: float) -> Tensor:
    """Mix each image (B, C, H, W) with a mean of `chains` chains of one to three operations on it."""
    count = len(images)
    draw = numpy_rng(rng)
    weights = torch.from_numpy(draw.dirichlet([alpha] * chains, size=count))  # (B, chains)
    share = torch.from_numpy(draw.beta(alpha, alpha, size=count))  # (B,) of the chains
    lengths = torch.randint(1, LONGEST + 1, (chains * count,), generator=rng)
    levels = quantised(images).repeat(chains, 1, 1, 1)  # chain by chain
    for step in range(LONGEST):
        rows = torch.where(lengths > step)[0].to(images.device)
        levels[rows] = varied(levels[rows], rng, severity)
    ways = levels.reshape(chains, *images.shape) / TOP
    parts = (share[:, None] * weights).T.to(images)[:, :, None, None, None]  # (chains, B, 1, 1, 1)
    kept = (1 - share).to(images)[:, None, None, None]
    mixed: Tensor = kept * images + (parts * ways).sum(dim=0)
    return mixed


@register("augmix")
@dataclass(frozen=True)
class AugMix(Objective):
    r"""Cross-entropy, and how far predictions for two varied views diverge (Hendrycks et al. 2020).

    .. math::
        \tilde x &= (1 - m) \, x + m \sum_{c=1}^{k} w_c \, o_{c, n_c}(\dots o_{c, 1}(x)), \qquad
            m \sim \mathrm{Beta}(\alpha, \alpha), \quad w \sim \mathrm{Dirichlet}(\alpha, \dots, \alpha) \\
        L &= \frac{1}{B} \sum_i \Big[ -\log p(x_i)_{y_i} + \frac{\lambda}{3} \big(
            \mathrm{KL}(p(x_i) \Vert M_i) + \mathrm{KL}(p(\tilde x_i) \Vert M_i)
            + \mathrm{KL}(p(\tilde x_i') \Vert M_i) \big) \Big]

    with two views :math:`\tilde x, \tilde x'` of an image and :math:`M_i` the mean of the three predictions.
    A chain has one to three operations o, and each image, chain and place draws its own: autocontrast,
    equalize, posterize, solarize, rotation, shear and translation across or down. None of them is one of the
    corruptions that robustness is tested with.

    Shapes: images (B, 3, H, W), shown with both views (3B, 3, H, W). Cost: three times that of cross-entropy,
    and the operations, which are on 2kB images at once. All views share one forward pass, so that batch
    normalisation sees them.

    Parameters
    ----------
    weight
        λ ≥ 0.
    chains
        k, at least 1.
    severity
        Greatest strength of an operation, from 0.1 to 10, at which pixels move by a third of the side or turn
        by 30 degrees. 3 is the release's value for CIFAR, 1 that for ImageNet.
    alpha
        α > 0.

    Deviations from the paper: none in the loss; the mean prediction is not kept from falling below 1e-7, as
    in the release, because it is computed from logarithms. The operations work on 256 levels, as those of the
    release do, to which images are rounded for them; between pixels the nearest level is taken, where Pillow
    cuts fractions off. They act after the track's own crops and mirroring, as in the release. What the paper
    measures is robustness and calibration; that it is scored with `msp` follows OpenOOD.
    """

    weight: float = 12.0
    chains: int = 3
    severity: float = 3.0
    alpha: float = 1.0

    paper = Paper(
        title="AugMix: A Simple Data Processing Method to Improve Robustness and Uncertainty",
        authors="D. Hendrycks, N. Mu, E. D. Cubuk, B. Zoph, J. Gilmer, B. Lakshminarayanan",
        venue="ICLR",
        year=2020,
        arxiv="1912.02781",
    )
    detectors = ("msp",)
    cost = 3.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight: expected a finite number of at least 0, got {self.weight}")
        if self.chains < 1:
            raise ValueError(f"chains: expected at least 1, got {self.chains}")
        check_severity(self.severity)
        check_alpha(self.alpha)

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch, as it is and in two views."""
        images = batch.images
        views = augmented(images.repeat(2, 1, 1, 1), batch.rng, self.chains, self.severity, self.alpha)
        logits = torch.stack(widened(network(torch.cat([images, views]))).chunk(3))
        plain = functional.cross_entropy(logits[0], batch.labels)
        apart = jensen_shannon(logits).mean()
        batch.note("plain_loss", plain.detach())
        batch.note("divergence", apart.detach())
        return plain + self.weight * apart

"""Joint confidence GAN: a classifier that is unsure of what a generator makes near the data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from methods.method import Paper
from methods.objective import NETWORK, Batch, Objective, Optimizer, Setup, TrainableNetwork
from methods.objectives._frozen import statistics_frozen, weights_frozen
from methods.objectives._gan import (
    SIDE,
    Discriminator,
    Generator,
    discriminator_loss,
    generator_loss,
    resized,
)
from methods.objectives._precision import widened
from methods.objectives.confidence_loss import confidence_loss
from methods.registry import register


@register("joint_confidence_gan")
@dataclass(frozen=True)
class JointConfidenceGAN(Objective):
    r"""Classifier P, generator G and discriminator D in alternation (Lee et al. 2018).

    .. math::
        L_D &= -\log D(x) - \log(1 - D(G(\xi))) \\
        L_G &= -\log D(G(\xi)) + \beta \, KL(u \Vert P(G(\xi))) \\
        L_P &= -\log P(y \mid x) + \beta \, KL(u \Vert P(G(\xi')))

    each a mean over the batch, u uniform over K classes, :math:`\xi, \xi'` normal. Each is lowered in its
    own network alone, in this order; ξ is shared by the first two and ξ' is fresh. The generator is drawn to
    where its images look real and are not recognised, the border of the data. No outliers are used.

    Shapes: images (B, 3, H, W), noise (B, noise). Cost: two further passes of the classifier, on fakes, and
    those of G and D, which are most of it where the classifier is small: they cost as `width`².
    The history keeps the mean of max p on fakes, the discriminator's accuracy and the share of fakes with
    max p > 0.95. In the end 16 images of G are kept, of noise that was drawn at the start.

    Parameters
    ----------
    beta
        β ≥ 0; the release has 1 for SVHN and 0.1 for CIFAR-10.
    lr
        Learning rate of Adam (betas 0.5, 0.999) for G and D.
    width
        f: G has 8f, 4f, 2f channels, D as many in the other order.
    noise
        Dimension of the noise.

    Deviations from the paper: G's adversarial term is the non-saturating one and D gives logits, as in the
    release and for its stability. In a step of P fakes are a batch of their own that batch normalisation does
    not keep in its running statistics; the release's classifier has none. G and D have images of 32 × 32:
    others are shrunk or enlarged for D, and fakes to the classifier's size. How their rates decay is the
    trainer's.
    """

    beta: float = 1.0
    lr: float = 2e-4
    width: int = 64
    noise: int = 100

    paper = Paper(
        title="Training Confidence-calibrated Classifiers for Detecting Out-of-Distribution Samples",
        authors="K. Lee, H. Lee, K. Lee, J. Shin",
        venue="ICLR",
        year=2018,
        arxiv="1711.09325",
    )
    small = {"width": 8}
    detectors = ("msp", "energy", "odin")
    cost = 5.0

    def __post_init__(self) -> None:
        if not 0 <= self.beta < math.inf:
            raise ValueError(f"beta: expected a finite number of at least 0, got {self.beta}")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr: expected a finite number above 0, got {self.lr}")
        for name in ("width", "noise"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")

    def modules(self, setup: Setup) -> Mapping[str, nn.Module]:
        """Make the generator and the discriminator."""
        return {
            "generator": Generator(self.noise, self.width),
            "discriminator": Discriminator(self.width),
        }

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Adam for each of the two."""
        adam = Optimizer("adam", self.lr, {"betas": (0.5, 0.999)})
        return {"generator": adam, "discriminator": adam}

    def steps(
        self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield L_D, L_G and L_P; each gives gradients to its own network only."""
        generator, discriminator = modules["generator"], modules["discriminator"]
        height, width = batch.images.shape[-2:]
        fakes = generator(self._noise(batch))

        on_real, on_fake = discriminator(resized(batch.images, SIDE, SIDE)), discriminator(fakes.detach())
        right = torch.cat([on_real > 0, on_fake <= 0])
        batch.note("discriminator_accuracy", right.double().mean())
        yield "discriminator", discriminator_loss(on_real, on_fake)

        with weights_frozen(discriminator.modules()):
            judged = discriminator(fakes)
        with weights_frozen(network.modules()), statistics_frozen(network.modules()):
            logits = widened(network(resized(fakes, height, width)))
        yield "generator", generator_loss(judged, logits, self.beta)

        yield NETWORK, self.loss(network, batch, modules)

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """L_P, on fresh fakes: scalar."""
        generator = modules["generator"]
        with weights_frozen(generator.modules()):
            fakes = resized(generator(self._noise(batch)), *batch.images.shape[-2:])
        logits = widened(network(batch.images))
        with statistics_frozen(network.modules()):
            fake_logits = widened(network(fakes))
        surest = torch.softmax(fake_logits.detach().double(), dim=1).amax(dim=1)
        batch.note("confidence_on_fakes", surest.mean())
        batch.note("confident_fakes", (surest > 0.95).double().mean())
        return confidence_loss(logits, batch.labels, fake_logits, self.beta)

    def finish(self, network: TrainableNetwork, modules: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """Keep images (16, 3, 32, 32) of the generator as ``samples``, normalised as in training."""
        generator = modules["generator"]
        assert isinstance(generator, Generator)
        with torch.no_grad(), statistics_frozen(generator.modules()):
            images = generator(generator.fixed)
        return {"samples": (255 * images).round().to("cpu", torch.uint8)}

    def _noise(self, batch: Batch) -> Tensor:
        noise = torch.randn(len(batch.images), self.noise, generator=batch.rng)
        return noise.to(batch.images)

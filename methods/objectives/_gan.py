"""A generator and a discriminator of images of 32 × 32 pixels, and their losses."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.objectives.confidence_loss import kl_from_uniform

SIDE = 32
SAMPLES = 16  # kept to be looked at


class Generator(nn.Module):
    """Noise (N, noise) to images (N, 3, 32, 32) in [0, 1]."""

    fixed: Tensor  # (16, noise), what the samples that are kept are made from

    def __init__(self, noise: int, width: int) -> None:
        super().__init__()
        wide = [8 * width, 4 * width, 2 * width]
        layers: list[nn.Module] = []
        for taken, given, stride, padding in zip([noise, *wide], wide, (1, 2, 2), (0, 1, 1), strict=False):
            convolution = nn.ConvTranspose2d(taken, given, 4, stride, padding, bias=False)
            layers += [convolution, nn.BatchNorm2d(given), nn.ReLU(inplace=True)]
        last = nn.ConvTranspose2d(wide[-1], 3, 4, 2, 1)
        self.layers = nn.Sequential(*layers, last)
        self.register_buffer("fixed", torch.randn(SAMPLES, noise))
        _initialise(self)

    def forward(self, noise: Tensor) -> Tensor:
        """Make images of noise (N, noise)."""
        images: Tensor = self.layers(noise[:, :, None, None])
        return torch.sigmoid(images.to(noise.dtype))  # not in reduced precision: they are pixels


class Discriminator(nn.Module):
    """Images (N, 3, 32, 32) in [0, 1] to logits (N,), high for real ones."""

    def __init__(self, width: int) -> None:
        super().__init__()
        wide = [3, 2 * width, 4 * width, 8 * width]
        layers: list[nn.Module] = []
        for i, (taken, given) in enumerate(pairwise(wide)):
            norm = [nn.BatchNorm2d(given)] if i else []
            layers += [nn.Conv2d(taken, given, 4, 2, 1, bias=not i), *norm, nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(wide[-1], 1, 4))
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """How real images look: logits (N,)."""
        logits: Tensor = self.layers(images)
        return logits.flatten()


def resized(images: Tensor, height: int, width: int) -> Tensor:
    """Images (N, 3, height, width), as they are where they have that size."""
    if images.shape[-2:] == (height, width):
        return images
    found = functional.interpolate(images, (height, width), mode="bilinear", antialias=True)
    return found.clamp(0, 1)


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Binary cross-entropy of discriminator logits: of real images towards 1, of fakes towards 0."""
    return functional.softplus(-real).mean() + functional.softplus(fake).mean()


def generator_loss(judged: Tensor, logits: Tensor, beta: float) -> Tensor:
    """Fakes shall look real to the discriminator and say nothing to the classifier (logits (N, K))."""
    return functional.softplus(-judged).mean() + beta * kl_from_uniform(logits).mean()


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

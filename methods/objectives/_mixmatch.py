"""MixMatch: guessed labels of unlabelled images, mixed with labelled ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from methods.objective import TrainableNetwork
from methods.objectives._frozen import weights_frozen
from methods.objectives._mixing import numpy_rng
from methods.objectives._precision import widened


def sharpened(probabilities: Tensor, temperature: float) -> Tensor:
    """Distributions (N, K) to the power 1 / `temperature`, normalised again."""
    # Of logarithms, so that no power becomes 0 in every column.
    return torch.softmax(probabilities.log() / temperature, dim=1)


def weight_of_unlabelled(epochs: float, full: float, ramp: float) -> float:
    """`full` after `ramp` epochs, a straight line from 0 before."""
    return full * min(1.0, epochs / ramp) if ramp > 0 else full


def mixed(
    images: Tensor, targets: Tensor, concentration: float, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mix images (N, 3, H, W) and targets (N, K) with others of them; each stays the larger part.

    The share is drawn once, from a symmetric beta distribution, and so is the permutation.
    """
    drawn = float(numpy_rng(rng).beta(concentration, concentration))
    share = max(drawn, 1 - drawn)
    others = torch.randperm(len(images), generator=rng).to(images.device)
    return (
        share * images + (1 - share) * images[others],
        share * targets + (1 - share) * targets[others],
    )


def unlabelled_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean squared difference of probabilities, over images and classes; 0 without images."""
    if not len(logits):
        return logits.new_zeros(())
    return functional.mse_loss(torch.softmax(logits, dim=1), targets)


def mixmatch(
    network: TrainableNetwork,
    images: Tensor,
    targets: Tensor,
    views: Sequence[Tensor],
    temperature: float,
    concentration: float,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Losses of images (B, 3, H, W) with targets (B, K), and of two `views` (M, 3, H, W) of unlabelled ones.

    M may be 0. The guess has no gradient; the mixed images go through the network in one batch.
    """
    both, count = torch.cat(list(views)), len(images)
    if len(both):
        # Frozen, not under no_grad: older releases of torch use weights that autocast cast there, which have
        # no gradient, again.
        with weights_frozen(network.modules()):
            p = torch.softmax(widened(network(both)), dim=1)
        guessed = sharpened((p[: len(views[0])] + p[len(views[0]) :]) / 2, temperature)
        targets = torch.cat([targets, guessed, guessed])
    inputs, targets = mixed(torch.cat([images, both]), targets, concentration, rng)
    logits = widened(network(inputs))
    labelled = functional.cross_entropy(logits[:count], targets[:count])
    return labelled, unlabelled_loss(logits[count:], targets[count:])

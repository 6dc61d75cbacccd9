"""Prototypes of classes on the unit sphere, which follow the images of their class."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def ranks(labels: Tensor) -> Tensor:
    """(M,) how many of the labels (M,) before each are the same."""
    order = torch.argsort(labels, stable=True)
    counts = torch.bincount(labels)
    within = torch.arange(len(labels), device=labels.device) - (counts.cumsum(dim=0) - counts)[labels[order]]
    return torch.empty_like(within).index_copy_(0, order, within)


class Prototypes(nn.Module):
    """One unit vector a class, and zeros for a class of which no image was seen. Nothing here is trained."""

    vectors: Tensor  # (K, P)

    def __init__(self, classes: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(classes, dimension))

    def follow(self, views: Tensor, labels: Tensor, momentum: float) -> Tensor:
        """Move the prototypes towards unit vectors `views` (M, P) of classes `labels` (M,), one by one.

        Returns them (K, P), differentiable in the views of this call; what is kept has no gradient. All
        classes move at once: the first view of each, then the second of each.
        """
        found = self.vectors.clone().to(views.dtype)
        rounds = ranks(labels.cpu())
        for turn in range(int(rounds.max()) + 1 if len(rounds) else 0):
            rows = torch.where(rounds == turn)[0].to(views.device)
            classes = labels[rows]
            moved = functional.normalize(momentum * found[classes] + (1 - momentum) * views[rows], dim=1)
            found = found.index_copy(0, classes, moved)
        with torch.no_grad():
            self.vectors.copy_(found.detach())
        return found


def dispersion(prototypes: Tensor, temperature: float) -> Tensor:
    """Scalar: how near the prototypes (K, P) are to each other; those that are zero do not count."""
    seen = prototypes.detach().ne(0).any(dim=1)
    if int(seen.sum()) < 2:
        return prototypes.sum() * 0
    with torch.autocast(prototypes.device.type, enabled=False):
        similar = prototypes[seen] @ prototypes[seen].T / temperature
    itself = torch.eye(len(similar), dtype=torch.bool, device=similar.device)
    others = torch.logsumexp(similar.masked_fill(itself, -math.inf), dim=1)
    return (others - math.log(len(similar) - 1)).mean()


def compactness(views: Tensor, labels: Tensor, prototypes: Tensor, temperature: float) -> Tensor:
    """Scalar: mean negative log-likelihood of the views (M, P) by the prototypes (K, P), the seen ones."""
    unseen = prototypes.detach().eq(0).all(dim=1)
    with torch.autocast(views.device.type, enabled=False):
        similar = views @ prototypes.T / temperature
    return functional.cross_entropy(similar.masked_fill(unseen, -math.inf), labels)

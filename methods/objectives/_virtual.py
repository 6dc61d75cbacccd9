"""What virtual outliers are made of: the last features of each class, and samples far out of Gaussians."""

from __future__ import annotations

import scipy.special
import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.objective import ObjectiveHead
from methods.objectives._prototypes import ranks

LEAST = 1e-30  # of a weight in the energy, so that its logarithm is finite


class EnergyHead(ObjectiveHead):
    """A linear layer of features (N, D), and as output a logit of in-distribution, of its weighted energy."""

    def __init__(self, dimension: int, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(dimension, classes)
        self.weights = nn.Parameter(torch.rand(classes))
        self.told = nn.Linear(1, 2)  # of an energy: two logits, the second for in-distribution
        with torch.no_grad():  # the steeper: a few steps would not turn what starts the wrong way round
            self.told.weight.copy_(self.told.weight.sort(dim=0).values)

    @property
    def linear(self) -> nn.Linear:
        """What gives the logits."""
        return self.classifier

    def forward(self, penultimate: Tensor) -> Tensor:
        """Logits (N, K)."""
        logits: Tensor = self.classifier(penultimate)
        return logits

    def sides(self, logits: Tensor) -> Tensor:
        """(N, 2) logits of out of and in-distribution, by the weighted energies of logits (N, K)."""
        scale = functional.relu(self.weights).clamp(min=LEAST).log()
        negative_energy = torch.logsumexp(logits + scale, dim=1, keepdim=True)
        # Elementwise: an energy in half precision has hardly a digit after the point.
        return negative_energy * self.told.weight[:, 0] + self.told.bias

    def outputs(self, penultimate: Tensor) -> Tensor:
        """(N, 1): the logit of in-distribution."""
        out, within = self.sides(self.forward(penultimate)).unbind(dim=1)
        return (within - out)[:, None]


class Recent(nn.Module):
    """The last features of each class; of a class with fewer images, as many as it has. Not trained."""

    features: Tensor  # (K, Q, D)
    sizes: Tensor  # (K,) how many are kept
    counts: Tensor  # (K,) how many there were

    def __init__(self, sizes: Tensor, dimension: int) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(len(sizes), int(sizes.max()), dimension))
        self.register_buffer("sizes", sizes)
        self.register_buffer("counts", torch.zeros_like(sizes))

    @torch.no_grad()
    def add(self, features: Tensor, labels: Tensor) -> None:
        """Keep features (B, D) of classes (B,) in the place of the oldest."""
        before = ranks(labels)
        came = torch.bincount(labels, minlength=len(self.sizes))
        last = before >= (came - self.sizes)[labels]  # of more than are kept, the last
        classes = labels[last]
        places = (self.counts[classes] + before[last]) % self.sizes[classes]
        self.features[classes, places] = features[last].to(self.features)
        self.counts += came

    def full(self) -> bool:
        """Whether there are as many of every class as are kept."""
        return bool((self.counts >= self.sizes).all())

    @torch.no_grad()
    def gaussians(self, shrinkage: float) -> tuple[Tensor, Tensor]:
        """Means (C, D) of the classes that have images, and a root (D, D) of their common covariance.

        In float64; `shrinkage` is added to the variances. Only of what is full.
        """
        some = self.sizes > 0
        features, sizes = self.features[some].double(), self.sizes[some]
        kept = torch.arange(features.shape[1], device=sizes.device) < sizes[:, None]
        means = (features * kept[:, :, None]).sum(dim=1) / sizes[:, None]
        centred = ((features - means[:, None]) * kept[:, :, None]).flatten(0, 1)
        covariance = centred.T @ centred / sizes.sum()
        covariance.diagonal().add_(shrinkage)
        root, _ = torch.linalg.cholesky_ex(covariance)  # of what is not finite, not finite: no error here
        return means, root


def longest(groups: int, select: int, dimension: int, candidates: int, rng: torch.Generator) -> Tensor:
    """Draw the `select` longest of `candidates` standard normal vectors, for each group: float64, on the CPU.

    (G, `select`, D), the longest first. Their squared lengths are the upper order statistics of a χ²
    distribution with D degrees of freedom, their directions uniform and independent of those: no other
    candidate is drawn. The j-th smallest upper tail probability p follows from the one before by
    log(1 − p_j) = log(1 − p_(j−1)) + log(u) / (candidates − j + 1), with u uniform.
    """
    u = 1 - torch.rand(groups, select, generator=rng, dtype=torch.float64)
    left = candidates - torch.arange(select, dtype=torch.float64)
    tail = -torch.expm1((u.log() / left).cumsum(dim=1))
    squared = 2 * scipy.special.gammainccinv(dimension / 2, tail.numpy())
    direction = torch.randn(groups, select, dimension, generator=rng, dtype=torch.float64)
    return functional.normalize(direction, dim=2) * torch.from_numpy(squared).sqrt()[:, :, None]

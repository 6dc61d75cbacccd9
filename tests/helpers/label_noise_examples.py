"""Random numbers, labels, a contributed noise model, and a small world with wrong labels."""

import math

import numpy as np
import torch
from torch import nn
from worked_examples import tensor, worked

from methods.base import Batch, Setup
from methods.label_noise import NoiseModel

INPUTS, VALUES = worked("label_noise")


K = 10  # classes of the noise models' world


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def labels_of(count, classes=K, seed=1):
    return torch.randint(classes, (count,), generator=rng(seed))


class Contributed(NoiseModel):
    name = "contributed"

    def __init__(self, rows):
        self.rows = rows

    def matrix(self, classes, strength, rng):
        return self.rows


class Network(nn.Module):
    """Logits of three classes from images of 3 × 2 × 2 pixels."""

    def __init__(self, scale=1.0, dtype=torch.float64):
        super().__init__()
        self.head = nn.Linear(12, 3)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(scale * torch.randn(p.shape, generator=rng(8)))
        self.to(dtype)

    def forward(self, images):
        return self.head(images.flatten(1))


NOISE = tensor([[0.7, 0.2, 0.1], [0.0, 0.8, 0.2], [0.25, 0.15, 0.6]])


def setup(first, labels, trusted=None, classes=3):
    return Setup(
        network=None, dimension=12, classes=classes, image_size=2, epochs=1, val=torch.empty(0),
        labels=labels, trusted=trusted, first=first,
    )  # fmt: skip


def world(count=300, dtype=torch.float64, seed=9):
    """A first phase that says of each image something near its class's row of the noise."""
    truth = labels_of(count, classes=3, seed=seed)
    random = torch.rand(count, 3, dtype=torch.float64, generator=rng(seed))
    first = 0.7 * NOISE[truth] + 0.3 * random / random.sum(dim=1, keepdim=True)
    observed, _ = Contributed(NOISE).draw(truth, 3, 1.0, rng(seed))
    trusted = torch.arange(count) % 7 == 0
    return setup(first.to(dtype), torch.where(trusted, truth, observed), trusted)


def batch_of(made, rows=40, dtype=torch.float64):
    images = torch.rand(rows, 3, 2, 2, generator=rng(10), dtype=torch.float64).to(dtype)
    return Batch(images, made.labels[:rows], trusted=made.trusted[:rows])


def plain_losses(logits, labels, trusted, matrix):
    found = []
    for z, y, known in zip(logits, labels, trusted, strict=True):
        p = np.exp(z - z.max())
        p = p / p.sum()
        q = p[y] if known else max(sum(p[i] * matrix[i, y] for i in range(len(p))), 1e-12)
        found.append(-math.log(q))
    return np.array(found)

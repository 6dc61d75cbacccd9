"""The worked examples of objectives of logits, a small network and batch for them, and plain losses."""

import math

import numpy as np
import torch
from torch import nn
from worked_examples import tensor, worked

from methods.base import Batch

INPUTS, VALUES = worked("logit_objectives")
MIX = INPUTS["mix"]


Z, Y = tensor(INPUTS["T1"]["Z_in"]), torch.tensor(INPUTS["T1"]["y"])


OUT = tensor(INPUTS["T1"]["Z_out"])


class Network(nn.Module):
    """Logits of three classes; keeps what it was shown."""

    def __init__(self):
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.body = nn.Linear(3 * 4 * 4, 5)
        self.head = nn.Linear(5, 3)
        self.shown = []
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=rng) / 2)
        self.double()

    def penultimate(self, images):
        return torch.tanh(self.body(images.flatten(1)))

    def forward(self, images):
        self.shown.append(images.detach().clone())
        return self.head(self.penultimate(images))


def batch(seed=0, count=6, outliers=4):
    rng = torch.Generator().manual_seed(seed)
    images = torch.rand(count + outliers, 3, 4, 4, generator=rng, dtype=torch.float64)
    labels = torch.arange(count) % 3
    return Batch(images[:count], labels, images[count:] if outliers else None, rng=rng)


def log_p(z, k):
    return z[k] - sum(v.exp() for v in z).log()


def plain_cross_entropy(logits, labels):
    return -sum(log_p(z, y) for z, y in zip(logits, labels, strict=True)) / len(logits)


def plain_logit_norm(logits, labels, temperature=0.3):
    scaled = [z / (temperature * (sum(v * v for v in z).sqrt() + 1e-7)) for z in logits]
    return plain_cross_entropy(scaled, labels)


def simplex():
    """Points (M, 3) of the simplex and weights (M,), a Gauss-Legendre rule."""
    nodes, weights = np.polynomial.legendre.leggauss(80)
    t = (nodes + 1) / 2

    def towards_the_ends(t):  # dense where logarithms are steep
        return t**4 * (35 - 84 * t + 70 * t**2 - 20 * t**3)

    u, rest = towards_the_ends(t), towards_the_ends(1 - t)  # u and 1 - u
    weights = weights / 2 * 140 * (t * (1 - t)) ** 3
    points = np.stack(
        [
            np.broadcast_to(u[:, None], (80, 80)),
            np.outer(rest, u),
            np.outer(rest, rest),
        ],
        axis=-1,
    )
    return points.reshape(-1, 3), np.outer(weights * rest, weights).ravel()


def log_density(points, alpha):
    normaliser = math.lgamma(sum(alpha)) - sum(map(math.lgamma, alpha))
    return normaliser + np.log(points) @ (np.array(alpha) - 1)


ALPHAS = [(3.0, 4.0, 5.5), (2.5, 7.0, 2.0), (12.0, 3.0, 4.0)]

"""Correlated rows in classes, slow Mahalanobis distances, and the worked example of a step."""

import numpy as np
import torch
from detector_examples import INPUTS
from worked_examples import tensor

from methods.base import Features
from methods.detectors._gaussian import Gaussian


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def clustered(n=200, d=6, classes=3, seed=0):
    """Correlated rows around three means, and their labels, in no order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes)
    rows = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 3 * rng.normal(size=(classes, d))[labels]
    return torch.from_numpy(rows), torch.from_numpy(labels)


def slow_distances(rows, labels, queries):
    """Squared distance to the nearest mean by NumPy's pseudo-inverse."""
    rows, labels, queries = rows.double().numpy(), labels.numpy(), queries.double().numpy()
    means = np.stack([rows[labels == c].mean(axis=0) for c in range(labels.max() + 1)])
    residuals = rows - means[labels]
    precision = np.linalg.pinv(residuals.T @ residuals / len(rows), rcond=1e-10, hermitian=True)
    gaps = queries[:, None] - means
    return torch.from_numpy(np.einsum("nkd,de,nke->nk", gaps, precision, gaps).min(axis=1))


class Linear:
    """Features that are linear in images (N, 1, 1, 2); keeps what it was shown and the gradient."""

    def __init__(self, weight):
        self.weight = weight
        self.shown, self.gradients = [], []

    def __call__(self, images):
        self.shown.append(images.detach().clone())
        if images.requires_grad:
            images.register_hook(lambda gradient: self.gradients.append(gradient.clone()))
        h = images.flatten(1) @ self.weight.T
        return Features(torch.zeros(len(h), 2), h, stages=[h[:, :2], h])


MP = {key: tensor(value) for key, value in INPUTS["mp"].items()}


GAUSSIAN = Gaussian.of(MP["mu"], torch.diag(1 / MP["P"]), "x")


IMAGE = MP["x"].reshape(1, 1, 1, 2)

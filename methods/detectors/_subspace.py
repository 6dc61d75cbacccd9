"""What detectors share that look at directions in feature space: principal axes, and a sample of images.

Not a detector: files that begin with an underscore are not registered. It knows nothing of scores.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.base import Features
from methods.detectors._rows import Rows, scatter


def principal_axes(rows: Rows) -> tuple[Tensor, Tensor]:
    """Eigenvalues (D,), descending, and eigenvectors (D, D), as columns, of XᵀX / N for rows X (N, D).

    Nothing is centred: the eigenvalues are the squared singular values of X, divided by N.
    """
    eigenvalues, vectors = torch.linalg.eigh(rows.total(scatter) / len(rows))  # ascending
    return eigenvalues.flip(0).clamp(min=0), vectors.flip(1)


def sample(features: Features, size: int, rng: torch.Generator | None) -> Features:
    """`size` random rows, or all of them, undisturbed and without a draw, if there are no more.

    Raises
    ------
    ValueError
        If rows must be drawn and there is no generator to draw from.
    """
    if len(features) <= size:
        return features
    if rng is None:
        raise ValueError(f"rng: {size} of {len(features)} training images are drawn; pass a torch.Generator")
    return features[torch.randperm(len(features), generator=rng)[:size]]

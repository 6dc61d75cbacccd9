"""What objectives that are shown outliers share."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.objective import Batch, Objective, TrainableNetwork
from methods.objectives._precision import widened


def both_logits(objective: Objective, network: TrainableNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits (B, K) of the images and (O, K) of the outliers, from one forward pass over both.

    One pass, so that batch normalisation has the same statistics for both.

    Raises
    ------
    ValueError
        If the batch has no outliers.
    """
    if batch.outliers is None or len(batch.outliers) == 0:
        got = "none" if batch.outliers is None else f"shape {tuple(batch.outliers.shape)}"
        raise ValueError(f"batch.outliers: {objective.name} expected at least one outlier image, got {got}")
    logits = widened(network(torch.cat([batch.images, batch.outliers])))
    return logits[: len(batch.images)], logits[len(batch.images) :]


def uniform_cross_entropy(logits: Tensor) -> Tensor:
    r"""Cross-entropy of each prediction to the uniform one, :math:`\log \sum_k e^{z_k} - \bar z`: (N,)."""
    return torch.logsumexp(logits, dim=1) - logits.mean(dim=1)

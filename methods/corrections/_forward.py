"""The loss that forward correction and its kin share: observed labels have a mixture of the probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.label_noise import Correction
from methods.objective import Batch, TrainableNetwork

FLOOR = 1e-12  # of the probability of an observed label
NOTHING = 1e-30  # in place of a zero of the matrix, whose logarithm has no finite gradient; far below FLOOR


def corrected_losses(logits: Tensor, labels: Tensor, matrix: Tensor) -> Tensor:
    r"""Compute :math:`-\log \max((p C)_{\tilde y}, 10^{-12})` of each image: (B,).

    It is summed in log space, :math:`\log (p C)_j = \log \sum_i e^{\log p_i + \log C_{ij}}`, so that it is
    right where p underflows. What lies below the floor gives no gradient.

    Parameters
    ----------
    logits
        (B, K).
    labels
        (B,) observed class indices.
    matrix
        (K, K), rows sum to 1: of what is observed for each true class.
    """
    log_p = functional.log_softmax(_widened(logits), dim=1)
    log_columns = matrix.clamp(min=NOTHING).log().to(log_p.dtype).T[labels]  # (B, K): log C[i, label]
    return -torch.logsumexp(log_p + log_columns, dim=1).clamp(min=math.log(FLOOR))


def joint_losses(logits: Tensor, labels: Tensor, trusted: Tensor, matrix: Tensor) -> Tensor:
    """Cross-entropy of each image whose label is trusted (B,), the corrected loss of each other: (B,)."""
    plain = functional.cross_entropy(_widened(logits), labels, reduction="none")
    return torch.where(trusted, plain, corrected_losses(logits, labels, matrix))


def joint_loss(
    correction: Correction, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]
) -> Tensor:
    """Scalar mean of `joint_losses` over a batch.

    Raises
    ------
    ValueError
        If the batch does not say which labels are trusted.
    """
    if batch.trusted is None:
        raise ValueError(f"batch.trusted: {correction.name} expected bool (B,), got none")
    logits = network(batch.images)
    return joint_losses(logits, batch.labels, batch.trusted, modules["noise"]()).mean()


def _widened(logits: Tensor) -> Tensor:
    """Logits in float32 where they are in half precision, as under autocast; others as they are."""
    return logits.float() if logits.dtype.itemsize < 4 else logits

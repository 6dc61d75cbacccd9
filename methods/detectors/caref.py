"""CARef: how far features are from the mean feature of the predicted class, relative to their size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Detector, Features, Head, Paper, Signal, fitted
from methods.detectors._blocks import by_blocks
from methods.detectors._rows import Rows
from methods.registry import register

SHORTEST = 1e-12  # features whose magnitudes sum to less are divided by this


@register("caref")
@dataclass(frozen=True)
class CARef(Detector):
    r"""Minus the relative distance to the mean feature of the predicted class (Ling et al. 2025).

    .. math::
        \mu_k &= \operatorname{mean} \{ h_i : \hat y_i = k \}, \qquad \hat y = \arg\max_k z_k \\
        s &= -\frac{\lVert h - \mu_{\hat y} \rVert_1}{\lVert h \rVert_1}

    with the means over the training images that are predicted, not labelled, as a class, right or wrong, and
    the lowest class of equal logits predicted. `cadref` tells apart in which direction the features differ.

    Shapes: features (N, D), logits (N, K), labels (N,) → scores (N,). Cost: fit O(ND + NK), score O(ND + NK).
    No hyper-parameters.

    Deviations from the release: a class that is predicted for no training image has the mean of the images
    labelled so, where the release has no mean to compare with. Magnitudes that sum to less than 1e-12 count
    as 1e-12, so that features that are all zero score very low, and not NaN. Where references disagree: the
    means of predicted classes are those of the release's code and of pytorch-ood; the equation numbers of the
    paper are not established here. Signed features need nothing special.

    Differs from: pytorch-ood's development version takes the mean of all training images for a class that is
    never predicted, and float32; its version 0.4.0 and OpenOOD v1.5 do not have it.
    """

    means: Tensor = fitted()  # (K, D): μ

    paper = Paper(
        title="CADRef: Robust Out-of-Distribution Detection via Class-Aware Decoupled Relative Feature "
        "Leveraging",
        authors="Z. Ling, Y. Chang, H. Zhao, X. Zhao, K. Chow, S. Deng",
        venue="CVPR",
        year=2025,
        arxiv="2503.00325",
    )
    needs = frozenset({Signal.LOGITS, Signal.PENULTIMATE})

    def fit(self, train: Features, val: Features, head: Head, rng: torch.Generator | None = None) -> Self:
        """Learn the mean feature of each class.

        Raises
        ------
        ValueError
            If a class has neither a training image that is predicted so nor one that is labelled so.
        """
        return self.with_state(means=predicted_means(train))

    def score(self, features: Features) -> Tensor:
        """Score penultimate features (N, D) of images with logits (N, K): (N,) float64."""
        return by_blocks(self._score, features.penultimate, features.logits)

    def _score(self, h: Tensor, logits: Tensor) -> Tensor:
        h = h.double()
        return -magnitude(h - self.means[logits.argmax(dim=1)]) / size(h)


def predicted_means(train: Features) -> Tensor:
    """Mean features (K, D) of the images predicted as each class, or else labelled so.

    Raises
    ------
    ValueError
        If a class has neither.
    """
    rows, classes = Rows(train.penultimate), train.logits.shape[1]
    predicted, labels = train.logits.argmax(dim=1), train.labels.long()
    unseen = torch.bincount(predicted, minlength=classes) == 0  # (K,)
    instead = labels.where(unseen[labels], classes)  # K leaves an image out
    counts = torch.bincount(torch.cat([predicted, instead]), minlength=classes + 1)[:classes]
    if missing := (counts == 0).nonzero().flatten().tolist():
        raise ValueError(
            f"labels: no training image of class {', '.join(map(str, missing))}, nor one predicted so; each "
            f"of {classes} classes needs one"
        )
    sums = torch.zeros(classes + 1, rows.width, dtype=torch.float64, device=rows.device)
    for block, *classes_of in rows.blocks(predicted, instead):
        for of in classes_of:
            sums.index_add_(0, of, block)
    return sums[:classes] / counts[:, None]


def magnitude(rows: Tensor) -> Tensor:
    """Sum of the magnitudes of each row (n, D): (n,)."""
    return rows.abs().sum(dim=1)


def size(h: Tensor) -> Tensor:
    """What relative errors of features h (n, D) are divided by: (n,)."""
    return magnitude(h).clamp(min=SHORTEST)

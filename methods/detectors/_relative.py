"""The Gaussians of classes and of all images, where a distance to one is taken relative to the other."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.detectors._gaussian import RCOND, Gaussian, class_means, covariance
from methods.detectors._rows import Rows


def relative(rows: Rows, labels: Tensor, classes: int, space: str) -> tuple[Gaussian, Gaussian]:
    """Of the classes, and of all: their squared distances, but for what is equal in both and cancels.

    Where both covariances have the same support, the distances differ in at most K directions, those between
    the class means. In coordinates where the covariance within classes is the identity, that of all is 1 + β
    along these, and 1 along all others.

    Parameters
    ----------
    rows, labels
        Features (N, D), in blocks, and class indices (N,) int64.
    space
        What the features are, in errors.

    Raises
    ------
    ValueError
        If a class has no training image, or no feature varies within any class.
    """
    means = class_means(rows, labels, classes)
    within = covariance(rows, labels, means)
    share = torch.bincount(labels, minlength=classes).double() / len(labels)  # (K,)
    origin = share @ means
    spread = share.sqrt()[:, None] * (means - origin)  # (K, D)
    classwise = Gaussian.of(means, within, space)
    background = Gaussian.of(origin[None], within + spread.T @ spread, space)
    if not _same_support(classwise, background, spread):
        return classwise, background
    _, roots, axes = torch.linalg.svd(spread @ classwise.whitener, full_matrices=False)
    projection = classwise.whitener @ axes.T  # (D, at most K): the whitened directions that remain
    shrunk = projection / (1 + roots.square()).sqrt()
    return (
        Gaussian(origin, projection, (means - origin) @ projection),
        Gaussian(origin, shrunk, torch.zeros_like(shrunk[:1])),
    )


def _same_support(classwise: Gaussian, background: Gaussian, spread: Tensor) -> bool:
    """Whether both have one rank, and no class mean (K, D), from the overall one, leaves their directions."""
    root = classwise.whitener
    if root.shape != background.whitener.shape:
        return False
    lengths = torch.linalg.vector_norm(root, dim=0)  # (R,): 1 over the deviation in each direction
    basis = root / lengths  # orthonormal: eigenvectors
    outside = torch.linalg.vector_norm(spread - spread @ basis @ basis.T)
    return bool((outside * lengths.max()).square() <= RCOND)

"""The contracts of class imbalance: a long-tail profile, and a sampler that counters it."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from methods.method import Method

BETA = 0.9999  # of the effective number of images, the published value for CIFAR


class Profile(Method):
    """How many images each class has left: a long tail."""

    @abstractmethod
    def counts(self, classes: int, largest: int) -> list[int]:
        """Images of each class by rank, the largest class first with `largest` images; K ints of at least 1.

        The counts do not grow with the rank. Which class has which rank is not the profile's affair.

        Raises
        ------
        ValueError
            If a class would have no image, or there are fewer than two classes.
        """


class Sampler(Method):
    """What a network is shown of an imbalanced training set; the plain order if a method is not overridden.

    `resampled` is called once, then `size` once and `epoch` for every epoch with the labels that `resampled`
    returned. Random numbers come from the generator alone, and the inputs are not modified.
    """

    def resampled(self, images: Tensor, labels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """The training set, once before training: uint8 images (N, 3, H, W) and labels (N,), perhaps more.

        Raises
        ------
        ValueError
            If the set does not have what the sampler needs; names the class.
        """
        return images, labels

    def size(self, labels: Tensor) -> int:
        """How many images an epoch shows, for labels (N,)."""
        return len(labels)

    def epoch(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        """Rows of the images of one epoch in the order in which they are shown: (`size`,) int64."""
        return torch.randperm(len(labels), generator=rng)


def classes_of(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What occurs in labels (N,): C classes.

    Returns
    -------
    classes, place, counts
        The classes, ascending (C,); where each label is among them (N,); images of each class (C,).

    Raises
    ------
    ValueError
        If there is no label, or they are no vector of integers.
    """
    if labels.ndim != 1 or not len(labels) or labels.is_floating_point():
        raise ValueError(
            f"labels: expected a non-empty vector of class indices, got shape {tuple(labels.shape)}, "
            f"{labels.dtype}"
        )
    classes, place, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    return classes, place, counts


def class_weights(counts: Tensor, beta: float | None) -> Tensor:
    r"""Weights of K classes with `counts` (K,) images, the larger the fewer images: (K,) float64, sum K.

    .. math:: w_i \propto \frac{1 - \beta}{1 - \beta^{n_i}}, \qquad \sum_i w_i = K

    The quotient is one over the effective number of images (Cui et al. 2019). With `beta` None, the limit
    β → 1, it is one over the number itself.

    Raises
    ------
    ValueError
        If a class has no image.
    """
    n = counts.double()
    if not (n >= 1).all():
        raise ValueError(f"counts: expected at least one image of each class, got {counts.tolist()}")
    weights = 1 / n if beta is None else (1 - beta) / (1 - beta**n)
    return weights * (len(n) / weights.sum())

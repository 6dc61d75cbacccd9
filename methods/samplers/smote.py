"""SMOTE: new images between images of rare classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from methods.imbalance import Sampler, classes_of
from methods.method import Paper
from methods.registry import register

PUBLISHED = 5  # neighbours


@register("smote")
@dataclass(frozen=True)
class SMOTE(Sampler):
    r"""Synthetic minority oversampling (Chawla et al. 2002).

    Every class gets new images until it has as many as the largest:

    .. math:: x_\mathrm{new} = x + \delta (x' - x), \qquad \delta \sim U(0, 1)

    with x an image of the class and x' one of its k nearest neighbours in the class, by the Euclidean
    distance of pixels. They are made once before training and come after the others; pixels are rounded.
    The arithmetic is imbalanced-learn's, in float64, where sums of squared pixels are exact.

    Parameters
    ----------
    neighbours
        k ≥ 1. None: 5, as published, or one less than a class of fewer than 6 images has; an only image is
        repeated. A given k is the same for all classes, and each that gets new images must have k + 1.

    Complexity: O(n² · H W) for a class of n images, and its new images in float64 in memory.

    Deviations from the paper: x is drawn at random with replacement, where the paper makes equally many new
    images from each.
    """

    neighbours: int | None = None

    paper = Paper(
        title="SMOTE: Synthetic Minority Over-sampling Technique",
        authors="N. V. Chawla, K. W. Bowyer, L. O. Hall, W. P. Kegelmeyer",
        venue="Journal of Artificial Intelligence Research",
        year=2002,
        arxiv="1106.1813",
    )

    def __post_init__(self) -> None:
        if self.neighbours is not None and self.neighbours < 1:
            raise ValueError(f"neighbours: expected at least 1, or None, got {self.neighbours}")

    def resampled(self, images: Tensor, labels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """The images and labels with the new ones behind them."""
        if images.dtype != torch.uint8 or images.shape[:1] != labels.shape:
            raise ValueError(
                f"images: expected {len(labels)} of uint8, one for each label, got shape "
                f"{tuple(images.shape)}, {images.dtype}"
            )
        classes, place, counts = classes_of(labels)
        largest = int(counts.max())
        minorities = [i for i in range(len(classes)) if counts[i] < largest]
        for i in minorities:
            self._check(int(classes[i]), int(counts[i]))
        seed = int(torch.randint(2**31, (), generator=rng))
        found, theirs = [images], [labels]
        for i in minorities:
            # A seed each: imbalanced-learn would draw the same numbers for every class.
            found.append(self._between(images[place == i], largest - int(counts[i]), seed + i))
            theirs.append(classes[i].expand(len(found[-1])))
        return torch.cat(found), torch.cat(theirs)

    def _check(self, label: int, count: int) -> None:
        if self.neighbours is not None and count <= self.neighbours:
            raise ValueError(
                f"neighbours: {self.neighbours} of an image need {self.neighbours + 1} images in each class "
                f"that gets new ones, and class {label} has {count}; take fewer, or None to fit each class"
            )

    def _between(self, images: Tensor, more: int, seed: int) -> Tensor:
        """`more` new images from those of one class (n, 3, H, W)."""
        from imblearn.over_sampling import SMOTE as Interpolation  # noqa: N811 - slow, and seldom needed

        n = len(images)
        if n == 1:
            return images.expand(more, *images.shape[1:])
        flat = images.flatten(1).double().cpu().numpy()
        # It wants a second class, which may be any row.
        x, y = np.concatenate([flat, flat[:1]]), np.array([1] * n + [0])
        k = self.neighbours or min(PUBLISHED, n - 1)
        made = Interpolation(sampling_strategy={1: n + more}, k_neighbors=k, random_state=seed)
        new = made.fit_resample(x, y)[0][n + 1 :]
        return images.new_tensor(np.rint(new).astype(np.uint8)).reshape(more, *images.shape[1:])

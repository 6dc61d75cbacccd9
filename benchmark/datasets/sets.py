"""One image set of a track, from its configuration: what the harness computes with and the cards show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from benchmark.datasets.catalog import Dataset, ImageSet
from benchmark.spec.base import Interpolation


class How(TypedDict):
    """How images are read from files."""

    split: str | None
    crop: float
    interpolation: Interpolation


@dataclass(frozen=True)
class Wanted:
    """An image set of a track."""

    dataset: str
    image_size: int
    seed: int
    n: int | None = None  # None: all
    classes: Sequence[int] | None = None  # None: all
    split: str | None = None  # of a dataset that has splits
    crop: float = 1.0  # of images that are read from files
    interpolation: Interpolation | None = None  # with which these are scaled; None: bilinear

    def build(self, source: Dataset) -> tuple[ImageSet, tuple[str, ...]]:
        """Build the dataset and keep its chosen classes, counted anew from 0; returns it with their names."""
        images = source.build(self.image_size, self.n, self.seed, **self._how)
        names = source.card.class_names
        if self.classes is None:
            return images, names
        chosen = sorted(self.classes)
        kept = images.subset(np.flatnonzero(np.isin(images.labels, chosen)))
        renumbered = ImageSet(kept.images, np.searchsorted(chosen, kept.labels).astype(np.int64))
        return renumbered, tuple(names[label] for label in chosen)

    def stream(self, source: Dataset) -> tuple[int, Iterator[ImageSet], tuple[str, ...]]:
        """Count the images of `build`, and give them in batches, so that they need not fit in memory."""
        if self.classes is None:
            count, batches = source.stream(self.image_size, self.n, self.seed, **self._how)
            return count, batches, source.card.class_names
        images, names = self.build(source)
        return len(images), iter([images]), names

    @property
    def _how(self) -> How:
        return {"split": self.split, "crop": self.crop, "interpolation": self.interpolation or "bilinear"}

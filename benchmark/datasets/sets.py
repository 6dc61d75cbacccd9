"""One image set of a track, from its configuration: what the harness computes with and the cards show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.datasets.catalog import ImageSet, dataset


@dataclass(frozen=True)
class Wanted:
    """An image set of a track."""

    dataset: str
    image_size: int
    seed: int
    n: int | None = None  # None: all
    classes: Sequence[int] | None = None  # None: all
    split: str | None = None  # of a dataset that has splits
    crop: float = 1.0  # of the images of such a dataset


def build_set(wanted: Wanted) -> tuple[ImageSet, tuple[str, ...]]:
    """Build a dataset and keep its chosen classes, counted anew from 0; returns it with their names."""
    source = dataset(wanted.dataset)
    images = source.build(wanted.image_size, wanted.n, wanted.seed, split=wanted.split, crop=wanted.crop)
    names = source.card.class_names
    if wanted.classes is None:
        return images, names
    chosen = sorted(wanted.classes)
    kept = images.subset(np.flatnonzero(np.isin(images.labels, chosen)))
    renumbered = ImageSet(kept.images, np.searchsorted(chosen, kept.labels).astype(np.int64))
    return renumbered, tuple(names[label] for label in chosen)


def open_set(wanted: Wanted) -> tuple[int, Iterator[ImageSet], tuple[str, ...]]:
    """Count the images of `build_set`, and give them in batches, so that they need not fit in memory."""
    source = dataset(wanted.dataset)
    if wanted.classes is None:
        count, batches = source.stream(
            wanted.image_size, wanted.n, wanted.seed, split=wanted.split, crop=wanted.crop
        )
        return count, batches, source.card.class_names
    images, names = build_set(wanted)
    return len(images), iter([images]), names

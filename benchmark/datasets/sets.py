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


def build_set(wanted: Wanted, source: Dataset) -> tuple[ImageSet, tuple[str, ...]]:
    """Build a dataset and keep its chosen classes, counted anew from 0; returns it with their names."""
    images = source.build(wanted.image_size, wanted.n, wanted.seed, **_how(wanted))
    names = source.card.class_names
    if wanted.classes is None:
        return images, names
    chosen = sorted(wanted.classes)
    kept = images.subset(np.flatnonzero(np.isin(images.labels, chosen)))
    renumbered = ImageSet(kept.images, np.searchsorted(chosen, kept.labels).astype(np.int64))
    return renumbered, tuple(names[label] for label in chosen)


def open_set(wanted: Wanted, source: Dataset) -> tuple[int, Iterator[ImageSet], tuple[str, ...]]:
    """Count the images of `build_set`, and give them in batches, so that they need not fit in memory."""
    if wanted.classes is None:
        count, batches = source.stream(wanted.image_size, wanted.n, wanted.seed, **_how(wanted))
        return count, batches, source.card.class_names
    images, names = build_set(wanted, source)
    return len(images), iter([images]), names


def _how(wanted: Wanted) -> How:
    return {
        "split": wanted.split,
        "crop": wanted.crop,
        "interpolation": wanted.interpolation or "bilinear",
    }

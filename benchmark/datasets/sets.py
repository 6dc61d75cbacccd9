"""One image set of a track, from its configuration: what the harness computes with and the cards show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmark.datasets.catalog import ImageSet, dataset


def build_set(config: Mapping[str, Any]) -> tuple[ImageSet, tuple[str, ...]]:
    """Build a dataset and keep its chosen classes, counted anew from 0; returns it with their names.

    `config` has ``dataset``, ``image_size``, ``n``, ``seed`` and ``classes`` (None for all).
    """
    source = dataset(config["dataset"])
    images = source.build(config["image_size"], config["n"], config["seed"])
    names = source.card.class_names
    if config["classes"] is None:
        return images, names
    chosen = sorted(config["classes"])
    kept = images.subset(np.flatnonzero(np.isin(images.labels, chosen)))
    renumbered = ImageSet(kept.images, np.searchsorted(chosen, kept.labels).astype(np.int64))
    return renumbered, tuple(names[label] for label in chosen)

"""One image set of a track, from its configuration: what the harness computes with and the cards show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from benchmark.datasets.catalog import ImageSet, dataset


def build_set(config: Mapping[str, Any]) -> tuple[ImageSet, tuple[str, ...]]:
    """Build a dataset and keep its chosen classes, counted anew from 0; returns it with their names.

    `config` has ``dataset``, ``image_size``, ``n``, ``seed`` and ``classes`` (None for all); of a dataset of
    the Hub also ``split`` and ``crop``.
    """
    source = dataset(config["dataset"])
    options = {key: config[key] for key in ("split", "crop") if key in config}
    images = source.build(config["image_size"], config["n"], config["seed"], **options)
    names = source.card.class_names
    if config["classes"] is None:
        return images, names
    chosen = sorted(config["classes"])
    kept = images.subset(np.flatnonzero(np.isin(images.labels, chosen)))
    renumbered = ImageSet(kept.images, np.searchsorted(chosen, kept.labels).astype(np.int64))
    return renumbered, tuple(names[label] for label in chosen)


def open_set(config: Mapping[str, Any]) -> tuple[int, Iterator[ImageSet], tuple[str, ...]]:
    """Count the images of `build_set`, and give them in batches, so that they need not fit in memory."""
    source = dataset(config["dataset"])
    if "split" in config and config["classes"] is None:
        options = {"split": config["split"], "crop": config["crop"]}
        count, batches = source.stream(config["image_size"], config["n"], config["seed"], **options)
        return count, batches, source.card.class_names
    images, names = build_set(config)
    return len(images), iter([images]), names

"""The ID images of a track, divided into training, validation and test images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.artifacts import Artifact
from benchmark.backbones.train import LabelledImages
from benchmark.datasets.splits import balanced_split


def id_images(split: Mapping[str, Any], stored: Artifact) -> dict[str, LabelledImages]:
    """Divide the ID set of a track: ``train`` and ``val``, and ``test`` unless the split takes the whole set.

    `split` holds the arguments of `balanced_split`.
    """
    tensors = stored.tensors("images")
    images, labels = tensors["images"], tensors["labels"]
    parts = balanced_split(labels.numpy(), **split)
    rows = {"train": parts.train, "val": parts.val, "test": parts.test}
    return {n: LabelledImages(images[index], labels[index]) for n, index in rows.items() if len(index)}

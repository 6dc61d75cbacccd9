"""The ID images of a track, divided into training, validation and test images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import torch
from torch import Tensor

from benchmark.backbones.batches import LabelledImages
from benchmark.backbones.images import Images
from benchmark.datasets.splits import balanced_split
from benchmark.jobs.config import SplitConfig
from benchmark.store.artifacts import Artifact


def id_images(split: SplitConfig, stored: Artifact) -> dict[str, LabelledImages]:
    """Divide the ID set of a track: ``train``, ``val``, and ``test`` unless others are tested."""
    tensors = stored.tensors("images")
    images, labels = tensors["images"], tensors["labels"]
    parts = id_rows(split, labels).items()
    return {name: LabelledImages(Images(images, rows), labels[rows]) for name, rows in parts}


def id_rows(split: SplitConfig, labels: Tensor) -> dict[str, Tensor]:
    """The rows (N,) of each of these parts, by the labels of the set."""
    parts = balanced_split(labels.numpy(), **asdict(split))
    rows = {"train": parts.train, "val": parts.val}
    if not split.whole:  # else the test images are a set of their own, and nobody needs the rest
        rows["test"] = parts.test
    return {name: torch.from_numpy(index) for name, index in rows.items() if len(index)}


def outlier_images(
    blend: Mapping[str, float | None], stored: Mapping[str, Artifact], val: Tensor | Images, seed: int
) -> Tensor | None:
    """The outliers of a training, uint8 (M, 3, S, S): the images of all its sets; None without a set.

    A set with a share w in `blend` gives near outliers, (1 - w) · ID + w · image: ID validation images mixed
    with its own (spec/claims.md, C-A6).
    """
    sets = []
    rng = torch.Generator().manual_seed(seed)
    for item, share in blend.items():
        images = stored[item].tensors("images")["images"]
        if share is not None:
            inside = val[torch.randint(len(val), (len(images),), generator=rng)]
            images = ((1 - share) * inside + share * images).round().to(torch.uint8)
        sets.append(images)
    return torch.cat(sets) if sets else None

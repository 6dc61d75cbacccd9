"""Shifting test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Generic, TypeVar

from benchmark.jobs.config import SplitConfig
from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact

T = TypeVar("T")
LIBRARIES = ("numpy", "scipy")


@dataclass(frozen=True)
class Config:
    """Which shifts, of how many images."""

    kinds: Sequence[str]
    scale: str
    images_per_class: int
    split: SplitConfig
    seed: int


@dataclass(frozen=True)
class Inputs(Generic[T]):
    """The images of a track."""

    id: T
    id_test: T | None = None


def run(task: Task[Config, Inputs[Artifact]]) -> None:
    """Shift a class-balanced part of the ID test images; ``rows`` says which of the test set they are."""
    import numpy as np
    import torch

    from benchmark.datasets.catalog import ImageSet
    from benchmark.datasets.shifts import SEVERITIES, shift
    from benchmark.datasets.splits import balanced_split
    from benchmark.seeds import derive_seed

    config, inputs = task.config, task.inputs
    stored = (inputs.id_test or inputs.id).tensors("images")
    images, labels = stored["images"].numpy(), stored["labels"].numpy()
    # The test set is the same for every seed of a split.
    test = np.arange(len(labels)) if inputs.id_test else balanced_split(labels, **asdict(config.split)).test
    rng = np.random.default_rng(config.seed)
    rows = np.sort(
        np.concatenate(
            [
                rng.permutation(np.flatnonzero(labels[test] == label))[: config.images_per_class]
                for label in np.unique(labels)
            ]
        )
    )
    tensors = {"rows": torch.from_numpy(rows)}
    for kind in config.kinds:
        for severity in SEVERITIES:
            noise = np.random.default_rng(derive_seed(config.seed, kind, severity))
            shifted = shift(images[test[rows]], kind, severity, config.scale, noise)
            tensors[f"{kind}.{severity}"] = torch.from_numpy(shifted)
    task.draft.tensors("images", tensors)
    shown = np.concatenate([t.numpy() for name, t in tensors.items() if name != "rows"])
    task.draft.json("card", {"fingerprint": ImageSet.unlabelled(shown).fingerprint(), "n": len(shown)})

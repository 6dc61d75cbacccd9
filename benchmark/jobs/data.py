"""Building one image set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmark.datasets.sets import Wanted
from benchmark.jobs.config import NOT_IN_KEY
from benchmark.jobs.job import Nothing, Task

LIBRARIES = ("numpy", "scikit-learn", "scipy", "pillow", "matplotlib")


@dataclass(frozen=True)
class Config(Wanted):
    """Which images; of those that are read from files also from which."""

    columns: Sequence[str | None] | None = None  # of the images and the labels
    sha256: str | None = None
    class_names: Sequence[str] | None = None  # of a dataset that is none of the catalog
    place: str | None = field(default=None, metadata=NOT_IN_KEY)  # of its files, on this machine


Inputs = Nothing


def run(task: Task[Config, Inputs]) -> None:
    """Build one image set: images (N, 3, S, S) uint8, labels (N,) counted from 0 over the chosen classes."""
    import torch

    from benchmark.datasets import dataset
    from benchmark.datasets.catalog import ImageSet
    from benchmark.datasets.files import reopened
    from benchmark.datasets.sets import open_set

    draft, config, size = task.draft, task.config, task.config.image_size
    if config.place is None:
        source = dataset(config.dataset)
    else:
        source = reopened(
            config.dataset, config.split or "", config.place, config.class_names or (), config.columns or ()
        )
    count, batches, names = open_set(config, source)
    layout = {"images": (torch.uint8, (count, 3, size, size)), "labels": (torch.int64, (count,))}
    with draft.rows("images", layout) as file:
        for batch in batches:
            file.append("images", torch.from_numpy(batch.images))
            file.append("labels", torch.from_numpy(batch.labels))
    written = draft.read("images")
    images = ImageSet(written["images"].numpy(), written["labels"].numpy())
    draft.json("card", {"fingerprint": images.fingerprint(), "classes": list(names), "n": count})

"""Extracting the features of image sets: the one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from benchmark.jobs.config import NetworkConfig, SplitConfig
from benchmark.jobs.job import Task
from benchmark.jobs.shards import Shard
from benchmark.store.artifacts import Artifact

T = TypeVar("T")
LIBRARIES = ("numpy", "torch", "timm")


@dataclass(frozen=True)
class Config(NetworkConfig):
    """Which set, and what of it: ``base``, ``gram`` or ``rank_one``."""

    set: str
    what: str
    split: SplitConfig | None = None  # of the ID images
    shard: Shard | None = None  # of a large set


@dataclass(frozen=True)
class Inputs(Generic[T]):
    """A trained network, and images."""

    network: T
    images: T


def run(tasks: Sequence[Task[Config, Inputs[Artifact]]]) -> None:
    """Run one network once over every image of several image sets; the tasks share the network."""
    from benchmark.backbones.extract import Tap, extract
    from benchmark.backbones.network import to_pixels
    from benchmark.jobs.inputs import image_parts, trained_network
    from benchmark.jobs.shards import share
    from methods.tensors import at_once

    network = trained_network(tasks[0].config, tasks[0].inputs.network)
    tap = None
    of_images: dict[tuple[str, str, Shard | None], dict[str, Task[Config, Inputs[Artifact]]]] = {}
    for task in tasks:
        place = task.config.set, task.inputs.images.key, task.config.shard
        of_images.setdefault(place, {})[task.config.what] = task
    for (name, _, shard), of_set in of_images.items():
        task = next(iter(of_set.values()))
        parts, labels = image_parts(name, task.inputs.images, task.config.split)
        first = next(iter(parts.values()))
        tap = tap or Tap(network, to_pixels(first[:16]))
        rows = share(parts, at_once(first), shard)
        own = {part: parts[part].part(of) for part, of in rows.items()}
        labels = {part: labels[part][of] for part, of in rows.items() if part in labels}
        extract(tap, own, labels, {what: task.draft for what, task in of_set.items()})
        head = tap.head
        for task in of_set.values():
            about = {"linear_head": head.is_linear, "reason": head.reason, "rank_one": tap.why_no_rank_one}
            task.draft.json("about", about)
            if head.is_linear and (name, task.config.what) == ("id", "base"):
                task.draft.tensors("head", {"head.weight": head.weight, "head.bias": head.bias})

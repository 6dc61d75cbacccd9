"""Extracting the features of image sets: the one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from benchmark.jobs.config import NetworkConfig, SplitConfig
from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact

T = TypeVar("T")
LIBRARIES = ("numpy", "torch", "timm")


@dataclass(frozen=True)
class Config(NetworkConfig):
    """Which set, and what of it: ``base``, ``gram`` or ``rank_one``."""

    set: str
    what: str
    split: SplitConfig | None = None  # of the ID images


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

    network = trained_network(tasks[0].config, tasks[0].inputs.network)
    tap = None
    of_images: dict[tuple[str, str], dict[str, Task[Config, Inputs[Artifact]]]] = {}
    for task in tasks:
        of_images.setdefault((task.config.set, task.inputs.images.key), {})[task.config.what] = task
    for (name, _), of_set in of_images.items():
        task = next(iter(of_set.values()))
        parts, labels = image_parts(name, task.inputs.images, task.config.split)
        tap = tap or Tap(network, to_pixels(next(iter(parts.values()))[:16]))
        extract(tap, parts, labels, {what: task.draft for what, task in of_set.items()})
        head = tap.head
        for task in of_set.values():
            about = {"linear_head": head.is_linear, "reason": head.reason, "rank_one": tap.why_no_rank_one}
            task.draft.json("about", about)
            if head.is_linear and (name, task.config.what) == ("id", "base"):
                task.draft.tensors("head", {"head.weight": head.weight, "head.bias": head.bias})

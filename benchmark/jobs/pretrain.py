"""Making a network's first weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from benchmark.jobs.config import NOT_IN_KEY, NetworkConfig
from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact

T = TypeVar("T")
LIBRARIES = ("numpy", "torch", "timm")


@dataclass(frozen=True)
class Config(NetworkConfig):
    """Where the weights come from, and how they are trained."""

    init: Mapping[str, Any]  # of leaderboard.yaml, but for how it is tuned
    objective: str
    hyperparameters: Mapping[str, Any]
    seeds: Mapping[str, int]  # for images, weights and order
    file: str | None = field(default=None, metadata=NOT_IN_KEY)  # of weights, on this machine


@dataclass(frozen=True)
class Inputs(Generic[T]):
    """The images of the source ``dataset``."""

    images: T | None = None


def run(task: Task[Config, Inputs[Artifact]]) -> None:
    """Make, fetch or read a network's first weights."""
    from benchmark.backbones.checkpoint import Checkpoint
    from benchmark.backbones.pretrain import (
        fractals,
        labelled,
        pretrain_on,
        published_weights,
    )
    from methods.registry import objective

    config, draft, init = task.config, task.draft, task.config.init
    history: list[dict[str, Any]] = []
    of = init.get("of", init)  # adversarial pre-training is on another source's images
    if of["source"] in ("fractaldb", "dataset"):
        if task.inputs.images is None:
            data, source = fractals(config.image_size, of["preset"], config.seeds["images"])
        else:
            data, source = labelled(task.inputs.images, of["exclude_classes"] or [])
        how = {"checkpoint": Checkpoint(draft.partial), "report": draft.report}
        chosen = objective(config.objective, **config.hyperparameters)
        network, history = pretrain_on(
            data, config, chosen, of["training"], config.seeds, config.precision, **how
        )
        weights = network.weights()
    else:
        weights, source = published_weights(config, init, config.file)
    draft.tensors("model", weights)
    draft.json("history", history)
    draft.json("source", source)

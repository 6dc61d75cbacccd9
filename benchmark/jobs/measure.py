"""Measuring one cell from its scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact

T = TypeVar("T")
LIBRARIES = ("numpy", "scipy")


@dataclass(frozen=True)
class Config:
    """The OOD sets that are near and far, and a seed for draws."""

    groups: Mapping[str, list[str]]
    seed: int


@dataclass(frozen=True)
class Inputs(Generic[T]):
    """Scores of all images, and what holds for the network."""

    scores: T
    classification: T


def run(task: Task[Config, Inputs[Artifact]]) -> None:
    """Measure one cell, or keep the reason why its detector does not apply."""
    from benchmark.metrics.cells import detection
    from benchmark.studies.detection.records import refuse_odd

    about = task.inputs.scores.json("about")
    if about["status"] == "measured":
        scores = {name: tensor.numpy() for name, tensor in task.inputs.scores.tensors("scores").items()}
        network = task.inputs.classification.json("classification")
        about["measurement"] = detection(scores, network, task.config.groups, task.config.seed)
        refuse_odd("measurement", about["measurement"])
    task.draft.json("cell", about)

"""Transforming a training split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from benchmark.jobs.config import Transformation
from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact

T = TypeVar("T")
LIBRARIES = ("numpy", "torch")
Config = Transformation


@dataclass(frozen=True)
class Inputs(Generic[T]):
    """The ID images of a track."""

    id: T


def run(task: Task[Config, Inputs[Artifact]]) -> None:
    """Give the training split of a track other labels, or a long tail; the images are not copied."""
    from benchmark.jobs.training_sets import transformed

    tensors, card = transformed(task.config, task.inputs.id.tensors("images")["labels"])
    task.draft.tensors("training_set", tensors)
    task.draft.json("card", card)

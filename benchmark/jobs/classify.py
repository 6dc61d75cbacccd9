"""Measuring what holds for a network whatever detector scores it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from benchmark.jobs.job import Nothing, Task
from benchmark.store.artifacts import Artifact

T = TypeVar("T")
LIBRARIES = ("numpy", "scipy")
Config = Nothing


@dataclass(frozen=True)
class Inputs(Generic[T]):
    """Features of the ID images and, where they are sets of their own, of test and of shifted images."""

    id: T
    id_test: T | None = None
    shifts: T | None = None
    shift_images: T | None = None  # which of the test images were shifted


def run(task: Task[Config, Inputs[Artifact]]) -> None:
    """Measure accuracy and calibration."""
    from benchmark.metrics.cells import classification
    from benchmark.studies.detection.records import refuse_odd

    inputs, tensors = task.inputs, dict[str, Any]()
    for stored in (inputs.id, inputs.id_test, inputs.shifts):
        if stored is not None:
            tensors |= stored.tensors("features")
    if inputs.shift_images is not None:
        tensors["shift.rows"] = inputs.shift_images.tensors("images")["rows"]
    found = classification({name: t.numpy() for name, t in tensors.items()})
    refuse_odd("classification", found["network"])
    task.draft.json("classification", found)

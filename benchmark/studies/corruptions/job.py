"""Measuring a network on corrupted images."""

from __future__ import annotations

from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact
from benchmark.studies.corruptions.config import Config
from benchmark.studies.config import SubjectInputs

LIBRARIES = ("numpy", "scipy", "torch", "timm")
Inputs = SubjectInputs


def run(task: Task[Config, Inputs[Artifact]]) -> None:
    """Measure it."""
    from benchmark.studies.corruptions.measure import measure

    task.draft.json("measured", measure(task.config, task.inputs))

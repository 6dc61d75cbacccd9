"""Measuring a network on corrupted images."""

from __future__ import annotations

from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact
from benchmark.studies.config import SubjectInputs
from benchmark.studies.corruptions.config import CorruptionsConfig

LIBRARIES = ("numpy", "scipy", "torch", "timm")
Config = CorruptionsConfig
Inputs = SubjectInputs


def run(task: Task[Config, Inputs[Artifact]]) -> None:
    """Measure it."""
    from benchmark.studies.corruptions.measure import measure

    task.draft.json("measured", measure(task.config, task.inputs))

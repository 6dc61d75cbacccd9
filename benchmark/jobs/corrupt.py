"""Measuring a network in the study `corruptions`."""

from __future__ import annotations

from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact
from benchmark.studies.config import Corruptions, SubjectInputs

LIBRARIES = ("numpy", "scipy", "torch", "timm")
Config = Corruptions
Inputs = SubjectInputs


def run(task: Task[Config, Inputs[Artifact]]) -> None:
    """Measure it."""
    from benchmark.studies.corruptions import measure

    task.draft.json("measured", measure(task.config, task.inputs))

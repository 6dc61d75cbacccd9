"""Measuring a network in the study `adversarial`."""

from __future__ import annotations

from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact
from benchmark.studies.config import Adversarial, SubjectInputs

LIBRARIES = ("numpy", "scipy", "torch", "timm")
Config = Adversarial
Inputs = SubjectInputs


def run(task: Task[Config, Inputs[Artifact]]) -> None:
    """Measure it."""
    from benchmark.studies.adversarial import measure

    task.draft.json("measured", measure(task.config, task.inputs))

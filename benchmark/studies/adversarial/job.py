"""Measuring a network under adversarial attacks."""

from __future__ import annotations

from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact
from benchmark.studies.adversarial.config import AdversarialConfig
from benchmark.studies.config import SubjectInputs

LIBRARIES = ("numpy", "scipy", "torch", "timm")
Config = AdversarialConfig
Inputs = SubjectInputs


def run(task: Task[Config, Inputs[Artifact]]) -> None:
    """Measure it."""
    from benchmark.studies.adversarial.measure import measure

    task.draft.json("measured", measure(task.config, task.inputs))

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
    from benchmark.backbones.checkpoint import Checkpoint, Pieces
    from benchmark.studies.adversarial.measure import measure

    pieces = Pieces(Checkpoint(task.draft.partial))
    task.draft.json("measured", measure(task.config, task.inputs, pieces))

"""Measuring a network that was trained on a transformed training set."""

from __future__ import annotations

from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact
from benchmark.studies.config import Assessment, SubjectInputs

LIBRARIES = ("numpy", "scipy", "torch", "timm")
Config = Assessment
Inputs = SubjectInputs


def run(task: Task[Config, Inputs[Artifact]]) -> None:
    """Measure it as its study does."""
    from benchmark.studies import imbalance, label_noise

    study = {"label_noise": label_noise, "imbalance": imbalance}[task.config.study]
    task.draft.json("measured", study.measure(task.config, task.inputs))

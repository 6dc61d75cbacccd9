"""Measuring a network that was trained on a transformed training set: one job for label noise and imbalance.

They shared it when their records were published, and its text is part of the keys of these. A study that is
added has a ``job.py`` of its own.
"""

from __future__ import annotations

from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact
from benchmark.studies.config import Assessment, SubjectInputs

LIBRARIES = ("numpy", "scipy", "torch", "timm")
Config = Assessment
Inputs = SubjectInputs


def run(task: Task[Config, Inputs[Artifact]]) -> None:
    """Measure it as its study does."""
    from benchmark.studies.imbalance import measure as imbalance
    from benchmark.studies.label_noise import measure as label_noise

    study = {"label_noise": label_noise, "imbalance": imbalance}[task.config.study]
    task.draft.json("measured", study.measure(task.config, task.inputs))

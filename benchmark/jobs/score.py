"""Scoring the images of one cell."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.jobs.config import ScoringConfig, ScoringInputs
from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact

LIBRARIES = ("numpy", "scipy", "torch", "timm")
Config = ScoringConfig
Inputs = ScoringInputs


def run(tasks: Sequence[Task[Config, Inputs[Artifact]]]) -> None:
    """Fit detectors on the ID training and validation features, and score every test image."""
    from benchmark.jobs.scoring import Scoring, score_into

    score_into([(task.draft, Scoring(task.config, task.inputs)) for task in tasks])

"""Scoring the images of one cell with hyper-parameters that are chosen on the validation sets."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.jobs.config import ScoringConfig, ScoringInputs
from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact

LIBRARIES = ("numpy", "scipy", "torch", "timm")
Config = ScoringConfig
Inputs = ScoringInputs


def run(tasks: Sequence[Task[Config, Inputs[Artifact]]]) -> None:
    """Choose by the AUROC of the ID validation images against the validation sets, and score.

    Tasks without validation sets are those of `benchmark.jobs.score`: they share the network's passes.
    """
    from benchmark.jobs.scoring import Scoring, score_into
    from benchmark.jobs.tuning import chosen_by

    score_into([(task.draft, Scoring(task.config, task.inputs, chosen_by(task.config))) for task in tasks])

"""Choosing the hyper-parameters of a cell whose images are scored in shards."""

from __future__ import annotations

from benchmark.jobs.config import ScoringConfig, ScoringInputs
from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact

LIBRARIES = ("numpy", "scipy", "torch", "timm")
Config = ScoringConfig
Inputs = ScoringInputs


def run(task: Task[Config, Inputs[Artifact]]) -> None:
    """Choose as `benchmark.jobs.tune` does, and score nothing."""
    from benchmark.jobs.scoring import Scoring
    from benchmark.jobs.tuning import chosen_by
    from methods.errors import NotApplicable, said

    try:
        _, about = Scoring(task.config, task.inputs, chosen_by(task.config)).choose()
    except NotApplicable as error:
        task.draft.json("about", {"status": "not_applicable", "reason": said(error)})
    else:
        task.draft.json("about", {"status": "measured", **about})

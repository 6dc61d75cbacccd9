"""One arm of the experiment in two dimensions."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.jobs.job import Nothing, Task

LIBRARIES = ("numpy", "scipy", "torch")


@dataclass(frozen=True)
class Config:
    """Arguments of `benchmark.studies.plane.measure.run_arm`."""

    arm: str
    seed: int
    steps: int


Inputs = Nothing


def run(task: Task[Config, Inputs]) -> None:
    """Train and measure one arm."""
    from benchmark.studies.plane.measure import run_arm

    task.draft.json("arm", run_arm(task.config.arm, task.config.seed, task.config.steps))

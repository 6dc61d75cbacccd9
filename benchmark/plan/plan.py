"""What is planned: cells and measurements of studies, and the jobs that they need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmark.census import Selection
from benchmark.jobs.job import Job
from benchmark.plan.studies import PlannedStudy
from benchmark.plan.track import PlannedCell


@dataclass(frozen=True)
class Plan:
    """Cells in the order of the leaderboard, and every job that they need, inputs first."""

    cells: tuple[PlannedCell, ...]
    jobs: Mapping[str, Job]
    left_out: Mapping[str, str] = field(default_factory=dict)  # track → why: its data are not at hand
    boundary: tuple[str, ...] = ()  # keys of the arms of the experiment in two dimensions
    studies: tuple[PlannedStudy, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)  # entry, init, study or row → why it is left out
    selection: Selection = Selection()  # that it was made of

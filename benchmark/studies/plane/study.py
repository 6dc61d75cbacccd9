"""Planning the experiment in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.census import Place
from benchmark.jobs.job import Job, Kind
from benchmark.plan.networks import PlannedNetwork
from benchmark.studies.plane import job
from benchmark.studies.plane.settings import Plane
from benchmark.studies.study import PlannedMeasurement, Planning


class PlaneStudy:
    """A job for each arm and seed; the maps of the first seed are kept."""

    def check(self, settings: Plane, planning: Planning) -> None:
        """Refuse nothing."""

    def check_row(self, settings: Plane, row: str, planning: Planning) -> None:
        """Refuse nothing."""

    def plan(
        self, settings: Plane, place: Place, networks: Sequence[PlannedNetwork], planning: Planning
    ) -> PlannedMeasurement:
        """Train and measure an arm."""
        label = f"two dimensions, {place.row} outliers, seed {place.seed}"
        config = job.Config(place.row, place.seed, settings.steps)
        key = planning.add(Job(Kind.BOUNDARY, config, label=label, module=job.__name__))
        return PlannedMeasurement(key, drawn=place.seed == settings.seeds[0])


STUDY = PlaneStudy()

"""Planning one track: its image sets, its networks, and what each of its studies asks of them.

What a study asks for, its own folder says; this module knows none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmark.census import Census, Place, Selection
from benchmark.errors import MethodLeftOut
from benchmark.jobs.job import Job
from benchmark.plan.networks import NetworkPlanner, PlannedNetwork
from benchmark.plan.plan import Planned
from benchmark.plan.trainings import plan_trainings
from benchmark.studies.settings import AnyStudy
from benchmark.studies.study import Planning, Study, study_of


class TrackPlanner:
    """Plans the selected places of one track; adds their jobs to `jobs`.

    Raises
    ------
    DataMissing
        If its images are not at hand.
    """

    def __init__(self, census: Census, name: str, selection: Selection, jobs: dict[str, Job]) -> None:
        self.census, self.name, self.selection, self._jobs = census, name, selection, jobs
        self.left_out: dict[str, str] = {}  # what uses a method whose file is broken → why
        self._networks = None
        if name in census.spec.tracks:
            self._networks = NetworkPlanner(census, name, jobs, self.left_out)
            self._networks.plan_images()

    def measured(self) -> Iterator[Planned]:
        """Every selected place, study by study; errors as for `benchmark.plan.make.make_plan`."""
        for name, settings in self.census.studies(self.name, self.selection).items():
            try:
                yield from self._of(name, settings)
            except MethodLeftOut as error:
                if name in self.selection.studies:
                    raise
                self.left_out[f"study {name}"] = str(error)

    def trainings(self, measured: list[Planned]) -> Iterator[Planned]:
        """The trainings of the networks of what is measured."""
        if self._networks is not None:
            yield from plan_trainings(self._networks, measured)

    def _of(self, name: str, settings: AnyStudy) -> Iterator[Planned]:
        study, at = study_of(name), settings.at(self.name, name)
        planning = Planning(self.census, self.name, at, self._networks, self._jobs)
        study.check(settings, planning)
        rows = {row for row in settings.rows if self._holds(name, settings, row, study, planning)}
        inits = self.selection.of("inits", settings.all_inits)
        if settings.trains:
            inits = planning.networks.inits(inits, self.selection.inits)
        for place in self.census.places(self.name, name, self.selection):
            if place.row in rows and place.init in inits:
                yield self._planned(place, settings, study, planning)

    def _holds(self, name: str, settings: AnyStudy, row: str, study: Study[Any], planning: Planning) -> bool:
        """Whether a row can be planned: not one that uses a method whose file is broken."""
        try:
            study.check_row(settings, row, planning)
            if settings.trains:
                planning.networks.objective(
                    settings.objective_of(row), *planning.where, *settings.row_at(row)
                )
        except MethodLeftOut as error:
            if name in self.selection.studies or row in self.selection.entries:
                raise
            self.left_out[settings.called(row, name)] = str(error)
            return False
        return True

    def _planned(self, place: Place, settings: AnyStudy, study: Study[Any], planning: Planning) -> Planned:
        if not settings.trains:
            measured = study.plan(settings, place, [], planning)
            return Planned(place, measured.key, settings=self.census.settings(place), drawn=measured.drawn)
        networks = [*self._trained(place, settings, planning)]
        measured = study.plan(settings, place, networks, planning)
        return Planned(
            place=place,
            key=measured.key,
            chain=measured.chain,
            inputs=measured.inputs,
            starts=networks[0].starts,
            data=measured.data,
            seeds=planning.networks.seeds(place.backbone, place.seed),
            objective=networks[0].objective,
            training=networks[0].training,
            settings=self.census.settings(place),
            made_of=self.census.made_of(place),
            drawn=measured.drawn,
        )

    def _trained(self, place: Place, settings: AnyStudy, planning: Planning) -> Iterator[PlannedNetwork]:
        """The networks that a place stands on."""
        plan = planning.networks.objective(settings.objective_of(place.row))
        given = self.census.given(place)
        if plan.trusted and not given.trusted:
            raise planning.wrong(
                f"{plan.name!r} needs labels that are known to be right; expected `trusted` above 0",
                *settings.row_at(place.row),
            )
        for seed in self.census.seeds(self.name, place.study, place.row, place.seed):
            yield planning.networks.trained(place.backbone, place.init, seed, plan, given)

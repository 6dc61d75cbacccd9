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
from benchmark.spec.images import Look
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
        # By look: backbones may be shown images in their own way. None where no network is trained.
        self._networks: dict[Look | None, NetworkPlanner | None] = {}
        backbones = census.networks(name).backbones
        for backbone in selection.of("backbones", backbones) or backbones:
            look = self._look(backbone)
            if look not in self._networks:
                self._networks[look] = None if look is None else self._planner(look)

    def measured(self) -> Iterator[Planned]:
        """Every selected place, study by study; errors as for `benchmark.plan.make.make_plan`."""
        for name, settings in self.census.studies(self.name, self.selection).items():
            study, at = study_of(name), settings.at(self.name, name)
            plannings = {
                look: Planning(self.census, self.name, at, networks, self._jobs)
                for look, networks in self._networks.items()
            }
            planning = next(iter(plannings.values()))
            asked = name in self.selection.studies
            try:
                study.check(settings, planning)
            except MethodLeftOut as error:
                self._leave_out(f"study {name}", error, asked=asked)
                continue
            places = self._places(name, settings, study, planning)
            try:
                for place in places:
                    yield self._planned(place, settings, study, plannings[self._look(place.backbone)])
            except MethodLeftOut as error:
                self._leave_out(f"study {name}", error, asked=asked)

    def trainings(self, measured: list[Planned]) -> Iterator[Planned]:
        """The trainings of the networks of what is measured."""
        for networks in self._networks.values():
            if networks is not None:
                yield from plan_trainings(networks, measured)

    def _look(self, backbone: str) -> Look | None:
        """How the track shows a backbone its images; None if it has none to show."""
        spec = self.census.spec
        track = spec.tracks.get(self.name)
        return None if track is None else track.look(spec.backbones[backbone])

    def _planner(self, look: Look) -> NetworkPlanner:
        networks = NetworkPlanner(self.census, self.name, look, self._jobs, self.left_out)
        networks.plan_images()
        return networks

    def _leave_out(self, what: str, error: MethodLeftOut, *, asked: bool) -> None:
        """Go on without what uses a method whose file is broken, unless it is asked for by name."""
        if asked:
            raise error
        self.left_out[what] = str(error)

    def _places(self, name: str, settings: AnyStudy, study: Study[Any], planning: Planning) -> list[Place]:
        """The selected places, without rows and inits that are left out."""
        places = [*self.census.places(self.name, name, self.selection)]
        rows = dict.fromkeys(place.row for place in places)
        for row in rows:
            try:
                study.check_row(settings, row, planning)
                if settings.trains:
                    at = (*planning.where, *settings.row_at(row))
                    planning.networks.objective(settings.objective_of(row), *at)
            except MethodLeftOut as error:
                asked = name in self.selection.studies or row in self.selection.entries
                self._leave_out(settings.called(row, name), error, asked=asked)
                places = [place for place in places if place.row != row]
        if not settings.trains:
            return places
        inits = self.selection.of("inits", settings.all_inits)
        there = planning.networks.inits(inits, self.selection.inits)
        return [place for place in places if place.init in there]

    def _planned(self, place: Place, settings: AnyStudy, study: Study[Any], planning: Planning) -> Planned:
        networks = [*self._trained(place, settings, planning)] if settings.trains else []
        first = networks[0] if networks else None
        measured = study.plan(settings, place, networks, planning)
        return Planned(
            place=place,
            key=measured.key,
            chain=measured.chain,
            inputs=measured.inputs,
            starts=first.starts if first else (),
            data=measured.data,
            seeds=planning.networks.seeds(place.backbone, place.seed) if first else {},
            objective=first.objective if first else "",
            training=first.training if first else None,
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
                f"{plan.name!r} needs labels that are known to be right; expected `trusted` above 0 where a "
                "study has it, else another objective",
                *settings.row_at(place.row),
            )
        for seed in self.census.seeds(self.name, place.study, place.row, place.seed):
            yield planning.networks.trained(place.backbone, place.init, seed, plan, given)

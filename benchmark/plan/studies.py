"""Planning the studies of one track: which networks, under which conditions, measured how.

What a study asks for, its own folder says; this module knows none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmark.census import Census, Place, Selection
from benchmark.errors import MethodLeftOut, SpecError
from benchmark.jobs.job import Job, Kind
from benchmark.plan.networks import BASE, NetworkPlanner, PlannedNetwork
from benchmark.plan.objectives import TrainingPlan
from benchmark.plan.plan import Planned
from benchmark.seeds import derive_seed
from benchmark.studies.config import SubjectInputs
from benchmark.studies.settings import StudySettings
from benchmark.studies.study import Asked, Planning, Study, study_of

Where = tuple[str | int, ...]  # in the leaderboard file


class StudyPlanner:
    """Plans the studies of one track."""

    def __init__(
        self,
        census: Census,
        name: str,
        networks: NetworkPlanner,
        selection: Selection,
    ) -> None:
        self.census, self.spec = census, census.spec
        self.name, self.track = name, census.spec.tracks[name]
        self.networks, self.selection = networks, selection

    def planned(self) -> Iterator[Planned]:
        """Every selected measurement; errors as for `benchmark.plan.make.make_plan`."""
        for name, settings in self.selection.studies_of(self.track).items():
            try:
                yield from self._of(name, settings, ("tracks", self.name, "studies", name))
            except MethodLeftOut as error:
                if name in self.selection.studies:
                    raise
                self.networks.left_out[f"study {name}"] = str(error)

    def _of(self, name: str, settings: StudySettings, where: Where) -> Iterator[Planned]:
        networks, selection = self.networks, self.selection
        study, planning = study_of(name), Planning(networks, where)
        study.check(settings, planning)
        plans: dict[str, TrainingPlan | None] = {}
        inits = networks.inits(selection.of("inits", settings.all_inits), selection.inits)
        for place in self.census.places(self.name, name, selection):
            row, given = place.row, self.census.given(place)
            at = (*where, *settings.row_at(row))
            if row not in plans:
                plans[row] = self._objective(name, row, self.census.objective(place), at)
            plan = plans[row]
            if plan is None or place.init not in inits:
                continue
            if plan.trusted and not given.trusted:
                raise SpecError(
                    f"{self.spec.where(*at)}: {plan.name!r} needs labels that are known to be right; "
                    "expected `trusted` above 0"
                )
            network = networks.trained(place.backbone, place.init, place.seed, plan, given)
            yield self._measured(name, place, network, study, study.ask(settings, place, planning))

    def _objective(self, study: str, row: str, name: str, where: Where) -> TrainingPlan | None:
        """How the networks of a row are trained; None for a row that is left out."""
        try:
            return self.networks.objective(name, *where)
        except MethodLeftOut as error:
            if study in self.selection.studies:
                raise
            self.networks.left_out[f"{row} of study {study}"] = str(error)
            return None

    def _measured(
        self, name: str, place: Place, network: PlannedNetwork, study: Study[Any], asked: Asked
    ) -> Planned:
        config = study.job.Config(
            **asked.config,
            network=network.config,
            split=network.split,
            groups=self.track.ood_sets(("near", "far")),
            seed=derive_seed(self.name, name),
        )
        data = self.networks.data
        of_id = [item for item in ("id", "id_test") if item in data]
        features = {item: self.networks.extract(network, BASE, item) for item in (*of_id, *asked.features)}
        if "shift_images" in asked.inputs:
            features["shifts"] = self.networks.extract(network, BASE, "shifts", asked.inputs["shift_images"])
        inputs = SubjectInputs(
            **asked.inputs,
            network=network.chain[Kind.TRAIN],
            features={BASE: features},
            id=data["id"],
            id_test=data.get("id_test"),
            outside={item: data[item] for item in asked.images},
        )
        job = Job(
            study.kind,
            config,
            inputs,
            asked.definitions,
            label=f"{network.place}: {name} {place.condition}".rstrip(),
            module=study.job.__name__,
        )
        return Planned(
            place=place,
            key=self.networks.add(job),
            chain={kind: k for kind, k in network.chain.items() if kind in (Kind.PRETRAIN, Kind.TRAIN)},
            inputs=job.needs,
            starts=network.starts,
            data={item: data[item] for item in dict.fromkeys([*of_id, *asked.features, *asked.images])},
            seeds=self.networks.seeds(place.backbone, place.seed),
            objective=self.census.objective(place),
            training=network.training,
            settings=self.census.settings(place),
            made_of=self.census.made_of(place),
        )

"""Planning one track: its image sets, its networks, and what each entry asks of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmark.census import Census, Place, Scoring, Selection
from benchmark.errors import MethodLeftOut, SpecError
from benchmark.jobs import measure
from benchmark.jobs.config import ScoringConfig, ScoringInputs
from benchmark.jobs.job import Job, Kind
from benchmark.plan.methods import method_errors
from benchmark.plan.networks import BASE, GRAM, RANK_ONE, NetworkPlanner, PlannedNetwork
from benchmark.plan.objectives import TrainingPlan
from benchmark.plan.plan import Planned
from benchmark.plan.studies import StudyPlanner
from benchmark.records.record import DETECTION, Cell
from benchmark.seeds import derive_seed
from benchmark.store.fingerprints import definition_of


@dataclass(frozen=True)
class _Method:
    """An entry, resolved."""

    training: TrainingPlan
    definition: str  # of the detector
    scoring: Scoring
    statistics: tuple[str, ...]  # of GRAM and RANK_ONE, those that it needs
    runs_network: bool


class TrackPlanner:
    """Plans the selected cells of one track; adds their jobs to `jobs`."""

    def __init__(self, census: Census, name: str, selection: Selection, jobs: dict[str, Job]) -> None:
        self.census = census
        self.spec = census.spec
        self.name = name
        self.track = census.spec.tracks[name]
        self.selection = selection
        self.networks = NetworkPlanner(census, name, jobs)

    def cells(self) -> Iterator[Planned]:
        """Every selected cell, in the order of the leaderboard; errors as for `make_plan`."""
        track, selection = self.track, self.selection
        self.networks.plan_images()
        methods: dict[str, _Method] = {}
        for entry in selection.entries_of(track):
            try:
                methods[entry] = self._resolve(entry)
            except MethodLeftOut as error:
                if entry in selection.entries:
                    raise
                self.networks.left_out[f"entry {entry}"] = str(error)
        if not methods:
            return
        inits = self.networks.inits(selection.of("inits", track.inits), selection.inits)
        for place in self.census.places(self.name, DETECTION, selection):
            if place.row in methods and place.init in inits:
                yield self._cell(place, methods[place.row])

    def studies(self) -> Iterator[Planned]:
        """Every selected measurement of a study, after `cells`; errors as for `make_plan`."""
        if self.selection.with_studies:
            yield from StudyPlanner(self.census, self.name, self.networks, self.selection).planned()

    def _cell(self, place: Place, method: _Method) -> Planned:
        planner, scoring = self.networks, method.scoring
        assert scoring.mode is not None  # the defaults are known: `_resolve` made the method
        cell = Cell(self.name, place.backbone, place.init, place.seed, place.row)
        members = self.census.seeds(self.name, DETECTION, place.row, place.seed)
        networks = [planner.network(cell.backbone, cell.init, seed, method.training) for seed in members]
        seeds = planner.seeds(cell.backbone, cell.seed)
        chain = dict(networks[0].chain)
        features = [
            {
                what: {item: planner.extract(network, what, item) for item in self._sets(method)}
                for what in (BASE, *method.statistics)
            }
            for network in networks
        ]
        chain[Kind.SCORE] = planner.add(self._score(cell, method, networks, features, seeds["fit"]))
        groups = {"near": list(self.track.near), "far": list(self.track.far)}
        chain[Kind.MEASURE] = planner.add(
            Job(
                Kind.MEASURE,
                measure.Config(groups, derive_seed(self.name, "measure")),
                measure.Inputs(chain[Kind.SCORE], chain[Kind.CLASSIFY]),
                label=f"{_place(cell)}: measure {cell.entry}",
            )
        )
        entry = self.spec.entries[cell.entry]
        settings = {
            "objective": entry.objective,
            "detector": entry.detector,
            "hyperparameters": scoring.points[0],  # where they are tuned, the first of the grid
            "hp_mode": scoring.mode,
            "networks": len(networks),
            "groups": groups,
        }
        return Planned(
            place=place,
            key=chain[Kind.MEASURE],
            chain=chain,
            inputs=tuple(key for of in features for keys in of.values() for key in keys.values()),
            starts=networks[0].starts,
            data={item: planner.data[item] for item in self._sets(method)}
            | planner.outliers(method.training),
            seeds=seeds,
            objective=method.training.name,
            training=networks[0].training,
            settings=settings,
            made_of=self.census.made_of(place),
        )

    def _sets(self, method: _Method) -> list[str]:
        """The image sets that an entry sees."""
        data = self.networks.data
        return [item for item in data if method.scoring.tuned or item not in self.track.validation]

    def _score(
        self,
        cell: Cell,
        method: _Method,
        networks: list[PlannedNetwork],
        features: list[dict[str, dict[str, str]]],
        seed: int,
    ) -> Job:
        """The job that scores all test images with one entry."""
        config = ScoringConfig(
            detector=self.spec.entries[cell.entry].detector,
            points=method.scoring.points,
            validation=list(self.track.validation) if method.scoring.tuned else [],
            seed=seed,
        )
        data = self.networks.data
        inputs = ScoringInputs(features, data.get("shifts"))
        if method.runs_network:
            config = replace(config, network=networks[0].config, split=networks[0].split)
            images = {item: data[item] for item in self._sets(method)}
            inputs = replace(inputs, network=networks[0].chain[Kind.TRAIN], images=images)
        return Job(
            Kind.TUNE if method.scoring.tuned else Kind.SCORE,
            config,
            inputs,
            (method.definition,),
            label=f"{_place(cell)}: scores of {cell.entry}",
            group=f"passes {networks[0].chain[Kind.TRAIN]}" if method.runs_network else "",
        )

    def _resolve(self, name: str) -> _Method:
        from methods.base import GradientDetector, Signal
        from methods.registry import detector_class

        spec = self.spec
        entry = spec.entries[name]
        with method_errors(spec.where("entries", name, "detector")):
            scorer = detector_class(entry.detector)
        training = self.networks.objective(entry.objective, "entries", name, "objective")
        if entry.tune is not None and not self.track.validation:
            where = spec.where("entries", name, "tune")
            raise SpecError(
                f"{where}: the track {self.name!r} has no `validation` sets to tune on; expected some"
            )
        scoring = self.census.scoring(name)
        with method_errors(spec.where("entries", name, "tune" if entry.tune else "hyperparameters")):
            points = [scorer.configure(point) for point in scoring.points]
        return _Method(
            training=training,
            definition=definition_of(scorer),
            scoring=scoring,
            statistics=tuple(what for what in (GRAM, RANK_ONE) if Signal(what) in scorer.needs),
            runs_network=Signal.MAPS in scorer.needs
            or scoring.chosen is not None
            or any(isinstance(point, GradientDetector) and point.step > 0 for point in points),
        )


def _place(cell: Cell) -> str:
    return f"{cell.track} {cell.backbone} {cell.init} seed {cell.seed}"

"""Planning one track: its image sets, its networks, and what each entry asks of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from benchmark.errors import MethodLeftOut, SpecError
from benchmark.jobs import measure
from benchmark.jobs.config import ScoringConfig, ScoringInputs
from benchmark.jobs.job import Job, Kind
from benchmark.plan.methods import method_errors
from benchmark.plan.networks import BASE, GRAM, RANK_ONE, NetworkPlanner, PlannedNetwork
from benchmark.plan.objectives import TrainingPlan
from benchmark.plan.selection import Selection
from benchmark.plan.studies import PlannedStudy, StudyPlanner
from benchmark.records.results import Cell, HpMode, TrainedWith
from benchmark.seeds import derive_seed
from benchmark.spec.leaderboard import Entry, Spec, supervised_source
from benchmark.store.fingerprints import definition_of


@dataclass(frozen=True)
class PlannedCell:
    """A cell, and the chain of jobs that measures it."""

    cell: Cell
    entry: Entry
    hyperparameters: dict[str, Any]  # where they are tuned, the first of the grid
    hp_mode: HpMode
    chain: Mapping[Kind, str]  # keys; EXTRACT is of the ID images, SCORE may be a job that tunes; no PRETRAIN
    # where nothing is pre-trained
    extracts: tuple[str, ...]  # keys of all features that the scores are made of
    data: Mapping[str, str]  # image set → key
    seeds: Mapping[str, int]  # by purpose
    objective: str  # in the leaderboard
    training: TrainedWith
    starts: tuple[str, ...] = ()  # keys of the networks that its own goes on from
    overlap: tuple[str, ...] = ()  # test sets of a dataset that the first weights were trained on
    networks: int = 1

    @property
    def key(self) -> str:
        """Content key of the measurement."""
        return self.chain[Kind.MEASURE]

    @property
    def keys(self) -> tuple[str, ...]:
        """Of everything that the record draws on, in the order in which it is made."""
        return (*self.data.values(), *self.starts, *self.extracts, *self.chain.values())


@dataclass(frozen=True)
class _Method:
    """An entry, resolved."""

    training: TrainingPlan
    definition: str  # of the detector
    points: list[dict[str, Any]]  # hyper-parameters, complete; several where they are tuned
    mode: HpMode
    statistics: tuple[str, ...]  # of GRAM and RANK_ONE, those that it needs
    runs_network: bool
    members: int  # 1, or how many networks an ensemble has

    @property
    def tuned(self) -> bool:
        """Whether hyper-parameters are chosen on the validation sets."""
        return self.mode == "proxy_ood"


class TrackPlanner:
    """Plans the selected cells of one track; adds their jobs to `jobs`."""

    def __init__(self, spec: Spec, name: str, selection: Selection, jobs: dict[str, Job]) -> None:
        self.spec = spec
        self.name = name
        self.track = spec.tracks[name]
        self.selection = selection
        self.networks = NetworkPlanner(spec, name, jobs)

    def cells(self) -> Iterator[PlannedCell]:
        """Every selected cell, in the order of the leaderboard; errors as for `make_plan`."""
        track, selection = self.track, self.selection
        self.networks.plan_images()
        if not selection.with_cells:
            return
        listed = track.all_entries if selection.full or selection.entries else track.entries
        entries = [e for e in listed if not selection.entries or e in selection.entries]
        methods: dict[str, _Method] = {}
        for entry in entries:
            try:
                methods[entry] = self._resolve(entry)
            except MethodLeftOut as error:
                if entry in selection.entries:
                    raise
                self.networks.left_out[f"entry {entry}"] = str(error)
        counts = {method.members for method in methods.values()}
        groups = {count: _groups(track.seeds, count) for count in counts}
        for backbone in selection.of("backbones", track.backbones):
            for init in self.networks.inits(selection.of("inits", track.inits), selection.inits):
                for seed in selection.of("seeds", track.seeds):
                    for entry, method in methods.items():
                        members = groups[method.members].get(seed, ())
                        if members and backbone in track.backbones_of(entry):
                            yield self._cell(Cell(self.name, backbone, init, seed, entry), method, members)

    def studies(self) -> Iterator[PlannedStudy]:
        """Every selected measurement of a study, after `cells`; errors as for `make_plan`."""
        if self.selection.with_studies:
            yield from StudyPlanner(self.spec, self.name, self.networks, self.selection).planned()

    def _cell(self, cell: Cell, method: _Method, members: tuple[int, ...]) -> PlannedCell:
        planner = self.networks
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
        return PlannedCell(
            cell=cell,
            entry=self.spec.entries[cell.entry],
            hyperparameters=method.points[0],
            hp_mode=method.mode,
            chain=chain,
            extracts=tuple(key for of in features for keys in of.values() for key in keys.values()),
            data={item: planner.data[item] for item in self._sets(method)}
            | planner.outliers(method.training),
            seeds=seeds,
            objective=method.training.name,
            training=networks[0].training,
            starts=networks[0].starts,
            overlap=self._overlap(cell.init),
            networks=len(networks),
        )

    def _overlap(self, init: str) -> tuple[str, ...]:
        source = supervised_source(self.spec.inits[init])
        if source is None:
            return ()
        tested = {"test": self.track.id, **self.track.near, **self.track.far}
        return tuple(item for item, images in tested.items() if images.dataset == source.images.dataset)

    def _sets(self, method: _Method) -> list[str]:
        """The image sets that an entry sees."""
        data = self.networks.data
        return [item for item in data if method.tuned or item not in self.track.validation]

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
            points=method.points,
            validation=list(self.track.validation) if method.tuned else [],
            seed=seed,
        )
        data = self.networks.data
        inputs = ScoringInputs(features, data.get("shifts"))
        if method.runs_network:
            config = replace(config, network=networks[0].config, split=networks[0].split)
            images = {item: data[item] for item in self._sets(method)}
            inputs = replace(inputs, network=networks[0].chain[Kind.TRAIN], images=images)
        return Job(
            Kind.TUNE if method.tuned else Kind.SCORE,
            config,
            inputs,
            (method.definition,),
            label=f"{_place(cell)}: scores of {cell.entry}",
            group=f"passes {networks[0].chain[Kind.TRAIN]}" if method.runs_network else "",
        )

    def _resolve(self, name: str) -> _Method:
        from methods.base import EnsembleDetector, GradientDetector, Signal
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
        names = list(entry.tune or {})
        points = []
        with method_errors(spec.where("entries", name, "tune" if names else "hyperparameters")):
            for values in product(*(entry.tune or {}).values()):
                chosen = {**entry.hyperparameters, **dict(zip(names, values, strict=True))}
                points.append(scorer.configure(chosen))
        chooses = [p for p in points if isinstance(p, GradientDetector) and p.chooses_step]
        published = points[0].hyperparameters() == scorer.configure({}).hyperparameters()
        return _Method(
            training=training,
            definition=definition_of(scorer),
            points=[point.hyperparameters() for point in points],
            mode="proxy_ood" if names else "id_val" if chooses else "published" if published else "declared",
            statistics=tuple(what for what in (GRAM, RANK_ONE) if Signal(what) in scorer.needs),
            runs_network=Signal.MAPS in scorer.needs
            or bool(chooses)
            or any(isinstance(point, GradientDetector) and point.step > 0 for point in points),
            members=max(p.members if isinstance(p, EnsembleDetector) else 1 for p in points),
        )


def _groups(seeds: list[int], count: int) -> dict[int, tuple[int, ...]]:
    """The seeds of an ensemble's networks by their first: disjoint groups in the order of the track."""
    starts = range(0, len(seeds) - count + 1, count)
    return {seeds[i]: tuple(seeds[i : i + count]) for i in starts}


def _place(cell: Cell) -> str:
    return f"{cell.track} {cell.backbone} {cell.init} seed {cell.seed}"

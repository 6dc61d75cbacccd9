"""Planning one track: its image sets, its networks, and what each entry asks of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from benchmark.datasets import FRACTAL_PRESETS, HubDataset, dataset
from benchmark.errors import SpecError
from benchmark.job import Job, Kind
from benchmark.results import Cell, HpMode
from benchmark.seeds import derive_seed
from benchmark.spec import Entry, FractalDB, Hub, ImageSource, Scratch, Spec, Track
from methods.names import did_you_mean

BASE, GRAM, RANK_ONE = "base", "gram", "rank_one"  # what is extracted into artifacts of their own


@dataclass(frozen=True)
class Selection:
    """Which part of the leaderboard; an empty tuple selects all."""

    tracks: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()
    inits: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()


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
    networks: int = 1

    @property
    def key(self) -> str:
        """Content key of the measurement."""
        return self.chain[Kind.MEASURE]

    @property
    def keys(self) -> tuple[str, ...]:
        """Of everything that the record draws on, in the order in which it is made."""
        return (*self.data.values(), *self.extracts, *self.chain.values())


@dataclass
class _Network:
    """What is known of one network: its jobs, and the features of each image set by what was extracted."""

    config: dict[str, Any]  # architecture and image size
    split: dict[str, Any]
    chain: dict[Kind, str]
    features: dict[tuple[str, str], str]  # (BASE or a statistic, image set) → key
    place: str  # for people


@dataclass(frozen=True)
class _Method:
    """An entry, resolved."""

    objective: str
    objective_module: str
    detector_module: str
    points: list[dict[str, Any]]  # hyper-parameters, complete; several where they are tuned
    mode: HpMode
    statistics: tuple[str, ...]  # of GRAM and RANK_ONE, those that it needs
    runs_network: bool
    members: int  # 1, or how many networks an ensemble has

    @property
    def tuned(self) -> bool:
        """Whether hyper-parameters are chosen on the validation sets."""
        return self.mode == "proxy_ood"


def image_config(track: Track, name: str, item: str, source: ImageSource) -> dict[str, Any]:
    """Configuration of the job that builds one image set of the track called `name`.

    Raises
    ------
    DataMissing
        If it is a dataset of the Hub that the mirror does not hold.
    """
    config: dict[str, Any] = {
        "dataset": source.dataset,
        "classes": source.classes,
        "n": source.n,
        "image_size": track.image_size,
        "seed": derive_seed(name, item, "images"),
    }
    known = dataset(source.dataset)
    if isinstance(known, HubDataset):
        split = source.split or next(iter(known.splits))
        config |= {"split": split, "crop": track.crop, "sha256": known.digest(split)}
    return config


class TrackPlanner:
    """Plans the selected cells of one track; adds their jobs to `jobs`."""

    def __init__(self, spec: Spec, name: str, selection: Selection, jobs: dict[str, Job]) -> None:
        self.spec = spec
        self.name = name
        self.track = spec.tracks[name]
        self.selection = selection
        self.jobs = jobs
        self.split = {
            **self.track.split.model_dump(),
            "track_seed": derive_seed(name, "split"),
            "whole": self.track.id_test is not None,
        }
        self.data: dict[str, str] = {}  # image set → key
        self._networks: dict[tuple[str, str, int, str], _Network] = {}

    def cells(self) -> Iterator[PlannedCell]:
        """Every selected cell, in the order of the leaderboard; errors as for `make_plan`."""
        track, selection = self.track, self.selection
        entries = [e for e in track.entries if not selection.entries or e in selection.entries]
        methods = {entry: self._resolve(entry) for entry in entries}
        self.data = self._image_sets()
        for backbone in _chosen(track.backbones, selection.backbones):
            for init in _chosen(track.inits, selection.inits):
                for seed in _chosen(track.seeds, selection.seeds):
                    for entry, method in methods.items():
                        members = _members(track.seeds, seed, method.members)
                        if members:
                            yield self._cell(Cell(self.name, backbone, init, seed, entry), method, members)

    def _cell(self, cell: Cell, method: _Method, members: tuple[int, ...]) -> PlannedCell:
        networks = [self._network(cell.backbone, cell.init, seed, method) for seed in members]
        seeds = self._seeds(cell.backbone, cell.seed)
        chain = dict(networks[0].chain)
        features = {
            f"{i}.{what}.{item}": self._extract(network, what, item)
            for what in (BASE, *method.statistics)
            for i, network in enumerate(networks)
            for item in self._sets(method)
        }
        chain[Kind.SCORE] = self._add(self._score(cell, method, networks, features, seeds["fit"]))
        groups = {"near": list(self.track.near), "far": list(self.track.far)}
        chain[Kind.MEASURE] = self._add(
            Job(
                Kind.MEASURE,
                {"groups": groups, "seed": derive_seed(self.name, "measure")},
                {"scores": chain[Kind.SCORE], "classification": chain[Kind.CLASSIFY]},
                label=f"{_place(cell)}: measure {cell.entry}",
            )
        )
        return PlannedCell(
            cell=cell,
            entry=self.spec.entries[cell.entry],
            hyperparameters=method.points[0],
            hp_mode=method.mode,
            chain=chain,
            extracts=tuple(features.values()),
            data={item: self.data[item] for item in self._sets(method)},
            seeds=seeds,
            networks=len(networks),
        )

    def _image_sets(self) -> dict[str, str]:
        track = self.track
        data = {}
        id_sets = {"id": track.id, **({"id_test": track.id_test} if track.id_test else {})}
        for item, source in {**id_sets, **track.near, **track.far, **track.validation}.items():
            config = image_config(track, self.name, item, source)
            module = dataset(source.dataset).module
            data[item] = self._add(Job(Kind.DATA, config, {}, (module,), f"{self.name}: images of {item}"))
        if track.shifts is not None:
            config = {
                **track.shifts.model_dump(),
                "split": self.split,
                "seed": derive_seed(self.name, "shifts"),
            }
            unshifted = {item: data[item] for item in id_sets}
            label = f"{self.name}: shifted test images"
            data["shifts"] = self._add(Job(Kind.SHIFT, config, unshifted, label=label))
        return data

    def _sets(self, method: _Method) -> list[str]:
        """The image sets that an entry sees."""
        return [item for item in self.data if method.tuned or item not in self.track.validation]

    def _shift_images(self) -> dict[str, str]:
        """Says which test images were shifted."""
        return {"shift_images": self.data["shifts"]} if "shifts" in self.data else {}

    def _network(self, backbone: str, init: str, seed: int, method: _Method) -> _Network:
        """One trained network, and the jobs that measure it whatever detector scores it."""
        key = backbone, init, seed, method.objective
        if key in self._networks:
            return self._networks[key]
        seeds = self._seeds(backbone, seed)
        config = {
            "architecture": self.spec.backbones[backbone].architecture + self._tag(init),
            "image_size": self.track.image_size,
        }
        source, pretrained = self._pretraining(backbone, init)
        split = {**self.split, "seed": seeds["split"]}
        recipe = {
            "training": None if self.track.training is None else self.track.training.model_dump(),
            "split": split,
            "seeds": {purpose: seeds[purpose] for purpose in ("weights", "order")},
            "objective": method.objective,
            "init": source,
        }
        place = f"{self.name} {backbone} {init} seed {seed}"
        inputs = {"id": self.data["id"], **({"pretrained": pretrained} if pretrained else {})}
        train = Job(Kind.TRAIN, {**config, **recipe}, inputs, (method.objective_module,), f"{place}: train")
        chain = {} if pretrained is None else {Kind.PRETRAIN: pretrained}
        chain[Kind.TRAIN] = self._add(train)
        network = _Network(config, split, chain, {}, place)
        features: dict[str, str] = {
            item: self._extract(network, BASE, item)
            for item in ("id", "id_test", "shifts")
            if item in self.data
        }
        chain[Kind.EXTRACT] = features["id"]
        inputs = {**features, **self._shift_images()}
        chain[Kind.CLASSIFY] = self._add(Job(Kind.CLASSIFY, {}, inputs, label=f"{place}: calibration"))
        self._networks[key] = network
        return network

    def _extract(self, network: _Network, what: str, item: str) -> str:
        """Key of the features of one image set; all of a network are extracted together, in one pass."""
        if (what, item) not in network.features:
            config = {**network.config, "set": item, "what": what}
            if item == "id":
                config["split"] = network.split
            network.features[what, item] = self._add(
                Job(
                    Kind.EXTRACT,
                    config,
                    {"network": network.chain[Kind.TRAIN], "images": self.data[item]},
                    label=f"{network.place}: {'features' if what == BASE else what} of {item}",
                    group=f"features {network.chain[Kind.TRAIN]}",
                )
            )
        return network.features[what, item]

    def _score(
        self, cell: Cell, method: _Method, networks: list[_Network], features: Mapping[str, str], seed: int
    ) -> Job:
        """The job that scores all test images with one entry."""
        config: dict[str, Any] = {
            "detector": self.spec.entries[cell.entry].detector,
            "points": method.points,
            "validation": list(self.track.validation) if method.tuned else [],
            "members": len(networks),
            "seed": seed,
            "network": None,
        }
        inputs = {**features, **self._shift_images()}
        if method.runs_network:
            config["network"] = {**networks[0].config, "split": networks[0].split}
            inputs["network"] = networks[0].chain[Kind.TRAIN]
            inputs |= {f"images.{item}": self.data[item] for item in self._sets(method)}
        label = f"{_place(cell)}: scores of {cell.entry}"
        kind = Kind.TUNE if method.tuned else Kind.SCORE
        return Job(kind, config, inputs, (method.detector_module,), label)

    def _pretraining(self, backbone: str, init: str) -> tuple[dict[str, Any], str | None]:
        """Where the first weights come from, and the job that makes them; one checkpoint serves all seeds."""
        spec = self.spec
        source: Scratch | FractalDB | Hub = spec.inits[init]
        if self.track.training is None and not isinstance(source, Hub):
            raise SpecError(
                f"{spec.where('tracks', self.name, 'training')}: got null, which takes published weights as "
                f"they are, but the init {init!r} has none for this task; expected a recipe"
            )
        if isinstance(source, Scratch):
            return {"source": "scratch"}, None
        if isinstance(source, FractalDB) and source.preset not in FRACTAL_PRESETS:
            hint = did_you_mean(source.preset, FRACTAL_PRESETS)
            raise SpecError(f"{spec.where('inits', init, 'preset')}: no preset {source.preset!r}; {hint}")
        config = {
            "architecture": spec.backbones[backbone].architecture,
            "image_size": self.track.image_size,
            "init": self._pretraining_recipe(source),
            "seeds": {p: derive_seed(backbone, init, p) for p in ("images", "weights", "order")},
        }
        job = Job(Kind.PRETRAIN, config, label=f"pre-train {backbone} on {init}")
        return {"source": source.source}, self._add(job)

    def _pretraining_recipe(self, source: FractalDB | Hub) -> dict[str, Any]:
        recipe = source.model_dump()
        if isinstance(source, FractalDB) and self.track.pretraining is not None:
            recipe["training"] = self.track.pretraining.model_dump()
        return recipe

    def _seeds(self, backbone: str, seed: int) -> dict[str, int]:
        # The init is not hashed: both arms of a comparison share head, data order and split.
        purposes = ("split", "weights", "order", "fit")
        return {purpose: derive_seed(self.name, backbone, seed, purpose) for purpose in purposes}

    def _tag(self, init: str) -> str:
        """A tag of published weights names the input normalisation too."""
        weights = self.spec.inits[init]
        return f".{weights.tag}" if isinstance(weights, Hub) and weights.tag else ""

    def _add(self, job: Job) -> str:
        self.jobs.setdefault(job.key, job)
        return job.key

    def _resolve(self, name: str) -> _Method:
        from methods.base import EnsembleDetector, GradientDetector, HyperparameterError, Signal
        from methods.registry import UnknownMethod, detector_class, objective_class

        spec = self.spec
        entry = spec.entries[name]
        try:
            scorer = detector_class(entry.detector)
        except UnknownMethod as error:
            raise SpecError(f"{spec.where('entries', name, 'detector')}: {error}") from error
        try:
            objective = objective_class(entry.objective)
        except UnknownMethod as error:
            raise SpecError(f"{spec.where('entries', name, 'objective')}: {error}") from error
        if entry.tune is not None and not self.track.validation:
            where = spec.where("entries", name, "tune")
            raise SpecError(
                f"{where}: the track {self.name!r} has no `validation` sets to tune on; expected some"
            )
        names = list(entry.tune or {})
        points = []
        for values in product(*(entry.tune or {}).values()):
            chosen = {**entry.hyperparameters, **dict(zip(names, values, strict=True))}
            try:
                points.append(scorer.configure(chosen))
            except HyperparameterError as error:
                key = "tune" if names else "hyperparameters"
                raise SpecError(f"{spec.where('entries', name, key)}: {error}") from error
        published = points[0].hyperparameters() == scorer.configure({}).hyperparameters()
        return _Method(
            objective=entry.objective,
            objective_module=objective.__module__,
            detector_module=scorer.__module__,
            points=[point.hyperparameters() for point in points],
            mode="proxy_ood" if names else "published" if published else "declared",
            statistics=tuple(what for what in (GRAM, RANK_ONE) if Signal(what) in scorer.needs),
            runs_network=Signal.MAPS in scorer.needs
            or any(isinstance(point, GradientDetector) and point.step > 0 for point in points),
            members=max(p.members if isinstance(p, EnsembleDetector) else 1 for p in points),
        )


def _members(seeds: list[int], seed: int, count: int) -> tuple[int, ...]:
    """The seeds of an ensemble's networks: disjoint groups in the order of the track, named by their first.

    Empty for a seed that is not the first of a group.
    """
    groups = [tuple(seeds[i : i + count]) for i in range(0, len(seeds) - count + 1, count)]
    return next((group for group in groups if group[0] == seed), ())


def _place(cell: Cell) -> str:
    return f"{cell.track} {cell.backbone} {cell.init} seed {cell.seed}"


def _chosen(available: list[Any], wanted: tuple[Any, ...]) -> list[Any]:
    return [item for item in available if not wanted or item in wanted]

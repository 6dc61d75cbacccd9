"""Planning the studies of one track: which networks, under which conditions, measured how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch

from benchmark.datasets import dataset
from benchmark.errors import MethodLeftOut, SpecError
from benchmark.jobs.job import Job, Kind
from benchmark.plan.methods import method_errors
from benchmark.plan.networks import BASE, PLAIN, Given, NetworkPlanner, PlannedNetwork
from benchmark.plan.objectives import TrainingPlan
from benchmark.plan.selection import Selection
from benchmark.records.results import TrainedWith
from benchmark.seeds import derive_seed
from benchmark.spec.leaderboard import Spec
from benchmark.spec.limits import MOST_STEPS
from benchmark.spec.studies import (
    Adversarial,
    Corruptions,
    Imbalance,
    LabelNoise,
    MethodUse,
    NoiseMethod,
    Study,
    StudyName,
    noise_condition,
)
from benchmark.store.fingerprints import definition_of, installed_version
from benchmark.studies import config as configs
from benchmark.studies.config import SubjectConfig, SubjectInputs
from methods.attack import Attack
from methods.base import EnsembleDetector, GradientDetector, Method
from methods.errors import MethodError
from methods.imbalance import Profile
from methods.label_noise import NoiseModel
from methods.registry import attack_class, method_class

Place = tuple[str | int, ...]


@dataclass(frozen=True, eq=False)
class PlannedStudy:
    """One network under one condition, and the jobs that measure it."""

    track: str
    study: StudyName
    row: str
    backbone: str
    init: str
    seed: int
    condition: str
    chain: Mapping[Kind, str]  # keys; PRETRAIN where anything is pre-trained, TRAIN
    starts: tuple[str, ...]  # keys of the networks that its own builds on
    inputs: tuple[str, ...]  # keys of what else it is measured with
    key: str  # of the measurement
    training: TrainedWith
    settings: Mapping[str, Any]  # of the measurement

    def __str__(self) -> str:
        place = f"{self.track} {self.backbone} {self.init} seed {self.seed} {self.study} {self.row}"
        return f"{place} {self.condition}".rstrip()

    @property
    def keys(self) -> tuple[str, ...]:
        """Of everything that the record draws on, in the order in which it is made."""
        return (*self.chain.values(), *self.starts, *self.inputs, self.key)


_CONFIGS: Mapping[Kind, type[SubjectConfig]] = {
    Kind.ATTACK: configs.Adversarial,
    Kind.CORRUPT: configs.Corruptions,
    Kind.ASSESS: configs.Assessment,
}


@dataclass(frozen=True)
class _Asked:
    """What a measurement is asked for besides the network, and what a record says of that."""

    kind: Kind
    config: Mapping[str, Any]  # besides what every study has
    inputs: Mapping[str, str]
    sets: Sequence[str]  # whose features are measured, besides those of the ID images
    definitions: tuple[str, ...]
    settings: Mapping[str, Any]  # as records have them


class StudyPlanner:
    """Plans the studies of one track."""

    def __init__(
        self,
        spec: Spec,
        name: str,
        networks: NetworkPlanner,
        selection: Selection,
    ) -> None:
        self.spec, self.name, self.track = spec, name, spec.tracks[name]
        self.networks, self.selection = networks, selection

    def planned(self) -> Iterator[PlannedStudy]:
        """Every selected measurement; errors as for `benchmark.plan.make.make_plan`."""
        selection, track = self.selection, self.track
        for name, study in track.studies.chosen(full=selection.full).items():
            if selection.studies and name not in selection.studies:
                continue
            where = ("tracks", self.name, "studies", name)
            backbones = selection.of("backbones", study.backbones or track.backbones)
            seeds = selection.of("seeds", track.seeds, None if selection.full else study.seeds)
            try:
                if isinstance(study, Adversarial):
                    self._check_curves(study, where)
                for backbone in backbones:
                    for seed in seeds:
                        yield from self._of(name, study, backbone, seed, where)
            except MethodLeftOut as error:
                if name in selection.studies:
                    raise
                self.networks.left_out[f"study {name}"] = str(error)

    def _of(
        self, name: StudyName, study: Study, backbone: str, seed: int, where: Place
    ) -> Iterator[PlannedStudy]:
        networks = self.networks
        if isinstance(study, Adversarial | Corruptions):
            for row, inits in study.networks.items():
                plan = self._objective(row, row, (*where, "networks", row))
                if plan is None:
                    continue
                for init in networks.inits(self.selection.of("inits", inits), self.selection.inits):
                    network = networks.trained(backbone, init, seed, plan)
                    asked = self._network_asked(study, row, where, (backbone, init, seed))
                    yield self._measured((name, row, backbone, init, seed, ""), network, asked)
            return
        for row, condition, objective, given in self._conditions(study, where):
            plan = self._objective(row, objective, (*where, "methods", row, "objective"))
            if plan is None:
                continue
            if plan.trusted and not given.trusted:
                raise SpecError(
                    f"{self.spec.where(*where, 'methods', row)}: {objective!r} needs labels that are known "
                    "to be right; expected `trusted` above 0"
                )
            for init in networks.inits(self.selection.of("inits", study.inits), self.selection.inits):
                network = networks.trained(backbone, init, seed, plan, given)
                asked = self._condition_asked(
                    name, study, where, networks.training_set(backbone, seed, given)
                )
                yield self._measured((name, row, backbone, init, seed, condition), network, asked)

    def _objective(self, row: str, name: str, where: Place) -> TrainingPlan | None:
        """How the networks of a row are trained; None for a row that is left out."""
        try:
            return self.networks.objective(name, *where)
        except MethodLeftOut as error:
            study = where[3]
            if study in self.selection.studies:
                raise
            self.networks.left_out[f"{row} of study {study}"] = str(error)
            return None

    def _measured(
        self, cell: tuple[StudyName, str, str, str, int, str], network: PlannedNetwork, asked: _Asked
    ) -> PlannedStudy:
        study, row, backbone, init, seed, condition = cell
        config = _CONFIGS[asked.kind](
            **asked.config,
            network=network.config,
            split=network.split,
            groups=self.track.ood_sets(("near", "far")),
            seed=derive_seed(self.name, study),
        )
        data = self.networks.data
        of_id = [item for item in ("id", "id_test") if item in data]
        features = {item: self.networks.extract(network, BASE, item) for item in (*of_id, *asked.sets)}
        if "shift_images" in asked.inputs:
            features["shifts"] = self.networks.extract(network, BASE, "shifts", asked.inputs["shift_images"])
        outside = (*self.track.near, *self.track.far) if asked.kind == Kind.ATTACK else ()
        inputs = SubjectInputs(
            **asked.inputs,
            network=network.chain[Kind.TRAIN],
            features={BASE: features},
            id=data["id"],
            id_test=data.get("id_test"),
            outside={item: data[item] for item in outside},
        )
        label = f"{network.place}: {study} {condition}".rstrip()
        job = Job(asked.kind, config, inputs, asked.definitions, label)
        return PlannedStudy(
            track=self.name,
            study=study,
            row=row,
            backbone=backbone,
            init=init,
            seed=seed,
            condition=condition,
            chain=dict(network.chain),
            starts=network.starts,
            inputs=job.needs,
            key=self.networks.add(job),
            training=network.training,
            settings=asked.settings,
        )

    def _network_asked(
        self, study: Adversarial | Corruptions, row: str, where: Place, cell: tuple[str, str, int]
    ) -> _Asked:
        config: dict[str, Any] = {"detectors": study.detectors}
        groups = {"groups": self.track.ood_sets(study.groups)}
        inputs: dict[str, str] = {}
        images = isinstance(study, Adversarial)
        definitions = self._detectors(study.detectors, (*where, "detectors"), images=images)
        if isinstance(study, Corruptions):
            shifts = {"kinds": study.kinds, "scale": study.scale, "images_per_class": study.images_per_class}
            inputs["shift_images"] = self.networks.shifted(shifts)
            sets = list(self.track.near)
            return _Asked(Kind.CORRUPT, config, inputs, sets, definitions, config | shifts | groups)
        config |= {
            "images_per_class": study.images_per_class,
            "attacks": {
                name: self._configured("attacks", use, (*where, "attacks", name))
                for name, use in study.attacks.items()
            },
            "curves": study.curves,
            "epsilons": study.epsilons,
            "steps": study.steps,
            "detector_attack": study.detector_attack.model_dump(),
            "ood_images": study.ood_images,
        }
        used = sorted({use.method for use in study.attacks.values()})
        settings = config | groups
        named = [attack_class(name).package for name in used]
        if packages := {name: installed_version(name) for name in named if name is not None}:
            config["packages"] = packages
        if study.transfer is not None and row in study.transfer.to:
            backbone, init, seed = cell
            plan = self.networks.objective(study.transfer.source, *where, "transfer", "source")
            seeds = self.track.seeds
            if len(seeds) < 2:
                raise SpecError(
                    f"{self.spec.where(*where, 'transfer')}: examples are made on the network of another "
                    f"seed, and the track has {len(seeds)}; expected at least two"
                )
            another = seeds[(seeds.index(seed) + 1) % len(seeds)]
            network = self.networks.trained(backbone, init, another, plan)
            inputs["transfer"] = network.chain[Kind.TRAIN]
            settings |= {"transfer": study.transfer.source}
        definitions += tuple(definition_of(attack_class(name)) for name in used)
        return _Asked(Kind.ATTACK, config, inputs, (), definitions, settings)

    def _condition_asked(
        self, name: StudyName, study: LabelNoise | Imbalance, where: Place, training_set: str
    ) -> _Asked:
        inputs = {"training_set": training_set}
        if isinstance(study, LabelNoise):
            return _Asked(Kind.ASSESS, {"study": name}, inputs, (), (), {})
        definitions = self._detectors(study.detectors, (*where, "detectors"), images=False)
        config = {"study": name, "detectors": study.detectors}
        settings = {"detectors": study.detectors, "groups": self.track.ood_sets(study.groups)}
        sets = (*self.track.near, *self.track.far)
        return _Asked(Kind.ASSESS, config, inputs, sets, definitions, settings)

    def _conditions(
        self, study: LabelNoise | Imbalance, where: Place
    ) -> Iterator[tuple[str, str, str, Given]]:
        """Row, condition, objective and training data of each network of a backbone, an init and a seed."""
        if isinstance(study, Imbalance):
            for condition, profile in study.profiles.items():
                place = (*where, "profiles", condition)
                tail = self._method("profiles", profile.method, profile.hyperparameters, place)
                given = replace(PLAIN, profile=_described(profile, tail))
                rarest = self._rarest(tail, place)
                for row, imbalance_method in study.methods.items():
                    use, of_row = imbalance_method.sampler, (*where, "methods", row, "sampler")
                    sampler = None if use is None else self._sampler(use, condition, rarest, of_row)
                    yield row, condition, imbalance_method.objective, replace(given, sampler=sampler)
            return
        for row, method in study.methods.items():
            self._check_trusted(method, (*where, "methods", row, "trusted"))
            for noise_name, noise in study.noises.items():
                place = (*where, "noises", noise_name)
                model = self._method("noise_models", noise.method, noise.hyperparameters, place)
                configured = _described(noise, model)
                self._check_noise(model, place)
                for strength in study.strengths:
                    given = Given(  # networks without noise are the same whatever the noise is called
                        noise={**configured, "strength": strength} if strength else None,
                        trusted=method.trusted,
                        watched=strength in study.watched.get(row, ()),
                    )
                    yield row, noise_condition(noise_name, strength), method.objective, given

    @property
    def _classes(self) -> int:
        """How many classes the track tells apart."""
        of_id = self.track.id
        return len(of_id.classes or dataset(of_id.dataset).card.class_names)

    def _rarest(self, made: Method, where: Place) -> int:
        """Images of the rarest class that a profile leaves."""
        assert isinstance(made, Profile)
        try:
            counts = made.counts(self._classes, self.track.split.train_per_class)
        except ValueError as error:
            raise SpecError(f"{self.spec.where(*where)}: {error}") from error
        if min(counts) == max(counts):
            raise SpecError(
                f"{self.spec.where(*where)}: every class has {counts[0]} images left; expected a profile "
                "that leaves some classes fewer"
            )
        return min(counts)

    def _sampler(self, use: MethodUse, profile: str, rarest: int, where: Place) -> dict[str, Any]:
        """A sampler of a profile that leaves its rarest class so many images."""
        found = self._configured("samplers", use, where)["hyperparameters"]
        neighbours = found.get("neighbours")
        if neighbours is not None and rarest <= neighbours:
            raise SpecError(
                f"{self.spec.where(*where)}: {neighbours} neighbours of an image need {neighbours + 1} "
                f"images of each class, and the profile {profile!r} leaves one {rarest}; expected fewer "
                "neighbours, or none given"
            )
        return {"name": use.method, **found}

    def _check_noise(self, made: Method, where: Place) -> None:
        assert isinstance(made, NoiseModel)
        try:
            made.matrix(self._classes, 1.0, torch.Generator())
        except ValueError as error:
            raise SpecError(f"{self.spec.where(*where)}: {error}") from error

    def _check_trusted(self, method: NoiseMethod, where: Place) -> None:
        per_class = self.track.split.train_per_class
        count = round(method.trusted * per_class)
        if method.trusted and not 0 < count < per_class:
            raise SpecError(
                f"{self.spec.where(*where)}: a share of {method.trusted:g} of the {per_class} training "
                f"images of a class is {'all of them' if count else 'none'}; expected from "
                f"{1 / per_class:g} to {1 - 1 / per_class:g}"
            )

    def _check_curves(self, study: Adversarial, where: Place) -> None:
        """Refuse an attack that cannot be shown over its steps; of how many points is tried on one image."""
        use = study.attacks[study.curves]
        made = self._method("attacks", use.method, use.hyperparameters, (*where, "attacks", study.curves))
        assert isinstance(made, Attack)
        found = made.hyperparameters()
        place = self.spec.where(*where, "curves")
        if lacks := {"epsilon", "steps"} - found.keys():
            raise SpecError(
                f"{place}: {study.curves!r} has no {' and no '.join(sorted(lacks))}; expected an attack of "
                "several steps, such as pgd"
            )
        for name, value in found.items():
            if isinstance(value, int) and value > MOST_STEPS:
                raise SpecError(
                    f"{place}: {study.curves!r} has {value:,} {name}; expected at most {MOST_STEPS:,}"
                )
        if max(study.steps) > found["steps"]:
            raise SpecError(
                f"{self.spec.where(*where, 'steps')}: got {max(study.steps)}; expected at most "
                f"{found['steps']}, the steps of {study.curves!r}"
            )
        image = torch.full((1, 3, self.track.image_size, self.track.image_size), 0.5)
        try:
            path = made.path(
                lambda x: x.flatten(1)[:, : self._classes], image, torch.zeros(1, dtype=torch.int64)
            )
            points = sum(1 for _ in islice(path, found["steps"] + 1))
        except (MethodError, ValueError) as error:
            raise SpecError(f"{place}: {error}") from error
        if points != found["steps"]:
            raise SpecError(
                f"{place}: {study.curves!r} shows {points} points of its search; expected one for each of "
                f"its {found['steps']} steps, as pgd does"
            )

    def _configured(self, family: str, use: MethodUse, where: Place) -> dict[str, Any]:
        """A method with its hyper-parameters, complete."""
        return _described(use, self._method(family, use.method, use.hyperparameters, where))

    def _detectors(self, names: list[str], where: Place, *, images: bool) -> tuple[str, ...]:
        """Roots of detectors that a study can score with: of one network, by features unless `images`."""
        found = [self._method("detectors", name, {}, where) for name in names]
        for name, made in zip(names, found, strict=True):
            if isinstance(made, EnsembleDetector):
                problem = "scores by several networks"
            elif isinstance(made, GradientDetector) and made.chooses_step:
                problem = "has a step that is not chosen yet"
            elif isinstance(made, GradientDetector) and made.step > 0 and not images:
                problem = "moves the images first, and this study scores features"
            else:
                continue
            raise SpecError(f"{self.spec.where(*where)}: {name!r} {problem}; expected another detector")
        return tuple(definition_of(type(made)) for made in found)

    def _method(self, family: str, name: str, hyperparameters: Mapping[str, Any], where: Place) -> Method:
        with method_errors(self.spec.where(*where)):
            return method_class(family, name).configure(hyperparameters)


def _described(use: MethodUse, made: Method) -> dict[str, Any]:
    return {"method": use.method, "hyperparameters": made.hyperparameters()}

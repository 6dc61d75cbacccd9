"""Planning the studies of one track: which networks, under which conditions, measured how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from benchmark.census import Census, Place, Selection
from benchmark.datasets import dataset
from benchmark.errors import MethodLeftOut, SpecError
from benchmark.jobs.job import Job, Kind
from benchmark.plan.methods import method_errors
from benchmark.plan.networks import BASE, NetworkPlanner, PlannedNetwork
from benchmark.plan.objectives import TrainingPlan
from benchmark.plan.plan import Planned
from benchmark.records.place import Place as At
from benchmark.seeds import derive_seed
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
    inits_of,
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

Where = tuple[str | int, ...]  # in the leaderboard file


_CONFIGS: Mapping[Kind, type[SubjectConfig]] = {
    Kind.ATTACK: configs.Adversarial,
    Kind.CORRUPT: configs.Corruptions,
    Kind.ASSESS: configs.Assessment,
}


@dataclass(frozen=True)
class _Asked:
    """What a measurement is asked for besides the network."""

    kind: Kind
    config: Mapping[str, Any]  # besides what every study has
    inputs: Mapping[str, str]
    sets: Sequence[str]  # whose features are measured, besides those of the ID images
    definitions: tuple[str, ...]


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
        for name, study in self.selection.studies_of(self.track).items():
            try:
                yield from self._of(name, study, ("tracks", self.name, "studies", name))
            except MethodLeftOut as error:
                if name in self.selection.studies:
                    raise
                self.networks.left_out[f"study {name}"] = str(error)

    def _of(self, name: StudyName, study: Study, where: Where) -> Iterator[Planned]:
        networks, selection = self.networks, self.selection
        self._check(study, where)
        plans: dict[str, TrainingPlan | None] = {}
        of_networks = isinstance(study, Adversarial | Corruptions)
        inits = networks.inits(selection.of("inits", inits_of(study)), selection.inits)
        for place in self.census.places(self.name, name, selection):
            row, given = place.row, self.census.given(place)
            if row not in plans:
                at = ("networks", row) if of_networks else ("methods", row, "objective")
                plans[row] = self._objective(row, self.census.objective(place), (*where, *at))
            plan = plans[row]
            if plan is None or place.init not in inits:
                continue
            if plan.trusted and not given.trusted:
                raise SpecError(
                    f"{self.spec.where(*where, 'methods', row)}: {plan.name!r} needs labels that are known "
                    "to be right; expected `trusted` above 0"
                )
            network = networks.trained(place.backbone, place.init, place.seed, plan, given)
            if isinstance(study, Adversarial | Corruptions):
                asked = self._network_asked(study, place, where)
            else:
                training_set = networks.training_set(place.backbone, place.seed, given)
                asked = self._condition_asked(name, study, where, training_set)
            yield self._measured(name, place, network, asked)

    def _objective(self, row: str, name: str, where: Where) -> TrainingPlan | None:
        """How the networks of a row are trained; None for a row that is left out."""
        try:
            return self.networks.objective(name, *where)
        except MethodLeftOut as error:
            study = where[3]
            if study in self.selection.studies:
                raise
            self.networks.left_out[f"{row} of study {study}"] = str(error)
            return None

    def _measured(self, study: StudyName, place: Place, network: PlannedNetwork, asked: _Asked) -> Planned:
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
        label = f"{network.place}: {study} {place.condition}".rstrip()
        job = Job(asked.kind, config, inputs, asked.definitions, label)
        return Planned(
            place=At(*place),
            key=self.networks.add(job),
            chain=dict(network.chain),
            inputs=job.needs,
            starts=network.starts,
            data={item: data[item] for item in dict.fromkeys([*of_id, *asked.sets, *outside])},
            seeds=self.networks.seeds(place.backbone, place.seed),
            objective=self.census.objective(place),
            training=network.training,
            settings=self.census.settings(place),
            made_of=self.census.made_of(place),
        )

    def _network_asked(self, study: Adversarial | Corruptions, place: Place, where: Where) -> _Asked:
        config: dict[str, Any] = {"detectors": study.detectors}
        inputs: dict[str, str] = {}
        images = isinstance(study, Adversarial)
        definitions = self._detectors(study.detectors, (*where, "detectors"), images=images)
        if isinstance(study, Corruptions):
            shifts = {"kinds": study.kinds, "scale": study.scale, "images_per_class": study.images_per_class}
            inputs["shift_images"] = self.networks.shifted(shifts)
            sets = list(self.track.near)
            return _Asked(Kind.CORRUPT, config, inputs, sets, definitions)
        config |= {
            "images_per_class": study.images_per_class,
            "attacks": self.census.settings(place)["attacks"],
            "curves": study.curves,
            "epsilons": study.epsilons,
            "steps": study.steps,
            "detector_attack": study.detector_attack.model_dump(),
            "ood_images": study.ood_images,
        }
        used = sorted({use.method for use in study.attacks.values()})
        named = [attack_class(name).package for name in used]
        if packages := {name: installed_version(name) for name in named if name is not None}:
            config["packages"] = packages
        if study.transfer is not None and place.row in study.transfer.to:
            plan = self.networks.objective(study.transfer.source, *where, "transfer", "source")
            seeds = self.track.seeds
            if len(seeds) < 2:
                raise SpecError(
                    f"{self.spec.where(*where, 'transfer')}: examples are made on the network of another "
                    f"seed, and the track has {len(seeds)}; expected at least two"
                )
            another = seeds[(seeds.index(place.seed) + 1) % len(seeds)]
            network = self.networks.trained(place.backbone, place.init, another, plan)
            inputs["transfer"] = network.chain[Kind.TRAIN]
        definitions += tuple(definition_of(attack_class(name)) for name in used)
        return _Asked(Kind.ATTACK, config, inputs, (), definitions)

    def _condition_asked(
        self, name: StudyName, study: LabelNoise | Imbalance, where: Where, training_set: str
    ) -> _Asked:
        inputs = {"training_set": training_set}
        if isinstance(study, LabelNoise):
            return _Asked(Kind.ASSESS, {"study": name}, inputs, (), ())
        definitions = self._detectors(study.detectors, (*where, "detectors"), images=False)
        config = {"study": name, "detectors": study.detectors}
        sets = (*self.track.near, *self.track.far)
        return _Asked(Kind.ASSESS, config, inputs, sets, definitions)

    def _check(self, study: Study, where: Where) -> None:
        """Refuse methods, and hyper-parameters of theirs, that a study cannot be made with."""
        if isinstance(study, Adversarial):
            self._check_curves(study, where)
            for name, use in study.attacks.items():
                self._configured("attacks", use, (*where, "attacks", name))
        elif isinstance(study, Imbalance):
            for condition, profile in study.profiles.items():
                rarest = self._rarest(profile, (*where, "profiles", condition))
                for row, of_row in study.methods.items():
                    if of_row.sampler is not None:
                        place = (*where, "methods", row, "sampler")
                        self._check_sampler(of_row.sampler, condition, rarest, place)
        elif isinstance(study, LabelNoise):
            for row, method in study.methods.items():
                self._check_trusted(method, (*where, "methods", row, "trusted"))
            for name, noise in study.noises.items():
                self._check_noise(noise, (*where, "noises", name))

    @property
    def _classes(self) -> int:
        """How many classes the track tells apart."""
        of_id = self.track.id
        return len(of_id.classes or dataset(of_id.dataset).card.class_names)

    def _rarest(self, use: MethodUse, where: Where) -> int:
        """Images of the rarest class that a profile leaves."""
        made = self._configured("profiles", use, where)
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

    def _check_sampler(self, use: MethodUse, profile: str, rarest: int, where: Where) -> None:
        """Refuse a sampler that a profile leaves too few images: of its rarest class so many."""
        neighbours = self._configured("samplers", use, where).hyperparameters().get("neighbours")
        if neighbours is not None and rarest <= neighbours:
            raise SpecError(
                f"{self.spec.where(*where)}: {neighbours} neighbours of an image need {neighbours + 1} "
                f"images of each class, and the profile {profile!r} leaves one {rarest}; expected fewer "
                "neighbours, or none given"
            )

    def _check_noise(self, use: MethodUse, where: Where) -> None:
        made = self._configured("noise_models", use, where)
        assert isinstance(made, NoiseModel)
        try:
            made.matrix(self._classes, 1.0, torch.Generator())
        except ValueError as error:
            raise SpecError(f"{self.spec.where(*where)}: {error}") from error

    def _check_trusted(self, method: NoiseMethod, where: Where) -> None:
        per_class = self.track.split.train_per_class
        count = round(method.trusted * per_class)
        if method.trusted and not 0 < count < per_class:
            raise SpecError(
                f"{self.spec.where(*where)}: a share of {method.trusted:g} of the {per_class} training "
                f"images of a class is {'all of them' if count else 'none'}; expected from "
                f"{1 / per_class:g} to {1 - 1 / per_class:g}"
            )

    def _check_curves(self, study: Adversarial, where: Where) -> None:
        """Refuse an attack that cannot be shown over its steps; of how many points is tried on one image."""
        use = study.attacks[study.curves]
        made = self._configured("attacks", use, (*where, "attacks", study.curves))
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

    def _configured(self, family: str, use: MethodUse, where: Where) -> Method:
        return self._method(family, use.method, use.hyperparameters, where)

    def _detectors(self, names: list[str], where: Where, *, images: bool) -> tuple[str, ...]:
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

    def _method(self, family: str, name: str, hyperparameters: Mapping[str, Any], where: Where) -> Method:
        with method_errors(self.spec.where(*where)):
            return method_class(family, name).configure(hyperparameters)

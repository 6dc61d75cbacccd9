"""Planning the networks of one track: image sets, pre-training, training, features."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from benchmark.census import PLAIN, Census, Given
from benchmark.datasets.declared import datasets_of
from benchmark.errors import MethodLeftOut, SpecError
from benchmark.jobs import classify, extract, gather, shift, train, training_set
from benchmark.jobs.config import NetworkConfig, SplitConfig, Transformation
from benchmark.jobs.job import Job, Kind, Nothing
from benchmark.jobs.shards import Bins, shards_of, told
from benchmark.plan.objectives import TrainingPlan, pretraining_objective, resolve_objective
from benchmark.plan.sources import (
    chosen_classes,
    image_config,
    most_images,
    network_config,
    pretraining_job,
)
from benchmark.records.record import TrainedWith
from benchmark.seeds import derive_seed
from benchmark.spec.images import ImageSource, Look
from benchmark.spec.networks import Hub, Scratch, TrackNetworks, supervised_source
from benchmark.store.fingerprints import definition_of
from methods.registry import method_class

BASE, GRAM, RANK_ONE = "base", "gram", "rank_one"  # what is extracted into artifacts of their own


@dataclass
class PlannedNetwork:
    """What is known of one network: its jobs, and the features of each image set by what was extracted."""

    config: NetworkConfig
    split: SplitConfig
    chain: dict[Kind, str]
    training: TrainedWith
    starts: tuple[str, ...]  # keys of the networks that it goes on from, the nearest first
    features: dict[tuple[str, str], str]  # (BASE or a statistic, key of the images) → key
    place: str  # for people
    objective: str  # in the leaderboard
    cell: tuple[str, str, int]  # backbone, init and seed
    given: Given
    bins: Bins = field(default_factory=Bins)  # of the jobs that extract its features


class NetworkPlanner:
    """Plans the networks of one track that are shown its images alike; adds their jobs to `jobs`."""

    def __init__(
        self, census: Census, name: str, look: Look, jobs: dict[str, Job], left_out: dict[str, str]
    ) -> None:
        self.census = census
        self.look = look
        self.spec = spec = census.spec
        self.name = name
        self.track = spec.tracks[name]
        self.jobs = jobs
        self.split = SplitConfig(
            train_per_class=self.track.split.train,
            val_per_class=self.track.split.val_per_class,
            track_seed=derive_seed(name, "split"),
            whole=self.track.id_test is not None,
            seed=0,  # which leaves the test set as any other does
        )
        self.data: dict[str, str] = {}  # image set → key
        self.sizes: dict[str, int] = {}  # key → how many images it has at most
        self._left_out = left_out  # what uses a method whose file is broken → why
        self._plans: dict[str, TrainingPlan] = {}
        self._networks: dict[str, PlannedNetwork] = {}

    def plan_images(self) -> None:
        """Plan the image sets that networks are trained, validated and tested on; raises `DataMissing`."""
        track = self.track
        id_sets = {"id": track.id, **({"id_test": track.id_test} if track.id_test else {})}
        for item, source in {**id_sets, **track.ood, **track.validation}.items():
            self.data[item] = self._images(item, source)
        if track.shifts is not None:
            self.data["shifts"] = self.shifted(track.shifts.model_dump())

    def inits(self, selected: list[str], named: Collection[str]) -> list[str]:
        """Those of `selected` but for inits whose objective is broken: left out, unless they are `named`."""
        found = []
        for init in selected:
            source = self.spec.first_weights(self.name, init)
            try:
                if not isinstance(source, Scratch):
                    pretraining_objective(self.spec, init, source)
                found.append(init)
            except MethodLeftOut as error:
                if init in named:
                    raise
                self._left_out[f"init {init}"] = str(error)
        return found

    def shifted(self, shifts: Mapping[str, Any]) -> str:
        """Key of shifted ID test images; `shifts` as in `benchmark.spec.leaderboard.Shifts`."""
        config = shift.Config(**shifts, split=self.split, seed=derive_seed(self.name, "shifts"))
        unshifted = shift.Inputs(self.data["id"], self.data.get("id_test"))
        key = self.add(Job(Kind.SHIFT, config, unshifted, label=f"{self.name}: shifted test images"))
        each = self.classes * config.images_per_class
        self.sizes[key] = min(each, self.sizes[unshifted.id_test or unshifted.id]) * len(config.kinds) * 5
        return key

    def outliers(self, plan: TrainingPlan) -> dict[str, str]:
        """Keys of the outlier sets that an objective is shown."""
        return {item: self._images(item, self.track.outliers[item]) for item in plan.outliers}

    def objective(self, name: str, *where: str | int) -> TrainingPlan:
        """Resolve an objective that the leaderboard names at `where`.

        Raises
        ------
        SpecError
            If there is none, or it lacks what it needs; names file, line and key.
        """
        if name not in self._plans:
            self._plans[name] = resolve_objective(self.spec, self.name, name, where)
        return self._plans[name]

    def classified(self, network: PlannedNetwork) -> None:
        """Plan the jobs that measure a network whatever detector scores it."""
        if Kind.CLASSIFY in network.chain:
            return
        sets = (item for item in ("id", "id_test", "shifts") if item in self.data)
        features = {item: self.extract(network, BASE, item) for item in sets}
        network.chain[Kind.EXTRACT] = features["id"]
        inputs = classify.Inputs(**features, shift_images=self.data.get("shifts"))
        job = Job(Kind.CLASSIFY, classify.Config(), inputs, label=f"{network.place}: calibration")
        network.chain[Kind.CLASSIFY] = self.add(job)

    def trained(
        self, backbone: str, init: str, seed: int, plan: TrainingPlan, given: Given = PLAIN
    ) -> PlannedNetwork:
        """One trained network, and no more."""
        key = json.dumps([backbone, init, seed, plan.name, asdict(given)])
        if key not in self._networks:
            seeds = self.seeds(backbone, seed)
            config = network_config(self.spec, self.name, (backbone, init, seed))
            split = replace(self.split, seed=seeds["split"])
            place = f"{self.name} {backbone} {init} seed {seed}"
            if plan.name != "cross_entropy":
                place += f" {plan.name}"
            self._networks[key] = self._train(config, split, (backbone, init, seed), plan, given, place)
        return self._networks[key]

    @property
    def planned(self) -> list[PlannedNetwork]:
        """Every network so far, those that others go on from before these."""
        return [*self._networks.values()]

    def training_set(self, backbone: str, seed: int, given: Given) -> str:
        """Key of a transformed training split: methods and inits of a seed share it."""
        config = Transformation(
            **given.transformation,
            split=replace(self.split, seed=self.seeds(backbone, seed)["split"]),
            seed=derive_seed(self.name, backbone, seed, "training set"),
        )
        definitions = []
        for family, use in (("noise_models", given.noise), ("profiles", given.profile)):
            if use is not None:
                definitions.append(definition_of(method_class(family, use["method"])))
        label = f"{self.name} {backbone} seed {seed}: training set"
        inputs = training_set.Inputs(self.data["id"])
        return self.add(Job(Kind.TRAINING_SET, config, inputs, tuple(definitions), label))

    def extract(self, network: PlannedNetwork, what: str, item: str, shifted: str | None = None) -> str:
        """Key of the features of one image set; all of a network are extracted together, in one pass.

        `shifted` is the key of other shifted images than the track's.
        """
        images = shifted or self.data[item]
        if (what, images) not in network.features:
            split = network.split if item == "id" else None
            config = extract.Config(**asdict(network.config), set=item, what=what, split=split)
            inputs = extract.Inputs(network.chain[Kind.TRAIN], images)
            label = f"{network.place}: {'features' if what == BASE else what} of {item}"
            count = self.extracted(images) if item == "id" else self.sizes[images]
            shards = shards_of(count, self.look.image_size)
            keys = []
            for shard in shards:
                place = f"{images} {shard}"
                together = network.bins.of(place, count * self.look.image_size**2 // len(shards))
                job = Job(
                    Kind.EXTRACT,
                    replace(config, shard=shard),
                    inputs,
                    label=f"{label}{told(shard)}",
                    group=f"features {inputs.network} {together}",
                )
                keys.append(self.add(job))
            network.features[what, images] = self.gathered(keys, "features", label)
        return network.features[what, images]

    def gathered(self, keys: list[str], file: str, label: str, choice: str | None = None) -> str:
        """Key of what shards come to; of the whole where nothing was cut."""
        if len(keys) == 1:
            return keys[0]
        return self.add(Job(Kind.GATHER, gather.Config(file), gather.Inputs(keys, choice), label=label))

    @property
    def classes(self) -> int:
        """How many classes the track tells apart."""
        names = datasets_of(self.spec)[self.track.id.dataset].card.class_names
        return len(chosen_classes(self.track.id, names) or names)

    def tested(self) -> int:
        """How many images are tested, at most."""
        split = self.split
        of_id = self.extracted(self.data["id"])
        of_id -= of_id if split.whole else ((split.train_per_class or 0) + split.val_per_class) * self.classes
        outside = self.data.keys() - {"id", *self.track.validation}
        return max(0, of_id) + sum(self.sizes[self.data[item]] for item in outside)

    def extracted(self, images: str) -> int:
        """How many images of the ID set are run, at most: not all where the test images are others."""
        split = self.split
        if self.track.id_test is None or split.train_per_class is None:
            return self.sizes[images]
        return min(self.sizes[images], (split.train_per_class + split.val_per_class) * self.classes)

    def seeds(self, backbone: str, seed: int) -> dict[str, int]:
        """Seeds by purpose. The init is not hashed: both arms of a comparison share head, order and split."""
        purposes = ("split", "weights", "order", "fit")
        return {purpose: derive_seed(self.name, backbone, seed, purpose) for purpose in purposes}

    def add(self, job: Job) -> str:
        """Plan a job, once; returns its key."""
        self.jobs.setdefault(job.key, job)
        return job.key

    def _images(self, item: str, source: ImageSource) -> str:
        config = image_config(self.spec, self.name, item, source, self.look)
        known = datasets_of(self.spec)[source.dataset]
        label = f"{self.name}: images of {item}"
        key = self.add(Job(Kind.DATA, config, Nothing(), known.definitions, label))
        self.sizes[key] = most_images(known, config)
        return key

    def _train(
        self,
        config: NetworkConfig,
        split: SplitConfig,
        cell: tuple[str, str, int],
        plan: TrainingPlan,
        given: Given,
        place: str,
    ) -> PlannedNetwork:
        """The network of a backbone, an init and a seed, with the jobs that end in its training."""
        backbone, init, seed = cell
        seeds = self.seeds(backbone, seed)
        source = self.spec.first_weights(self.name, init)
        inputs = train.Inputs(self.data["id"], outliers=self.outliers(plan))
        chain: dict[Kind, str] = {}
        asked = self.census.trained((self.name, backbone, init), plan.name, given)
        recipe = asked.recipe
        before = None
        if plan.start is not None:
            before = self.trained(backbone, init, seed, plan.start, given)
            inputs = replace(inputs, start=before.chain[Kind.TRAIN])
            chain |= {kind: key for kind, key in before.chain.items() if kind == Kind.PRETRAIN}
        else:
            if not isinstance(source, Scratch):
                of, images = supervised_source(source), None
                if of is not None:
                    images = self._images(f"pre-training on {of.images.dataset}", of.images)
                job = pretraining_job(self.spec, self.name, cell, images)
                chain[Kind.PRETRAIN] = self.add(job)
                inputs = replace(inputs, pretrained=chain[Kind.PRETRAIN])
        as_published = isinstance(source, Hub | TrackNetworks) and plan.objective == "cross_entropy"
        if recipe is None and not as_published:
            raise SpecError(
                f"{self.spec.where('tracks', self.name, 'training')}: got null, which takes published "
                f"weights as they are, but the init {init!r} has none for this task or the objective "
                f"{plan.name!r} must train them; expected a recipe"
            )
        first = None
        if plan.first is not None:
            first = self.trained(backbone, init, seed, plan.first, given.first_phase(trusted=plan.trusted))
            inputs = replace(inputs, first=first.chain[Kind.TRAIN])
        if given.training_set is not None:
            inputs = replace(inputs, training_set=self.training_set(backbone, seed, given))
        if given.watched:
            inputs = replace(inputs, id_test=self.data.get("id_test"))
        if recipe is not None and recipe["epochs"] <= recipe["warmup_epochs"]:
            raise SpecError(
                f"{self.spec.where('objectives', plan.name, 'epochs')}: got {recipe['epochs']}; expected "
                f"more than the {recipe['warmup_epochs']} warm-up epochs of the track {self.name!r}"
            )
        job_config = train.Config(
            **asdict(config),
            training=recipe,
            split=split,
            seeds={purpose: seeds[purpose] for purpose in ("weights", "order")},
            objective=plan.objective,
            hyperparameters=asked.hyperparameters,
            blend=asked.outliers,
            source=source.source,
            sampler=given.sampler,
            watched=given.watched,
        )
        definitions = [*plan.definitions]
        if given.sampler is not None:
            definitions.append(definition_of(method_class("samplers", given.sampler["name"])))
        job = Job(Kind.TRAIN, job_config, inputs, tuple(definitions), f"{place}: train")
        chain[Kind.TRAIN] = self.add(job)
        starts = tuple(
            key for one in (before, first) if one is not None for key in (one.chain[Kind.TRAIN], *one.starts)
        )
        return PlannedNetwork(config, split, chain, asked, starts, {}, place, plan.name, cell, given)

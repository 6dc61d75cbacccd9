"""Planning the networks of one track: image sets, pre-training, training, features."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.datasets import FRACTAL_PRESETS, HubDataset, dataset
from benchmark.environment import training_device
from benchmark.errors import DataError, SpecError
from benchmark.job import Job, Kind
from benchmark.results import TrainedWith
from benchmark.seeds import derive_seed
from benchmark.spec import (
    CheckpointFile,
    FractalDB,
    Hub,
    ImageSource,
    ObjectiveUse,
    Pretrained,
    Scratch,
    Spec,
    SupervisedSource,
    Track,
)
from methods.names import did_you_mean

BASE, GRAM, RANK_ONE = "base", "gram", "rank_one"  # what is extracted into artifacts of their own


@dataclass(frozen=True)
class TrainingPlan:
    """An objective as the leaderboard uses it, resolved."""

    name: str  # in the leaderboard
    objective: str  # in the registry
    module: str
    hyperparameters: dict[str, Any]  # complete
    outliers: tuple[str, ...]  # of the track's
    epochs: int | None  # None: those of the track's recipe
    start: TrainingPlan | None  # whose network it fine-tunes


@dataclass
class Network:
    """What is known of one network: its jobs, and the features of each image set by what was extracted."""

    config: dict[str, Any]  # architecture, stem and image size
    split: dict[str, Any]
    chain: dict[Kind, str]
    training: TrainedWith
    starts: tuple[str, ...]  # keys of the networks that it goes on from, the nearest first
    features: dict[tuple[str, str], str]  # (BASE or a statistic, image set) → key
    place: str  # for people


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


class NetworkPlanner:
    """Plans the networks of one track; adds their jobs to `jobs`."""

    def __init__(self, spec: Spec, name: str, jobs: dict[str, Job]) -> None:
        self.spec = spec
        self.name = name
        self.track = spec.tracks[name]
        self.jobs = jobs
        self.split = {
            **self.track.split.model_dump(),
            "track_seed": derive_seed(name, "split"),
            "whole": self.track.id_test is not None,
        }
        self.data: dict[str, str] = {}  # image set → key
        self._plans: dict[str, TrainingPlan] = {}
        self._networks: dict[tuple[str, str, int, str], Network] = {}

    def plan_images(self) -> None:
        """Plan the image sets that networks are trained, validated and tested on; raises `DataMissing`."""
        track = self.track
        id_sets = {"id": track.id, **({"id_test": track.id_test} if track.id_test else {})}
        for item, source in {**id_sets, **track.near, **track.far, **track.validation}.items():
            self.data[item] = self._images(item, source)
        if track.shifts is not None:
            config = {
                **track.shifts.model_dump(),
                "split": self.split,
                "seed": derive_seed(self.name, "shifts"),
            }
            unshifted = {item: self.data[item] for item in id_sets}
            label = f"{self.name}: shifted test images"
            self.data["shifts"] = self.add(Job(Kind.SHIFT, config, unshifted, label=label))

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
            self._plans[name] = self._resolve(name, where)
        return self._plans[name]

    def network(self, backbone: str, init: str, seed: int, plan: TrainingPlan) -> Network:
        """One trained network, and the jobs that measure it whatever detector scores it."""
        key = backbone, init, seed, plan.name
        if key in self._networks:
            return self._networks[key]
        seeds = self.seeds(backbone, seed)
        config: dict[str, Any] = {**self._architecture(backbone), "image_size": self.track.image_size}
        config["architecture"] += self._tag(init)
        split = {**self.split, "seed": seeds["split"]}
        place = f"{self.name} {backbone} {init} seed {seed}"
        if plan.name != "cross_entropy":
            place += f" {plan.name}"
        network = self._train(config, split, key[:3], plan, place)
        features: dict[str, str] = {
            item: self.extract(network, BASE, item)
            for item in ("id", "id_test", "shifts")
            if item in self.data
        }
        network.chain[Kind.EXTRACT] = features["id"]
        inputs = {**features, **self.shift_images()}
        network.chain[Kind.CLASSIFY] = self.add(Job(Kind.CLASSIFY, {}, inputs, label=f"{place}: calibration"))
        self._networks[key] = network
        return network

    def extract(self, network: Network, what: str, item: str) -> str:
        """Key of the features of one image set; all of a network are extracted together, in one pass."""
        if (what, item) not in network.features:
            config = {**network.config, "set": item, "what": what}
            if item == "id":
                config["split"] = network.split
            network.features[what, item] = self.add(
                Job(
                    Kind.EXTRACT,
                    config,
                    {"network": network.chain[Kind.TRAIN], "images": self.data[item]},
                    label=f"{network.place}: {'features' if what == BASE else what} of {item}",
                    group=f"features {network.chain[Kind.TRAIN]}",
                )
            )
        return network.features[what, item]

    def shift_images(self) -> dict[str, str]:
        """Says which test images were shifted."""
        return {"shift_images": self.data["shifts"]} if "shifts" in self.data else {}

    def seeds(self, backbone: str, seed: int) -> dict[str, int]:
        """Seeds by purpose. The init is not hashed: both arms of a comparison share head, order and split."""
        purposes = ("split", "weights", "order", "fit")
        return {purpose: derive_seed(self.name, backbone, seed, purpose) for purpose in purposes}

    def add(self, job: Job) -> str:
        """Plan a job, once; returns its key."""
        self.jobs.setdefault(job.key, job)
        return job.key

    def _images(self, item: str, source: ImageSource) -> str:
        config = image_config(self.track, self.name, item, source)
        module = dataset(source.dataset).module
        return self.add(Job(Kind.DATA, config, {}, (module,), f"{self.name}: images of {item}"))

    def _train(
        self,
        config: Mapping[str, Any],
        split: Mapping[str, Any],
        cell: tuple[str, str, int],
        plan: TrainingPlan,
        place: str,
    ) -> Network:
        """The network of a backbone, an init and a seed, with the jobs that end in its training."""
        backbone, init, seed = cell
        track, seeds = self.track, self.seeds(backbone, seed)
        source = self.spec.inits[init]
        inputs = {"id": self.data["id"]}
        chain: dict[Kind, str] = {}
        recipe = track.training
        before = None
        if plan.start is not None:
            before = self.network(backbone, init, seed, plan.start)
            inputs["start"] = before.chain[Kind.TRAIN]
            chain |= {kind: key for kind, key in before.chain.items() if kind == Kind.PRETRAIN}
            recipe = track.finetuning or track.training
        else:
            pretrained = self._pretraining(backbone, init)
            if pretrained is not None:
                inputs["pretrained"] = chain[Kind.PRETRAIN] = pretrained
        if recipe is None and not (isinstance(source, Hub) and plan.objective == "cross_entropy"):
            raise SpecError(
                f"{self.spec.where('tracks', self.name, 'training')}: got null, which takes published "
                f"weights as they are, but the init {init!r} has none for this task or the objective "
                f"{plan.name!r} must train them; expected a recipe"
            )
        inputs |= {f"outliers.{item}": key for item, key in self.outliers(plan).items()}
        tune = "all" if isinstance(source, Scratch) else source.tune
        if recipe is not None and plan.epochs is not None:
            if plan.epochs <= recipe.warmup_epochs:
                raise SpecError(
                    f"{self.spec.where('objectives', plan.name, 'epochs')}: got {plan.epochs}; expected more "
                    f"than the {recipe.warmup_epochs} warm-up epochs of the track {self.name!r}"
                )
            recipe = recipe.model_copy(update={"epochs": plan.epochs})
        recipe_config = None if recipe is None else {**recipe.model_dump(), "tune": tune}
        job_config: dict[str, Any] = {
            **config,
            "training": recipe_config,
            "split": split,
            "seeds": {purpose: seeds[purpose] for purpose in ("weights", "order")},
            "objective": plan.objective,
            "hyperparameters": plan.hyperparameters,
            "blend": {item: track.outliers[item].blend for item in plan.outliers},
            "init": {"source": source.source},
            "device": training_device(),
        }
        job = Job(Kind.TRAIN, job_config, inputs, (plan.module,), f"{place}: train")
        chain[Kind.TRAIN] = self.add(job)
        trained = TrainedWith(
            objective=plan.objective,
            hyperparameters=plan.hyperparameters,
            outliers=job_config["blend"],
            recipe=recipe_config,
            starts_from=None if before is None else before.training,
        )
        starts = () if before is None else (before.chain[Kind.TRAIN], *before.starts)
        return Network(dict(config), dict(split), chain, trained, starts, {}, place)

    def _pretraining(self, backbone: str, init: str) -> str | None:
        """The job that makes the first weights, if they are not drawn; one checkpoint serves all seeds."""
        source = self.spec.inits[init]
        if isinstance(source, Scratch):
            return None
        inputs = {}
        if isinstance(source, SupervisedSource):
            inputs["images"] = self._images(f"pre-training on {source.images.dataset}", source.images)
        config = {
            **self._architecture(backbone),
            "image_size": self.track.image_size,
            "init": self._pretraining_recipe(init, source),
            # Of the source, not of the init's name: inits that differ in what is tuned share the weights.
            "seeds": {p: derive_seed(backbone, source.source, p) for p in ("images", "weights", "order")},
            "device": training_device(),
        }
        local = {}
        if isinstance(source, CheckpointFile):
            local["file"] = str(self.spec.beside(source.file).resolve())
        label = f"pre-train {backbone} on {init}"
        return self.add(Job(Kind.PRETRAIN, config, inputs, label=label, local=local))

    def _pretraining_recipe(self, init: str, source: Pretrained) -> dict[str, Any]:
        spec = self.spec
        if isinstance(source, FractalDB) and source.preset not in FRACTAL_PRESETS:
            hint = did_you_mean(source.preset, FRACTAL_PRESETS)
            raise SpecError(f"{spec.where('inits', init, 'preset')}: no preset {source.preset!r}; {hint}")
        recipe = source.model_dump(exclude={"tune", "images", "file"})
        if isinstance(source, FractalDB) and self.track.pretraining is not None:
            recipe["training"] = self.track.pretraining.model_dump()
        if isinstance(source, CheckpointFile):
            path = spec.beside(source.file)
            try:
                with path.open("rb") as file:
                    recipe["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                where = spec.where("inits", init, "file")
                raise DataError(
                    f"{where}: {path} cannot be read ({error.strerror}); expected a safetensors file"
                ) from error
        return recipe

    def _architecture(self, backbone: str) -> dict[str, str]:
        return self.spec.backbones[backbone].model_dump()

    def _tag(self, init: str) -> str:
        """A tag of published weights names the input normalisation too."""
        weights = self.spec.inits[init]
        return f".{weights.tag}" if isinstance(weights, Hub) and weights.tag else ""

    def _resolve(self, name: str, where: tuple[str | int, ...]) -> TrainingPlan:
        from methods.base import HyperparameterError
        from methods.registry import UnknownMethod, objective_class

        spec = self.spec
        use = spec.objectives.get(name)
        place: tuple[str | int, ...] = where if use is None else ("objectives", name, "objective")
        use = use or ObjectiveUse(objective=name, outliers=None, epochs=None)
        try:
            found = objective_class(use.objective)
        except UnknownMethod as error:
            raise SpecError(f"{spec.where(*place)}: {error}") from error
        try:
            configured = found.configure(use.hyperparameters)
        except HyperparameterError as error:
            raise SpecError(f"{spec.where('objectives', name, 'hyperparameters')}: {error}") from error
        outliers = tuple(use.outliers or ())
        at = ("objectives", name, "outliers")
        if found.needs and not outliers:
            known = ", ".join(self.track.outliers) or "none"
            raise SpecError(
                f"{spec.where(*(at[:2] if name in spec.objectives else where))}: the objective "
                f"{use.objective!r} needs {' and '.join(sorted(found.needs))}; expected "
                f"`objectives.{name}` with `outliers`, of those of the track: {known}"
            )
        for i, item in enumerate(outliers):
            if not found.needs:
                raise SpecError(f"{spec.where(*at)}: the objective {use.objective!r} takes none")
            if item not in self.track.outliers:
                hint = did_you_mean(item, self.track.outliers)
                raise SpecError(
                    f"{spec.where(*at, i)}: {item!r} is no outlier set of track {self.name!r}; {hint}"
                )
        start = found.starts_from
        if start is not None and start in spec.objectives:
            raise SpecError(
                f"{spec.where('objectives', start)}: {use.objective!r} starts from the objective of this "
                "name as it is; expected another name"
            )
        return TrainingPlan(
            name=name,
            objective=use.objective,
            module=found.__module__,
            hyperparameters=configured.hyperparameters(),
            outliers=outliers,
            epochs=use.epochs,
            start=None if start is None else self.objective(start, "objectives", name, "objective"),
        )

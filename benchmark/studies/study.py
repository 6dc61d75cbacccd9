"""The contract of a study: what is planned for one of its places, and what measures it.

A contributor reads this file and `benchmark.studies.settings`, and writes a folder beside them:

``settings.py``
    ``SETTINGS``, its part of leaderboard.yaml.
``study.py``
    ``STUDY``, a `Study`, as a rule a `NetworkStudy`: which job measures a network, what is asked for it, what
    is refused beforehand.
``job.py``
    that job, as those of `benchmark.jobs`: ``Config``, a `benchmark.studies.config.SubjectConfig`;
    ``LIBRARIES``, whose versions may change the result; and ``run``, which imports what computes, such as
    `benchmark.studies.subject`, and leaves ``measured``: numbers by path, series by name, warnings.

``records.py``
    only where its records are particular: ``FAMILY``, a `benchmark.records.families.Family`.

How its numbers are shown stands in a folder of the same name in `reports.studies`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from benchmark.census import Census, Place
from benchmark.errors import MethodLeftOut, SpecError
from benchmark.jobs.job import Job, Kind
from benchmark.jobs.shards import Shard, told
from benchmark.plan.methods import method_errors
from benchmark.plan.networks import BASE, NetworkPlanner, PlannedNetwork
from benchmark.seeds import derive_seed
from benchmark.spec.leaderboard import Track
from benchmark.store.fingerprints import definition_of
from benchmark.studies.config import SubjectConfig, SubjectInputs
from benchmark.studies.settings import AnyStudy, MethodUse, StudySettings
from methods.base import EnsembleDetector, GradientDetector, Method
from methods.errors import MethodError
from methods.names import describe
from methods.registry import method_class

S = TypeVar("S", bound=AnyStudy, contravariant=True)
N = TypeVar("N", bound=StudySettings)
T = TypeVar("T")


class JobModule(Protocol):
    """A module that measures networks."""

    __name__: str

    @property
    def Config(self) -> type[SubjectConfig]:  # noqa: N802
        """What decides the result besides data."""

    @property
    def LIBRARIES(self) -> Sequence[str]:  # noqa: N802
        """Whose versions may change the result."""


@dataclass(frozen=True)
class Asked:
    """What a measurement is asked for besides the network and the features of the ID images."""

    config: Mapping[str, Any] = field(default_factory=dict)  # of the job, besides what every study has
    inputs: Mapping[str, str] = field(default_factory=dict)  # further `SubjectInputs`: keys of artifacts
    features: Sequence[str] = ()  # OOD sets whose features are measured
    images: Sequence[str] = ()  # OOD sets whose images are: another pass over them
    definitions: tuple[str, ...] = ()  # code that counts besides the job's own, such as of detectors
    shards: Sequence[Shard | None] = (None,)  # jobs that come first, of which the job's `Config` knows one


@dataclass(frozen=True)
class PlannedMeasurement:
    """What measures a place, planned."""

    key: str  # content key of the measurement
    chain: Mapping[Kind, str] = field(default_factory=dict)  # keys of its network's jobs and of its own
    inputs: tuple[str, ...] = ()  # keys of what else is measured, such as features
    data: Mapping[str, str] = field(default_factory=dict)  # image set → key
    drawn: bool = True  # whether its record keeps what plots show


class Planning:
    """What a study sees of its track, and may ask for, while it is planned.

    Parameters
    ----------
    where : the study in the leaderboard file; keys below it say where a mistake is.
    networks : of the track; None where the study stands alone.
    """

    def __init__(
        self,
        census: Census,
        track: str,
        where: tuple[str | int, ...],
        networks: NetworkPlanner | None,
        jobs: dict[str, Job],
    ) -> None:
        self.census, self.track_name, self.where = census, track, where
        self._networks, self._jobs = networks, jobs
        self._known: dict[str, Any] = {}

    @property
    def networks(self) -> NetworkPlanner:
        """What plans networks and their features."""
        assert self._networks is not None
        return self._networks

    @property
    def track(self) -> Track:
        """As leaderboard.yaml has it."""
        return self.networks.track

    def add(self, job: Job) -> str:
        """Plan a job, once; returns its key."""
        self._jobs.setdefault(job.key, job)
        return job.key

    def once(self, row: str, work: Callable[[], T]) -> T:
        """What is worked out once for a row."""
        if row not in self._known:
            self._known[row] = work()
        found: T = self._known[row]
        return found

    @property
    def ood_sets(self) -> list[str]:
        """All OOD sets of the track."""
        return [*self.track.near, *self.track.far]

    @property
    def trained_per_class(self) -> int:
        """How many images of each class networks are trained on; refuses a track that takes all."""
        found = self.track.split.train
        if found is None:
            raise self.wrong("needs a number of training images of each class, and the track takes all")
        return found

    @property
    def classes(self) -> int:
        """How many classes the track tells apart."""
        return self.networks.classes

    def at(self, *key: str) -> str:
        """File, line and key of a key below the study."""
        return self.census.spec.where(*self.where, *key)

    def wrong(self, problem: str, *key: str) -> SpecError:
        """An error to raise: what is wrong at a key below the study."""
        return SpecError(f"{self.at(*key)}: {problem}")

    def method(self, family: str, use: MethodUse, *key: str) -> Method:
        """A method that the study names at a key; `SpecError` if there is none, or it refuses a value."""
        with method_errors(self.at(*key)):
            return method_class(family, use.method).configure(use.hyperparameters)

    @contextmanager
    def trying(self, *key: str) -> Iterator[None]:
        """Try out a method that the study names at a key.

        Raises
        ------
        SpecError
            If it refuses what it is given.
        MethodLeftOut
            If it fails otherwise: it may not be written yet.
        """
        try:
            yield
        except (MethodError, ValueError) as error:
            raise self.wrong(str(error), *key) from error
        except Exception as error:
            raise MethodLeftOut(f"{self.at(*key)}: {describe(error)}") from error

    def detectors(self, names: Sequence[str], *key: str, images: bool = False) -> tuple[str, ...]:
        """Definitions of detectors; refuses what does not score one network, by features unless `images`."""
        found = [self.method("detectors", MethodUse(method=name, hyperparameters={}), *key) for name in names]
        for name, made in zip(names, found, strict=True):
            if isinstance(made, EnsembleDetector):
                problem = "scores by several networks"
            elif isinstance(made, GradientDetector) and made.chooses_step:
                problem = "has a step that is not chosen yet"
            elif isinstance(made, GradientDetector) and made.step > 0 and not images:
                problem = "moves the images first, and this study scores features"
            else:
                continue
            raise self.wrong(f"{name!r} {problem}; expected another detector", *key)
        return tuple(definition_of(type(made)) for made in found)

    def training_set(self, place: Place) -> str:
        """Key of what the network of a place is trained on."""
        return self.networks.training_set(place.backbone, place.seed, self.census.given(place))

    def network(self, place: Place, objective: str, seed: int, *key: str) -> str:
        """Key of the network of another seed, trained with the objective that the study names at a key."""
        plan = self.networks.objective(objective, *self.where, *key)
        return self.networks.trained(place.backbone, place.init, seed, plan).chain[Kind.TRAIN]


class Study(Protocol[S]):
    """How the places of a study are planned."""

    def check(self, settings: S, planning: Planning) -> None:
        """Refuse settings that it cannot be made with.

        Raises
        ------
        SpecError
            Names file, line and key.
        MethodLeftOut
            If a method that it needs is broken: the study is left out.
        """

    def check_row(self, settings: S, row: str, planning: Planning) -> None:
        """Refuse a row likewise, which alone is left out."""

    def plan(
        self, settings: S, place: Place, networks: Sequence[PlannedNetwork], planning: Planning
    ) -> PlannedMeasurement:
        """Plan what measures a place, on its networks; there are none where its settings train none."""


def _nothing(settings: Any, planning: Planning) -> None:
    """Refuse nothing."""


@dataclass(frozen=True)
class NetworkStudy(Generic[N]):
    """A study that measures each network by one job."""

    job: JobModule
    ask: Callable[[N, Place, Planning], Asked]  # for the network of a place
    refuse: Callable[[N, Planning], None] = _nothing  # methods that it cannot be made with
    kind: Kind = Kind.STUDY

    def check(self, settings: N, planning: Planning) -> None:
        """What it was made with."""
        self.refuse(settings, planning)

    def check_row(self, settings: N, row: str, planning: Planning) -> None:
        """Nothing more."""

    def plan(
        self, settings: N, place: Place, networks: Sequence[PlannedNetwork], planning: Planning
    ) -> PlannedMeasurement:
        """The job, with features of the ID images and of what is asked."""
        (network,), planner = networks, planning.networks
        asked = self.ask(settings, place, planning)
        data = planner.data
        config: Any = self.job.Config(
            **asked.config,
            network=network.config,
            split=network.split,
            groups=planning.track.ood_sets(("near", "far")),
            seed=derive_seed(place.track, place.study),
        )
        of_id = [item for item in ("id", "id_test") if item in data]
        features = {item: planner.extract(network, BASE, item) for item in (*of_id, *asked.features)}
        if "shift_images" in asked.inputs:
            features["shifts"] = planner.extract(network, BASE, "shifts", asked.inputs["shift_images"])
        inputs = SubjectInputs(
            **asked.inputs,
            network=network.chain[Kind.TRAIN],
            features={BASE: features},
            id=data["id"],
            id_test=data.get("id_test"),
            outside={item: data[item] for item in asked.images},
        )
        label = f"{network.place}: {place.study} {place.condition}".rstrip()
        whole = Job(self.kind, config, inputs, asked.definitions, label, module=self.job.__name__)
        parts = [
            replace(whole, config=replace(config, shard=shard), label=f"{label}{told(shard)}")
            for shard in asked.shards
            if shard is not None
        ]
        shards = [planning.add(part) for part in parts]
        job = replace(whole, inputs=replace(inputs, shards=shards)) if shards else whole
        return PlannedMeasurement(
            planning.add(job),
            {kind: key for kind, key in network.chain.items() if kind in (Kind.PRETRAIN, Kind.TRAIN)},
            inputs=job.needs,
            data={item: data[item] for item in dict.fromkeys([*of_id, *asked.features, *asked.images])},
        )


def study_of(name: str) -> Study[Any]:
    """What plans and measures a study, by its name."""
    found: Study[Any] = importlib.import_module(f"{__package__}.{name}.study").STUDY
    return found

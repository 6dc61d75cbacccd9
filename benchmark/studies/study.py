"""The contract of a study: what is planned for one of its networks, and what measures it.

A contributor reads this file and `benchmark.studies.settings`, and writes a folder beside them:

``settings.py``
    ``SETTINGS``, its part of leaderboard.yaml.
``study.py``
    ``STUDY``, a `Study`: which job measures a network, what is asked for it, what is refused beforehand.
``job.py``
    that job, as those of `benchmark.jobs`: ``Config``, a `benchmark.studies.config.SubjectConfig`;
    ``LIBRARIES``, whose versions may change the result; and ``run``, which imports what computes, such as
    `benchmark.studies.subject`, and leaves ``measured``: numbers by path, series by name, warnings.

How its numbers are shown stands in a folder of the same name in `reports.studies`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from benchmark.census import Place
from benchmark.datasets import dataset
from benchmark.errors import SpecError
from benchmark.jobs.job import Kind
from benchmark.plan.methods import method_errors
from benchmark.plan.networks import NetworkPlanner
from benchmark.store.fingerprints import definition_of
from benchmark.studies.config import SubjectConfig
from benchmark.studies.settings import MethodUse, StudySettings
from methods.base import EnsembleDetector, GradientDetector, Method
from methods.registry import method_class

S = TypeVar("S", bound=StudySettings)


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


class Planning:
    """What a study sees of its track, and may ask for, while it is planned.

    Parameters
    ----------
    where : the study in the leaderboard file; keys below it say where a mistake is.
    """

    def __init__(self, networks: NetworkPlanner, where: tuple[str | int, ...]) -> None:
        self.networks, self.census = networks, networks.census
        self.track, self._where = networks.track, where

    @property
    def ood_sets(self) -> list[str]:
        """All OOD sets of the track."""
        return [*self.track.near, *self.track.far]

    @property
    def classes(self) -> int:
        """How many classes the track tells apart."""
        of_id = self.track.id
        return len(of_id.classes or dataset(of_id.dataset).card.class_names)

    def wrong(self, problem: str, *key: str) -> SpecError:
        """An error to raise: what is wrong at a key below the study."""
        return SpecError(f"{self.networks.spec.where(*self._where, *key)}: {problem}")

    def method(self, family: str, use: MethodUse, *key: str) -> Method:
        """A method that the study names at a key; `SpecError` if there is none, or it refuses a value."""
        with method_errors(self.networks.spec.where(*self._where, *key)):
            return method_class(family, use.method).configure(use.hyperparameters)

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
        plan = self.networks.objective(objective, *self._where, *key)
        return self.networks.trained(place.backbone, place.init, seed, plan).chain[Kind.TRAIN]


def _nothing(settings: Any, planning: Planning) -> None:
    """Refuse nothing."""


@dataclass(frozen=True)
class Study(Generic[S]):
    """How the networks of a study are measured."""

    job: JobModule
    ask: Callable[[S, Place, Planning], Asked]  # for the network of a place
    check: Callable[[S, Planning], None] = _nothing  # refuses methods that it cannot be made with
    kind: Kind = Kind.STUDY


def study_of(name: str) -> Study[Any]:
    """What plans and measures a study, by its name."""
    found: Study[Any] = importlib.import_module(f"{__package__}.{name}.study").STUDY
    return found

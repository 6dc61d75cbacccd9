"""Configurations and inputs of the measurements of studies. Nothing here computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from benchmark.jobs.config import NetworkConfig, SplitConfig

T = TypeVar("T")


@dataclass(frozen=True)
class SubjectConfig:
    """A network, and the images that every study has of its track."""

    network: NetworkConfig
    split: SplitConfig
    groups: Mapping[str, Sequence[str]]  # the OOD sets that are near and far
    seed: int


@dataclass(frozen=True)
class SubjectInputs(Generic[T]):
    """What a study measures, and on what."""

    network: T
    features: Mapping[str, Mapping[str, T]]  # by what was extracted, then by image set
    id: T
    id_test: T | None = None
    outside: Mapping[str, T] = field(default_factory=dict)  # images of OOD sets by name, to be moved
    training_set: T | None = None  # where the network was trained on something else than the track's split
    shift_images: T | None = None  # which of the test images were corrupted
    transfer: T | None = None  # another network, whose adversarial examples are tried as well


@dataclass(frozen=True)
class Adversarial(SubjectConfig):
    """Attacks on a network, and on detectors."""

    images_per_class: int
    attacks: Mapping[str, Mapping[str, Any]]  # method and hyperparameters by name
    curves: str  # the name of the attack that `epsilons` and `steps` vary
    epsilons: Sequence[float]
    steps: Sequence[int]
    detectors: Sequence[str]
    detector_attack: Mapping[str, Any]
    ood_images: int  # of each OOD set
    packages: Mapping[str, str] = field(default_factory=dict)  # that attacks run in, with versions


@dataclass(frozen=True)
class Corruptions(SubjectConfig):
    """Detectors on corrupted images."""

    detectors: Sequence[str]


@dataclass(frozen=True)
class Assessment(SubjectConfig):
    """A network that was trained on a transformed training set."""

    study: str
    detectors: Sequence[str] = ()

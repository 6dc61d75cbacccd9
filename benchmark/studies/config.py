"""Configurations and inputs that the measurements of studies share. Nothing here computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

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
    shards: Sequence[T] | None = None  # of the same study: what was computed of the images part by part


@dataclass(frozen=True)
class Assessment(SubjectConfig):
    """A network that was trained on a transformed training set: see `benchmark.studies.assess`."""

    study: str
    detectors: Sequence[str] = ()

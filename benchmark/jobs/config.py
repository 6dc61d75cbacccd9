"""Configurations and inputs that kinds of job share with each other and with what computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from benchmark.backbones.looks import Looks
from benchmark.jobs.shards import Shard

T = TypeVar("T")
NOT_IN_KEY: Mapping[str, bool] = {"in_key": False}  # metadata of a field that is of this machine


@dataclass(frozen=True)
class NetworkConfig(Looks):
    """What a network looks like, and how it computes."""

    precision: str | None = field(default=None, kw_only=True)  # ``bf16``; None for float32


@dataclass(frozen=True)
class SplitConfig:
    """How the ID images of a track are divided: arguments of `benchmark.datasets.splits.balanced_split`."""

    train_per_class: int | None  # None: all that do not validate
    val_per_class: int
    track_seed: int
    whole: bool
    seed: int


@dataclass(frozen=True)
class Transformation:
    """What is done to a training split, and the streams of its draws."""

    split: SplitConfig
    seed: int
    noise: Mapping[str, Any] | None = None  # method, hyperparameters, strength: which labels they get
    profile: Mapping[str, Any] | None = None  # method, hyperparameters: which images are left
    trusted: float = 0.0  # share of each class whose labels stay right
    untrusted_only: bool = False  # whether the others alone are the training set


@dataclass(frozen=True)
class ScoringConfig:
    """How the images of a cell are scored."""

    detector: str
    points: Sequence[Mapping[str, Any]]  # the hyper-parameters to choose from
    validation: Sequence[str]  # the OOD sets to choose on
    seed: int
    network: NetworkConfig | None = None  # where the network itself is needed
    split: SplitConfig | None = None  # of the ID images, then
    shard: Shard | None = None  # of the tested images, then, where there are many
    fit_limit: int | None = None  # most training images to fit on; None: what the detector declares


@dataclass(frozen=True)
class ScoringInputs(Generic[T]):
    """What is scored."""

    features: Sequence[Mapping[str, Mapping[str, T]]]  # of each network: by what was extracted, then by set
    shift_images: T | None = None  # which of the test images were shifted
    network: T | None = None  # itself, where it is needed
    images: Mapping[str, T] = field(default_factory=dict)  # by set, then
    chosen: T | None = None  # the hyper-parameters, where another job chose them

"""What decides a measurement under adversarial attacks, besides data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmark.jobs.shards import Shard
from benchmark.studies.config import SubjectConfig


@dataclass(frozen=True)
class AdversarialConfig(SubjectConfig):
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
    shard: Shard | None = None  # which of the images are attacked, and nothing is measured; None: all

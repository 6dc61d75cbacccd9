"""Every method by its name: how one is registered, found and made.

Methods are in the files of this package, a folder a family, and in the modules of other packages that the
entry-point group ``oodbench.methods`` names; `methods.families` loads them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from methods.attack import Attack
from methods.base import AnyDetector, Detector, EnsembleDetector, Method, Objective
from methods.errors import BrokenMethod, UnknownMethod
from methods.families import GROUP, Family, broken, families, load_all, meant_by
from methods.imbalance import Profile, Sampler
from methods.label_noise import Correction, NoiseModel
from methods.neutral import neutral

__all__ = [
    "FAMILIES", "GROUP", "BrokenMethod", "UnknownMethod", "attack", "attack_class", "broken", "detector",
    "detector_class", "detectors", "family", "known_as", "method_class", "noise_model", "objective",
    "objective_class", "objectives", "profile", "register", "sampler",
]  # fmt: skip

_DETECTORS: Family[AnyDetector] = Family("detectors", (Detector, EnsembleDetector))
_OBJECTIVES = Family("objectives", (Objective,))
_CORRECTIONS = Family("corrections", (Correction,))
_ATTACKS = Family("attacks", (Attack,))
_NOISE_MODELS = Family("noise_models", (NoiseModel,))
_PROFILES = Family("profiles", (Profile,))
_SAMPLERS = Family("samplers", (Sampler,))
FAMILIES = tuple(families)  # their folders, in the order of listings

_NAME = re.compile(r"[a-z][a-z0-9_]*")
C = TypeVar("C", bound=type[Method])


@neutral
def register(name: str) -> Callable[[C], C]:
    """Register a method class under `name`, the name of its file.

    Raises
    ------
    ValueError
        If the name is not lower_snake_case, not that of the class's file, or taken by another class of the
        same family.
    TypeError
        If the class belongs to no family.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"method name {name!r}: expected lower_snake_case, such as 'max_logit'")

    def decorate(cls: C) -> C:
        for base in cls.__mro__:  # the nearest decides: a correction is an objective too
            for family in families.values():
                if base in family.bases:
                    family.add(name, cls)
                    return cls
        known = ", ".join(base.__name__ for family in families.values() for base in family.bases)
        raise TypeError(f"{cls.__name__} is none of: {known}")

    return decorate


@neutral
def detector(name: str, **hyperparameters: Any) -> AnyDetector:
    """Make the detector `name`, unfitted, with the given hyper-parameters and published defaults.

    What other libraries and papers call a method (docs/names.md) finds it too.

    Raises
    ------
    UnknownMethod
        With the nearest names, or those that `name` may mean.
    HyperparameterError
        For a hyper-parameter that it does not have, or a value that it refuses.
    """
    return _DETECTORS.make(name, hyperparameters)


@neutral
def objective(name: str, **hyperparameters: Any) -> Objective:
    """Make the training objective or correction `name`; errors as for `detector`."""
    return objective_class(meant_by(name, _OBJECTIVES, _CORRECTIONS)).configure(hyperparameters)


@neutral
def attack(name: str, **hyperparameters: Any) -> Attack:
    """Make the attack `name`; errors as for `detector`."""
    return _ATTACKS.make(name, hyperparameters)


@neutral
def noise_model(name: str, **hyperparameters: Any) -> NoiseModel:
    """Make the model of label noise `name`; errors as for `detector`."""
    return _NOISE_MODELS.make(name, hyperparameters)


@neutral
def profile(name: str, **hyperparameters: Any) -> Profile:
    """Make the long-tail profile `name`; errors as for `detector`."""
    return _PROFILES.make(name, hyperparameters)


@neutral
def sampler(name: str, **hyperparameters: Any) -> Sampler:
    """Make the sampler `name`; errors as for `detector`."""
    return _SAMPLERS.make(name, hyperparameters)


@neutral
def detector_class(name: str) -> type[AnyDetector]:
    """Find the class of the detector `name` without loading the others."""
    return _DETECTORS.find(name)


@neutral
def objective_class(name: str) -> type[Objective]:
    """Find the class of the objective or correction `name` without loading the others."""
    if not _OBJECTIVES.knows(name) and not _CORRECTIONS.knows(name):
        load_all()
    return (_CORRECTIONS if _CORRECTIONS.knows(name) else _OBJECTIVES).find(name)


@neutral
def attack_class(name: str) -> type[Attack]:
    """Find the class of the attack `name` without loading the others."""
    return _ATTACKS.find(name)


@neutral
def detectors() -> dict[str, type[AnyDetector]]:
    """Every detector that could be loaded, by name, sorted."""
    return _DETECTORS.all()


@neutral
def objectives() -> dict[str, type[Objective]]:
    """Every objective that could be loaded, by name, sorted; corrections are a family of their own."""
    return _OBJECTIVES.all()


@neutral
def family(name: str) -> dict[str, type[Method]]:
    """Every method of a family (``attacks``, ``samplers``, …) that could be loaded, by name, sorted."""
    return families[name].all()


@neutral
def method_class(family: str, name: str) -> type[Method]:
    """Find the class of a method without loading the others; errors as for `detector`."""
    return families[family].find(name)


@neutral
def known_as(name: str, *of: str) -> str:
    """Our name of what other libraries and papers call `name`; `name` itself if it is ours, or nobody's.

    `of` are families.

    Raises
    ------
    UnknownMethod
        If it may mean several methods.
    """
    return meant_by(name, *(families[folder] for folder in of))

"""Finds every method: the files of this package, and the entry-point group ``oodbench.methods``.

A method's file has its registry name, so asking for one method imports one file. A file that does not import
is reported by `broken` and keeps no other from being found.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, TypeVar

from methods.attack import Attack
from methods.base import AnyDetector, Detector, EnsembleDetector, Method, MethodError, Objective
from methods.imbalance import Profile, Sampler
from methods.label_noise import Correction, NoiseModel
from methods.names import did_you_mean

GROUP = "oodbench.methods"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FAMILIES: dict[str, tuple[type[Method], ...]] = {  # a folder each
    "detectors": (Detector, EnsembleDetector),
    "corrections": (Correction,),
    "objectives": (Objective,),  # a correction is one too: `objective_class` finds both
    "attacks": (Attack,),
    "noise_models": (NoiseModel,),
    "profiles": (Profile,),
    "samplers": (Sampler,),
}
FAMILIES = ("detectors", "objectives", "corrections", "attacks", "noise_models", "profiles", "samplers")
_found: dict[str, dict[str, type[Method]]] = {family: {} for family in _FAMILIES}
_broken: dict[str, str] = {}

M = TypeVar("M", bound=type[Method])


class UnknownMethod(MethodError, LookupError):  # noqa: N818
    """No method of that name is registered."""


def register(name: str) -> Callable[[M], M]:
    """Register a method class under `name`, the name of its file.

    Raises
    ------
    ValueError
        If the name is not lower_snake_case or is taken by another class of the same family.
    TypeError
        If the class belongs to no family.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"method name {name!r}: expected lower_snake_case, such as 'max_logit'")

    def decorate(cls: M) -> M:
        for folder, bases in _FAMILIES.items():
            if issubclass(cls, bases):
                other = _found[folder].get(name, cls)
                if (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
                    raise ValueError(
                        f"{folder}: {name!r} is {other.__module__}.{other.__qualname__} already; "
                        f"choose another name for {cls.__module__}.{cls.__qualname__}"
                    )
                cls.name = name
                _found[folder][name] = cls
                return cls
        known = ", ".join(base.__name__ for kinds in _FAMILIES.values() for base in kinds)
        raise TypeError(f"{cls.__name__} is none of: {known}")

    return decorate


def detector(name: str, **hyperparameters: Any) -> AnyDetector:
    """Make the detector `name`, unfitted, with the given hyper-parameters and published defaults.

    Raises
    ------
    UnknownMethod
        With the nearest names.
    HyperparameterError
        For a hyper-parameter that it does not have, or a value that it refuses.
    """
    return detector_class(name).configure(hyperparameters)


def objective(name: str, **hyperparameters: Any) -> Objective:
    """Make the training objective `name`; errors as for `detector`."""
    return objective_class(name).configure(hyperparameters)


def attack(name: str, **hyperparameters: Any) -> Attack:
    """Make the attack `name`; errors as for `detector`."""
    return method_class("attacks", name).configure(hyperparameters)  # type: ignore[return-value]


def noise_model(name: str, **hyperparameters: Any) -> NoiseModel:
    """Make the model of label noise `name`; errors as for `detector`."""
    return method_class("noise_models", name).configure(hyperparameters)  # type: ignore[return-value]


def profile(name: str, **hyperparameters: Any) -> Profile:
    """Make the long-tail profile `name`; errors as for `detector`."""
    return method_class("profiles", name).configure(hyperparameters)  # type: ignore[return-value]


def sampler(name: str, **hyperparameters: Any) -> Sampler:
    """Make the sampler `name`; errors as for `detector`."""
    return method_class("samplers", name).configure(hyperparameters)  # type: ignore[return-value]


def detector_class(name: str) -> type[AnyDetector]:
    """Find the class of the detector `name` without loading the others."""
    return method_class("detectors", name)  # type: ignore[return-value]


def objective_class(name: str) -> type[Objective]:
    """Find the class of the objective or correction `name` without loading the others."""
    if name not in _files("objectives") and name not in _files("corrections"):
        _load_all()
    is_correction = name in _files("corrections") or name in _found["corrections"]
    return method_class("corrections" if is_correction else "objectives", name)  # type: ignore[return-value]


def detectors() -> dict[str, type[AnyDetector]]:
    """Every detector that could be loaded, by name, sorted."""
    return family("detectors")  # type: ignore[return-value]


def objectives() -> dict[str, type[Objective]]:
    """Every objective that could be loaded, by name, sorted; corrections are a family of their own."""
    return family("objectives")  # type: ignore[return-value]


def family(name: str) -> dict[str, type[Method]]:
    """Every method of a family (``attacks``, ``samplers``, …) that could be loaded, by name, sorted."""
    _load_all()
    return dict(sorted(_found[name].items()))


def broken() -> dict[str, str]:
    """Modules and entry points that could not be loaded, each with its error."""
    _load_all()
    return dict(_broken)


def method_class(family: str, name: str) -> type[Method]:
    """Find the class of a method without loading the others; errors as for `detector`."""
    if name not in _found[family]:
        if name in _files(family):
            _load(f"methods.{family}.{name}")
        if name not in _found[family]:
            _load_all()
    if name not in _found[family]:
        module = f"methods.{family}.{name}"
        if module in _broken:
            raise UnknownMethod(f"{family[:-1]} {name!r} could not be loaded: {_broken[module]}")
        known = sorted(_found[family])
        hint = did_you_mean(name, known, f"oodbench list {family}")
        raise UnknownMethod(f"no {family[:-1].replace('_', ' ')} {name!r}; {hint}")
    return _found[family][name]


def _files(family: str) -> list[str]:
    package = importlib.import_module(f"methods.{family}")
    return [info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")]


def _load_all() -> None:
    for family in _FAMILIES:
        for name in _files(family):
            _load(f"methods.{family}.{name}")
    for point in entry_points(group=GROUP):
        _load(point.module)


def _load(module: str) -> None:
    before = {family: dict(found) for family, found in _found.items()}
    try:
        importlib.import_module(module)
    except Exception as error:  # a contributed file may fail in any way; `broken` tells
        _found.update(before)  # what a half-loaded file registered does not count
        _broken[module] = f"{type(error).__name__}: {error}"
    else:
        _broken.pop(module, None)

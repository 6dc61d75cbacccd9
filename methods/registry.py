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

from methods.base import AnyDetector, Detector, EnsembleDetector, Method, MethodError, Objective
from methods.names import did_you_mean

GROUP = "oodbench.methods"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FAMILIES: dict[str, tuple[type[Method], ...]] = {
    "detectors": (Detector, EnsembleDetector),
    "objectives": (Objective,),
}
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
        If the class is neither a detector nor an objective.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"method name {name!r}: expected lower_snake_case, such as 'max_logit'")

    def decorate(cls: M) -> M:
        for family, bases in _FAMILIES.items():
            if issubclass(cls, bases):
                other = _found[family].get(name, cls)
                if (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
                    raise ValueError(
                        f"{family}: {name!r} is {other.__module__}.{other.__qualname__} already; "
                        f"choose another name for {cls.__module__}.{cls.__qualname__}"
                    )
                cls.name = name
                _found[family][name] = cls
                return cls
        raise TypeError(f"{cls.__name__} is neither a Detector, an EnsembleDetector nor an Objective")

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


def detector_class(name: str) -> type[AnyDetector]:
    """Find the class of the detector `name` without loading the others."""
    return _find("detectors", name)  # type: ignore[return-value]


def objective_class(name: str) -> type[Objective]:
    """Find the class of the objective `name` without loading the others."""
    return _find("objectives", name)  # type: ignore[return-value]


def detectors() -> dict[str, type[AnyDetector]]:
    """Every detector that could be loaded, by name, sorted."""
    _load_all()
    return dict(sorted(_found["detectors"].items()))  # type: ignore[arg-type]


def objectives() -> dict[str, type[Objective]]:
    """Every objective that could be loaded, by name, sorted."""
    _load_all()
    return dict(sorted(_found["objectives"].items()))  # type: ignore[arg-type]


def broken() -> dict[str, str]:
    """Modules and entry points that could not be loaded, each with its error."""
    _load_all()
    return dict(_broken)


def _find(family: str, name: str) -> type[Method]:
    if name not in _found[family]:
        if name in _files(family):
            _load(f"methods.{family}.{name}")
        if name not in _found[family]:
            _load_all()
    if name not in _found[family]:
        module = f"methods.{family}.{name}"
        if module in _broken:
            raise UnknownMethod(f"{family[:-1]} {name!r} could not be loaded: {_broken[module]}")
        raise UnknownMethod(f"no {family[:-1]} {name!r}; {did_you_mean(name, sorted(_found[family]))}")
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

"""Finds every method: the files of this package, and the entry-point group ``oodbench.methods``.

A method's file has its registry name, so asking for one method imports one file. A file that does not import,
ends Python, registers another name than its own or a method that lacks something is reported by `broken` and
keeps no other from being found.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any, NoReturn, TypeVar

from methods.attack import Attack
from methods.base import AnyDetector, Detector, EnsembleDetector, Method, MethodError, Objective, Paper
from methods.imbalance import Profile, Sampler
from methods.label_noise import Correction, NoiseModel
from methods.names import borne_by, describe, did_you_mean
from methods.neutral import neutral

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
_checked: set[str] = set()  # modules that were loaded and whose methods lack nothing

M = TypeVar("M", bound=type[Method])


class UnknownMethod(MethodError, LookupError):  # noqa: N818
    """No method of that name is registered."""


class BrokenMethod(UnknownMethod):
    """There is a file of that name, and it could not be loaded, or its method lacks something."""


@neutral
def register(name: str) -> Callable[[M], M]:
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

    def decorate(cls: M) -> M:
        for folder, bases in _FAMILIES.items():
            if issubclass(cls, bases):
                _check_name(folder, name, cls)
                cls.name = name
                _found[folder][name] = cls
                return cls
        known = ", ".join(base.__name__ for kinds in _FAMILIES.values() for base in kinds)
        raise TypeError(f"{cls.__name__} is none of: {known}")

    return decorate


def _check_name(folder: str, name: str, cls: type[Method]) -> None:
    """Refuse a name that belongs to another file: which of two would win depended on who loads them."""
    ours = f"methods.{folder}.{name}"
    other = _found[folder].get(name)
    taken = None
    if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
        taken = other.__module__
    elif cls.__module__ != ours and name in _files(folder):
        taken = ours
    if taken is not None:
        raise ValueError(
            f"{folder}: {name!r} is that of {_file(taken)} already; choose another name for "
            f"{cls.__qualname__} of {_file(cls.__module__)}"
        )
    if cls.__module__.startswith("methods.") and cls.__module__ != ours:
        family, _, file = cls.__module__.removeprefix("methods.").rpartition(".")
        raise ValueError(
            f"{_file(cls.__module__)} registers {cls.__qualname__} in {folder} as {name!r}; "
            f"expected one method of {family} by the name of the file, {file!r}"
        )


def _file(module: str) -> str:
    """The file of a module, loaded or not; its name where there is none."""
    loaded = sys.modules.get(module)
    if loaded is None and module.startswith("methods."):
        package = importlib.import_module(module.rpartition(".")[0])
        found = [f"{folder}/{module.rpartition('.')[2]}.py" for folder in package.__path__]
        return next(filter(os.path.isfile, found), module)
    return getattr(loaded, "__file__", None) or module


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
    return detector_class(known_as(name, "detectors")).configure(hyperparameters)


@neutral
def objective(name: str, **hyperparameters: Any) -> Objective:
    """Make the training objective `name`; errors as for `detector`."""
    return objective_class(known_as(name, "objectives", "corrections")).configure(hyperparameters)


@neutral
def attack(name: str, **hyperparameters: Any) -> Attack:
    """Make the attack `name`; errors as for `detector`."""
    return method_class("attacks", known_as(name, "attacks")).configure(hyperparameters)  # type: ignore[return-value]


@neutral
def noise_model(name: str, **hyperparameters: Any) -> NoiseModel:
    """Make the model of label noise `name`; errors as for `detector`."""
    return method_class("noise_models", name).configure(hyperparameters)  # type: ignore[return-value]


@neutral
def profile(name: str, **hyperparameters: Any) -> Profile:
    """Make the long-tail profile `name`; errors as for `detector`."""
    return method_class("profiles", name).configure(hyperparameters)  # type: ignore[return-value]


@neutral
def sampler(name: str, **hyperparameters: Any) -> Sampler:
    """Make the sampler `name`; errors as for `detector`."""
    return method_class("samplers", name).configure(hyperparameters)  # type: ignore[return-value]


@neutral
def detector_class(name: str) -> type[AnyDetector]:
    """Find the class of the detector `name` without loading the others."""
    return method_class("detectors", name)  # type: ignore[return-value]


@neutral
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
    """Modules that could not be loaded, or whose method lacks something, each with its error."""
    _load_all()
    return dict(_broken)


@neutral
def method_class(family: str, name: str) -> type[Method]:
    """Find the class of a method without loading the others; errors as for `detector`."""
    module = f"methods.{family}.{name}"
    if name in _files(family):
        _load(module)
    elif name not in _found[family]:
        _load_all()
    if name not in _found[family]:
        kind = family[:-1].replace("_", " ")
        if module in _broken:
            raise BrokenMethod(f"{kind} {name!r} could not be loaded: {_broken[module]}")
        if (ours := known_as(name, family)) != name:
            raise UnknownMethod(f"no {kind} {name!r}; here it is {ours!r}")
        hint = did_you_mean(name, sorted(_found[family]), f"oodbench list {family}")
        raise UnknownMethod(f"no {kind} {name!r}; {hint}")
    return _found[family][name]


def known_as(name: str, *families: str) -> str:
    """Our name of what other libraries and papers call `name`; `name` itself if it is ours, or nobody's.

    Raises
    ------
    UnknownMethod
        If it may mean several methods.
    """
    if any(name in _files(folder) or name in _found[folder] for folder in families):
        return name
    found = {
        own: cls.__dict__.get("aliases", ()) for folder in families for own, cls in family(folder).items()
    }
    meant = borne_by(name, found)
    if len(meant) > 1:
        raise UnknownMethod(f"{name!r} may mean {' or '.join(map(repr, meant))}; choose one")
    return meant[0] if meant else name


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
    """Import a module and check the methods that it registers; what is wrong with them is in `_broken`."""
    if module in _checked and module in sys.modules:
        return
    problems: dict[str, str] = {}
    try:
        with _going_on():
            importlib.import_module(module)
        problems = _lacking(module)
    except KeyboardInterrupt:  # a person's
        raise
    except BaseException as error:  # a contributed file may fail in any way; `broken` tells
        ends = "" if isinstance(error, Exception) else "ends Python when it is imported: "
        problems[module] = ends + describe(error)
        _forget(module)
    for known in [key for key in _broken if _is_part(key, module)]:
        del _broken[known]
    _broken.update(problems)
    if problems:
        sys.modules.pop(module, None)  # so that it is looked at anew when it may have been mended
        _checked.discard(module)
    else:
        _checked.add(module)


@contextmanager
def _going_on() -> Iterator[None]:
    """Let no file end Python while it is imported: after ``os._exit`` nobody could tell which one it was."""
    leave, process = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() != process:  # a process that the file began may end
            leave(status)
        raise SystemExit(status)

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = leave


def _is_part(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def _registered(module: str) -> list[tuple[str, type[Method]]]:
    """Family and class of each method of a module, or of those that belong to a package."""
    classes = ((family, cls) for family, found in _found.items() for cls in found.values())
    return [(family, cls) for family, cls in classes if _is_part(cls.__module__, module)]


def _forget(module: str) -> None:
    """Undo what a half-loaded module registered; what it imported of others stays."""
    for family, cls in _registered(module):
        del _found[family][cls.name]
        sys.modules.pop(cls.__module__, None)


def _lacking(module: str) -> dict[str, str]:
    """Take the methods of a module out that lack something: what each lacks, by module."""
    methods = _registered(module)
    if module.startswith("methods.") and not methods:
        raise ValueError(
            f"{_file(module)} registers no method; expected @register({module.rpartition('.')[2]!r}), "
            "or a name that begins with '_' for what methods share"
        )
    problems = {}
    for family, cls in methods:
        try:
            _check_complete(cls)
        except Exception as error:  # of `__post_init__`, which is the file's
            del _found[family][cls.name]
            problems[cls.__module__] = f"{cls.__qualname__}: {describe(error)}"
            sys.modules.pop(cls.__module__, None)
    return problems


def _check_complete(cls: type[Method]) -> None:
    """Raise whatever keeps a method from being listed, planned or made at its published defaults."""
    declared = [
        name
        for base in cls.__mro__
        for name, hint in inspect.get_annotations(base).items()
        if _of_class(hint)
    ]
    lacks = sorted({name for name in declared if not hasattr(cls, name)} | cls.__abstractmethods__)
    if lacks:
        raise TypeError(f"it has no {' and no '.join(lacks)}")
    if not isinstance(cls.paper, Paper):
        raise TypeError(f"paper: expected Paper(...), got {cls.paper!r}")
    needs: object = getattr(cls, "needs", frozenset())
    if not isinstance(needs, frozenset):
        raise TypeError(f"needs: expected a frozenset, got {needs!r}")
    aliases: object = getattr(cls, "aliases", ())
    if not isinstance(aliases, tuple) or not all(isinstance(alias, str) for alias in aliases):
        raise TypeError(f"aliases: expected a tuple of names, got {aliases!r}")
    defaults = cls.configure({}).hyperparameters()
    try:
        json.dumps(defaults, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"defaults: expected numbers that are finite, text, booleans, None, or lists of them: {error}"
        ) from error
    cls.configure(defaults)  # the types of the defaults


def _of_class(hint: Any) -> bool:
    return str(hint).removeprefix("typing.").startswith("ClassVar")

"""What a method depends on or changes besides what it is given: environment, time, files, modules, seeds."""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmark.conformance.findings import Check, check
from benchmark.conformance.sources import files_of, named
from benchmark.conformance.subject import Subject
from benchmark.conformance.watch import watched
from benchmark.engines.state import GlobalState
from methods.features import Features
from methods.head import Head
from methods.method import Method

SHOWN = 3  # places that one finding names
KINDS = {
    "environment": ("environment variables", "a method computes the same on every machine: take it out"),
    "time": ("the time", "a method computes the same at any time: take it out"),
    "reach": ("more than it is given", "use the arguments of `fit` and `score`, and nothing else"),
    "files": ("files", "what a method learns comes from `fit`: read and write no file"),
    "system": ("the machine", "a method computes the same on every machine: take it out"),
    "random": ("Python's global random numbers", "draw from the generator that `fit` is given"),
}


class Worked(NamedTuple):
    """What a method called and changed while it worked."""

    calls: dict[str, set[str]]  # by kind, each with where
    changes: list[str]  # of what all methods share
    kept: list[str]  # in globals of its modules and attributes of its classes


def work(files: Mapping[str, Path], act: Callable[[], object]) -> Worked:
    """Let a method work, and see what it does besides."""
    modules = [sys.modules[name] for name in files if name in sys.modules]
    shared, classes, globals_ = GlobalState.now(), _of_classes(), _globals(modules)
    seeds = _seeds()
    with watched(files.values()) as calls:
        act()
    now = _of_classes()
    hidden = {name for name, value in now.items() if name not in classes and callable(value)}
    changes = [*shared.changes(), *_differences(classes, {k: now.get(k) for k in classes}), *hidden]
    changes += [f"the state of {name}" for name, state in _seeds().items() if not _equal(state, seeds[name])]
    found: dict[str, set[str]] = {}
    for call in calls:
        found.setdefault(call.kind, set()).add(f"{call.name} ({call.place})")
    return Worked(found, changes, [*_differences(globals_, _globals(modules))])


def worked(subject: Subject) -> Worked:
    """What a detector does besides, fitted and asked for scores."""
    world = subject.world

    def act() -> None:
        learnt = world.fit(subject.cls())
        for data in (world.inliers, world.outliers):
            world.score(learnt, data)

    if subject.worked is None:
        subject.worked = work(files_of(subject.cls), act)
    found: Worked = subject.worked
    return found


@check("runs", "mend `fit` or `score`, or say in `needs` what they look at", first=True)
def runs(subject: Subject) -> Iterator[str]:
    """It can be fitted, and scores; this comes first, so that what it changes is seen."""
    worked(subject)
    yield from ()


def _depends(kind: str) -> Check[Subject]:
    what, advice = KINDS[kind]

    def find(subject: Subject) -> Iterator[str]:
        places = worked(subject).calls.get(kind, set()) | written(subject.cls, kind)
        if places:
            yield f"it looks at {what}: {listed(places)}"

    find.__doc__ = f"It does not depend on {what}."
    return check(kind, advice)(find)


def written(cls: type[Method], kind: str) -> set[str]:
    """Where the files of a method name something of a kind."""
    found = (one for path in files_of(cls).values() for one in named(path))
    return {f"{one.name} ({one.place})" for one in found if one.kind == kind}


def listed(places: Iterable[str]) -> str:
    """Some of them, and how many more."""
    names = sorted(places)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{'; '.join(names[:SHOWN])}{more}"


@check("state", "leave torch, NumPy, seeds and the classes of others as they are", first=True)
def state(subject: Subject) -> Iterator[str]:
    """What all methods share is left as it was."""
    if changes := worked(subject).changes:
        yield f"it changed {listed(changes)}"


@check("globals", "keep what is learnt in fields declared with `fitted()`, and nothing else anywhere")
def module_globals(subject: Subject) -> Iterator[str]:
    """Nothing is kept in a global of its module or in its class."""
    if kept := worked(subject).kept:
        yield f"it keeps something in {listed(kept)}"


def _of_classes() -> dict[str, Any]:
    """What stands in the classes that carry features, by name."""
    return {f"{cls.__name__}.{name}": value for cls in (Features, Head) for name, value in vars(cls).items()}


def _globals(modules: Iterable[Any]) -> dict[str, Any]:
    """What modules hold, and their classes; what can be changed in place as it is now."""
    found: dict[str, Any] = {}
    for module in modules:
        for name, value in vars(module).items():
            if name.startswith("__"):
                continue
            found[f"{module.__name__}.{name}"] = _copied(value)
            if isinstance(value, type) and value.__module__ == module.__name__:
                own = vars(value).items()
                found |= {f"{value.__qualname__}.{k}": _copied(v) for k, v in own if not k.startswith("_")}
    return found


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return torch.as_tensor(value.copy()) if value.dtype.kind in "fiub" else value
    if isinstance(value, dict):
        return "dict", [(key, id(item)) for key, item in value.items()]
    if isinstance(value, list | set | deque | bytearray):
        return type(value).__name__, [id(item) for item in value]
    return value


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name in before.keys() | after.keys():
        if not _equal(before.get(name), after.get(name)):
            yield name


def _equal(old: Any, new: Any) -> bool:
    if isinstance(old, Tensor) and isinstance(new, Tensor):
        return old.shape == new.shape and torch.equal(old, new)
    plain = isinstance(old, tuple | int | float | str | bytes)
    return old is new or (plain and type(old) is type(new) and bool(old == new))


def _seeds() -> dict[str, Any]:
    """The global generators' states."""
    kind, keys, *place = np.random.get_state()  # noqa: NPY002 - its state is what is looked at
    return {
        "torch's global generator": torch.get_rng_state(),
        "NumPy's global generator": (str(kind), np.asarray(keys).tobytes(), *place),
        "Python's global generator": random.getstate(),
    }


CHECKS = (runs, *map(_depends, KINDS), module_globals, state)

"""What a detector declares: signals, and hyper-parameters that have some effect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from benchmark.conformance.findings import check
from benchmark.conformance.subject import STEP, Subject
from methods.base import GradientDetector, HyperparameterError, Signal

_WHOLE = (1, 2, 3, 5, 10, 50, 100)
_REAL = (0.0, 0.01, 0.1, 0.5, 0.9, 1.0, 2.0, 10.0, 50.0, 95.0)


@check("needs", "needs = frozenset({Signal.LOGITS})")
def needs(subject: Subject) -> Iterator[str]:
    """What it needs are signals."""
    said: object = subject.cls.needs
    if not isinstance(said, frozenset) or not all(isinstance(signal, Signal) for signal in said):
        yield f"expected a frozenset of Signal, got {said!r}"


@check("effect", "use it, or take it out")
def effect(subject: Subject) -> Iterator[str]:
    """Every hyper-parameter changes some score."""
    cls = subject.cls
    hints = get_type_hints(cls)
    defaults = cls.configure({}).hyperparameters()
    expected: dict[str, Tensor | None] = {}
    for name, value in defaults.items():
        tried = 0
        for context in _contexts(subject, name):
            base = _cached(subject, context, expected)
            if base is None:
                continue
            start = context.get(name, value)
            others = [other for other in alternatives(hints[name], start) if other != start]
            for other in [*([cls.small[name]] if name in cls.small else []), *others]:
                found = _scored(subject, {**context, name: other})
                tried += found is not None
                if found is not None and not torch.equal(found, base):
                    break
            else:
                continue
            break
        else:
            told = f"changes no score at any of {tried} other values" if tried else "takes no other value"
            yield f"hyper-parameter {name!r} {told}"


def _contexts(subject: Subject, name: str) -> Iterator[dict[str, Any]]:
    """The other hyper-parameters, at their defaults first, then at every choice of names."""
    step = getattr(subject.cls, "step_name", None)
    moving = {} if step in (None, name) or not issubclass(subject.cls, GradientDetector) else {step: STEP}
    seen = []
    for chosen in ({}, moving, *subject.points()):
        context = {**moving, **chosen} if chosen else chosen
        if context not in seen:
            seen.append(context)
            yield context


def alternatives(hint: Any, value: Any) -> Iterator[Any]:
    """Values of a type other than `value`, the nearest first; not all need be allowed."""
    options = get_args(hint)
    if get_origin(hint) is Literal:
        yield from options
    elif hint is bool:
        yield not value
    elif hint is int:
        near = value if isinstance(value, int) else 0
        yield from (near + 1, near - 1, near * 2, near // 2, *_WHOLE)
    elif hint is float:
        real = float(value) if isinstance(value, int | float) else 0.0
        yield from (real * 0.9, real * 1.1, real / 2, real * 2, *_REAL)
    elif isinstance(value, list | tuple) and len(value) > 1:
        yield from (value[:1], value[1:])
    elif len(options) > 1:  # a union
        for option in sorted(options, key=lambda o: o is NoneType):
            yield from alternatives(option, value)
        if NoneType in options:
            yield None


def _cached(subject: Subject, point: dict[str, Any], found: dict[str, Tensor | None]) -> Tensor | None:
    key = json.dumps(point, sort_keys=True)
    if key not in found:
        found[key] = _scored(subject, point)
    return found[key]


def _scored(subject: Subject, point: dict[str, Any]) -> Tensor | None:
    """Scores at some hyper-parameters; None where they are refused."""
    with suppress(HyperparameterError, ValueError):
        world = subject.world
        return world.score(world.fit(subject.cls.configure(point)), subject.both)
    return None


DECLARED, CHECKS = (needs,), (effect,)

"""Methods that the leaderboard names: what the registry refuses is told with file, line and key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmark.errors import MethodLeftOut, SpecError
from methods.base import Detector, EnsembleDetector, GradientDetector, HyperparameterError, Objective
from methods.declared import Declared
from methods.label_noise import Correction
from methods.registry import BrokenMethod, UnknownMethod, method_class, objective_class

OBJECTIVES = ("objectives", "corrections")  # which are found together


@contextmanager
def method_errors(where: str) -> Iterator[None]:
    """Turn what the registry raises for a method named at `where` into a `SpecError`.

    Raises
    ------
    MethodLeftOut
        If the method's file could not be loaded, or the method lacks something.
    SpecError
        If there is no such method or hyper-parameter, or a value is refused.
    """
    try:
        yield
    except BrokenMethod as error:
        raise MethodLeftOut(f"{where}: {error}") from error
    except (UnknownMethod, HyperparameterError) as error:
        raise SpecError(f"{where}: {error}") from error


def declared(family: str, name: str) -> Declared | None:
    """What the class of a method declares, also of one of another package; None if there is none.

    `methods.declared.read` says the same of our own without importing them.
    """
    try:
        cls = objective_class(name) if family in OBJECTIVES else method_class(family, name)
    except UnknownMethod:
        return None
    trained = cls if issubclass(cls, Objective) else None
    return Declared(
        hyperparameters=cls.configure({}).hyperparameters(),
        starts_from=trained.starts_from if trained else None,
        first_phase=trained.first_phase if trained else None,
        trusted=issubclass(cls, Correction) and cls.trusted,
        step_name=cls.step_name if issubclass(cls, GradientDetector) else None,
        transductive=issubclass(cls, Detector | EnsembleDetector) and cls.transductive,
        ensemble=issubclass(cls, EnsembleDetector),
    )

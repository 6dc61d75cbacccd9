"""Methods that the leaderboard names: what the registry refuses is told with file, line and key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmark.errors import MethodLeftOut, SpecError
from methods.base import HyperparameterError
from methods.registry import BrokenMethod, UnknownMethod


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

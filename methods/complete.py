"""What is checked of a method's class before it is listed: that it has what its contract declares."""

from __future__ import annotations

import inspect
import json
from typing import Any

from methods.base import Detector, EnsembleDetector, Objective
from methods.method import Method, Paper


def check_complete(cls: type[Method]) -> None:
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
    paper: object = cls.paper
    if not isinstance(paper, Paper):
        raise TypeError(f"paper: expected Paper(...), got {paper!r}")
    needs: object = cls.needs if issubclass(cls, Detector | EnsembleDetector | Objective) else frozenset()
    if not isinstance(needs, frozenset):
        raise TypeError(f"needs: expected a frozenset, got {needs!r}")
    aliases: object = cls.aliases
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
    cls.configure(cls.small)


def _of_class(hint: Any) -> bool:
    return str(hint).removeprefix("typing.").startswith("ClassVar")

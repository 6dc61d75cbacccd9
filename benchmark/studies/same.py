"""Whether a record's settings are those that are expected, where defaults of methods are left out.

A hyper-parameter that a method has only got since, and that has its default, makes no difference here: of
which code a record is, its content key says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from methods.declared import Declared


def differ(expected: Mapping[str, Any], found: Mapping[str, Any], declared: Declared | None) -> bool:
    """Whether hyper-parameters differ; of a method whose defaults are not known, those that are given."""
    for name in {**expected, **found}:
        if name not in found:
            if declared is None or expected[name] != declared.hyperparameters.get(name):
                return True
        elif name not in expected:
            if declared is not None:
                return True
        elif _listed(expected[name]) != _listed(found[name]):
            return True
    return False


def other_use(expected: Mapping[str, Any], found: Any, declared: Declared | None) -> bool:
    """Whether two configured methods differ, with ``method`` and ``hyperparameters``."""
    if not isinstance(found, Mapping) or expected["method"] != found.get("method"):
        return True
    return differ(expected["hyperparameters"], found.get("hyperparameters", {}), declared)


def without(names: Collection[str | None], of: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping without some of its names."""
    return {name: value for name, value in of.items() if name not in names}


def _listed(value: Any) -> Any:
    """A value as JSON gives it back."""
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value

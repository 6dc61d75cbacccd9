"""What detectors and objectives share: a name, a paper, and hyper-parameters that are typed fields."""

from __future__ import annotations

import dataclasses
from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

from methods.errors import HyperparameterError
from methods.names import describe
from methods.neutral import neutral


@dataclass(frozen=True)
@neutral
class Paper:
    """Where a method was published."""

    title: str
    authors: str
    venue: str
    year: int
    arxiv: str | None = None


class Method(ABC):
    """What detectors and objectives share: a name, a paper, typed hyper-parameters."""

    name: ClassVar[str]  # set by `register`
    paper: ClassVar[Paper]
    aliases: ClassVar[tuple[str, ...]] = ()  # what other libraries and papers call it: docs/names.md
    small: ClassVar[Mapping[str, Any]] = {}  # hyper-parameters for quick tests; no result rests on them

    def hyperparameters(self) -> dict[str, Any]:
        """Every hyper-parameter and its value, by field name."""
        return {f.name: getattr(self, f.name) for f in _fields(self) if f.init}

    @classmethod
    @neutral
    def configure(cls, hyperparameters: Mapping[str, Any]) -> Self:
        """Make an instance with these hyper-parameters, the others at their published defaults.

        Raises
        ------
        HyperparameterError
            For a name that is no hyper-parameter, a value of another type than the default's, or one that
            the method itself refuses.
        """
        known = {f.name for f in _fields(cls) if f.init}
        hints = get_type_hints(cls)
        for key, value in hyperparameters.items():
            if key not in known:
                choices = ", ".join(sorted(known)) or "none"
                raise HyperparameterError(f"{cls.name}: no hyper-parameter {key!r}; it has: {choices}")
            if not _is_a(value, hints[key]):
                raise HyperparameterError(f"{cls.name}.{key}: expected {_phrase(hints[key])}, got {value!r}")
        try:
            return cls(**hyperparameters)
        except ValueError as error:
            raise HyperparameterError(f"{cls.name}: {error}") from error
        except (Exception, SystemExit) as error:  # of a `__post_init__` that does not expect the value
            raise HyperparameterError(f"{cls.name}: {describe(error)}") from error


@neutral
def check_percent(name: str, value: float | None) -> None:
    """Raise `ValueError` for a share where percent are meant: above 0 and below 1."""
    if value is not None and 0 < value < 1:
        raise ValueError(
            f"{name}: expected percent, such as 90, got {value}; a share of {value} is {100 * value:g}"
        )


def _fields(method: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(method) if dataclasses.is_dataclass(method) else ()


def _phrase(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(repr, get_args(hint)))}"
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _is_a(value: Any, hint: Any) -> bool:
    if isinstance(hint, UnionType):
        return any(_is_a(value, option) for option in get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    return isinstance(value, get_origin(hint) or hint)  # what a list holds the method checks itself

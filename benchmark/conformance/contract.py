"""What holds of a method of any family: a frozen dataclass under its file's name, fit for records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from benchmark.conformance.findings import check
from methods.complete import check_complete
from methods.families import families
from methods.method import Method


class Contributed:
    """A method's class that is checked."""

    def __init__(self, cls: type[Method]) -> None:
        self.cls = cls
        self.family = family_of(cls)
        self.name = getattr(cls, "name", cls.__name__)
        self.title = f"{self.family}/{self.name}"


def family_of(cls: type[Method]) -> str:
    """The family that a class belongs to, by the nearest of its bases."""
    for base in cls.__mro__:
        for family in families.values():
            if base in family.bases:
                return family.folder
    known = ", ".join(base.__name__ for family in families.values() for base in family.bases)
    raise TypeError(f"{cls.__name__} is none of: {known}")


def hints_of(cls: type[Method]) -> dict[str, Any]:
    """The types of its hyper-parameters, by name."""
    return get_type_hints(cls)


@check("complete", "methods/base.py says what a method declares", first=True)
def complete(subject: Contributed) -> Iterator[str]:
    """It has what its contract declares, and can be made at its defaults."""
    try:
        check_complete(subject.cls)
    except (TypeError, ValueError) as error:
        yield str(error)


@check("name", "name the file as the method is registered")
def name(subject: Contributed) -> Iterator[str]:
    """It is registered, under the name of its file if it is one of ours."""
    found = families[subject.family].found.get(subject.name)
    if found is not subject.cls:
        yield f"it is not registered: expected @register({subject.name.lower()!r})"
    elif (
        subject.cls.__module__.startswith("methods.")
        and subject.cls.__module__.rpartition(".")[2] != subject.name
    ):
        yield f"{subject.cls.__module__} registers {subject.name!r}"


@check("frozen", "write @dataclass(frozen=True) under @register(...)")
def frozen(subject: Contributed) -> Iterator[str]:
    """It is a frozen dataclass; without hyper-parameters it may be any class."""
    cls = subject.cls
    made = getattr(cls, "__dataclass_params__", None)
    own = "__dataclass_params__" in vars(cls)
    if made is None or not made.frozen or not (own or not vars(cls).get("__annotations__")):
        yield "the class is no frozen dataclass"


@check("record", "use numbers, text, booleans, None and lists of them as hyper-parameters")
def record(subject: Contributed) -> Iterator[str]:
    """Hyper-parameters survive a record."""
    cls = subject.cls
    made = cls.configure({})
    known = made.hyperparameters()
    declared: list[str] = [f.name for f in fields(cls) if f.init] if is_dataclass(cls) else []
    if list(known) != declared:
        yield f"hyperparameters(): expected {declared}, got {list(known)}"
    if cls.configure(json.loads(json.dumps(known))) != made:
        yield "made from a record it is not equal to the one at its defaults"


CHECKS = (complete, name, frozen, record)

"""A check and what it finds: one line each, with what to do about it.

This module must not import torch.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

from methods.errors import printable
from methods.names import describe


class Severity(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"  # the contribution cannot be taken so
    WARNING = "warning"  # somebody should look
    NOTE = "note"  # a number to know


@dataclass(frozen=True)
class Finding:
    """What one check found of one thing."""

    subject: str  # a method as ``detectors/knn``, or what leaderboard.yaml has: ``dataset x``
    check: str
    severity: Severity
    message: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f" → {self.advice}" if self.advice else ""
        return printable(f"{self.severity}: {self.subject}: {self.check}: {self.message}{advice}")


T = TypeVar("T")


@dataclass(frozen=True)
class Check(Generic[T]):
    """Something that must hold; `find` yields what does not, a message each.

    A check that is `first` is of all that follows: where it finds an error they are left out.
    """

    name: str
    find: Callable[[T], Iterable[str]]
    severity: Severity
    advice: str
    first: bool

    @property
    def holds(self) -> str:
        """What holds of whatever passes."""
        return (self.find.__doc__ or "").partition("\n")[0]

    def __call__(self, subject: T) -> list[Finding]:
        """What it finds of a `Subject`; what a method raises meanwhile is an error."""
        found = []
        name = getattr(subject, "title", str(subject))
        try:
            for message in self.find(subject):
                found.append(Finding(name, self.name, self.severity, message, self.advice))
        except (Exception, SystemExit) as error:  # a method may fail in any way
            raised = f"{describe(error)} (raised in {_place(error)})"
            found.append(Finding(name, self.name, Severity.ERROR, raised, self.advice))
        return found


def check(
    name: str, advice: str = "", *, severity: Severity = Severity.ERROR, first: bool = False
) -> Callable[[Callable[[T], Iterable[str]]], Check[T]]:
    """Make a check of a function that yields what is wrong with its argument."""
    return lambda find: Check(name, find, severity, advice, first)


def run(checks: Sequence[Check[T]], subject: T) -> Iterator[Finding]:
    """What all of them find, up to one that is first and finds an error."""
    for one in checks:
        found = one(subject)
        yield from found
        if one.first and any(finding.severity is Severity.ERROR for finding in found):
            return


def _place(error: BaseException) -> str:
    """File and line where an error came from."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "no code"

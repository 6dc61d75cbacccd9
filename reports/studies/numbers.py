"""The contract of a study's numbers: what its records come to, and which numbers stand for it.

A study has a folder beside this module, of the name that its folder in `benchmark.studies` has: with
``numbers.py``, a `StudyNumbers` under the name ``NUMBERS``, and with ``plots.py``, the section of its plots
(`reports.studies.sections`). No module of numbers may know which records count or how anything is shown.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from benchmark.records.comparison import Metric
from benchmark.records.record import Record
from benchmark.studies.settings import AnyStudy

S = TypeVar("S", bound=AnyStudy)
Numbers = tuple[dict[str, float], dict[str, str]]
"""Numbers by path; and for each number that more records would give, what is lacking."""


@dataclass(frozen=True)
class Row(Generic[S]):
    """What was measured of a row's networks of one seed, and what that is seen against."""

    name: str
    records: Mapping[str, Record]  # by condition
    study: S  # of a full run
    over: S  # whose conditions means are over, the same for all: of a full run, or of every run
    plain: Sequence[Mapping[str, Record]]  # of the plain networks from scratch of the same backbone


class AgainstScratch(NamedTuple):
    """A number in which pre-trained networks are compared with those from scratch."""

    name: str
    metric: str
    title: str
    row: str
    better: Literal["higher", "lower"] = "lower"


def _as_recorded(row: Row[Any]) -> Numbers:
    """The record's own, of a study that has one condition."""
    return own_numbers(row.records[""]), {}


def _nothing(study: Any, plain: str | None) -> Sequence[AgainstScratch]:
    return []


def _no_more(track: str, study: Any) -> str:
    return ""


@dataclass(frozen=True)
class StudyNumbers(Generic[S]):
    """The numbers of a study."""

    headlines: Mapping[str, Metric]  # of a record, by the column of a terminal: what a reproduction compares
    derived: Callable[[Row[S]], Numbers] = _as_recorded  # what boards, claims and plots may ask for
    against_scratch: Callable[[S, str | None], Sequence[AgainstScratch]] = _nothing  # of the plain row
    told: Callable[[str, S], str] = _no_more  # what claims say of how it was measured on a track


def numbers_of(study: str) -> StudyNumbers[Any]:
    """The numbers of a study, by its name."""
    found: StudyNumbers[Any] = importlib.import_module(f"{__package__}.{study}.numbers").NUMBERS
    return found


def own_numbers(record: Record) -> dict[str, float]:
    """What a record has itself."""
    return {name: float(value) for name, value in record.numbers.items()}


def with_means(
    numbers: dict[str, float], absent: dict[str, str], means: Mapping[str, Iterable[str]]
) -> Numbers:
    """Add means of numbers; a mean of which a part is absent is absent."""
    for name, parts in means.items():
        lacking = [absent.get(part, f"without {part}") for part in parts if part not in numbers]
        if lacking:
            absent[name] = "; ".join(dict.fromkeys(lacking))
        else:
            numbers[name] = fmean(numbers[part] for part in parts)
    return numbers, absent

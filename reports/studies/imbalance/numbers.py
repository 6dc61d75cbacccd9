"""Numbers of the study `imbalance`: of each long tail, and means over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmark.records.comparison import Metric
from benchmark.records.record import Record
from benchmark.studies.imbalance.settings import Imbalance
from reports.studies.numbers import AgainstScratch, Numbers, Row, StudyNumbers, with_means


def _derived(row: Row[Imbalance]) -> Numbers:
    return imbalance_numbers(row.records, [*row.over.profiles])


def imbalance_numbers(records: Mapping[str, Record], profiles: Sequence[str]) -> Numbers:
    """Each profile's numbers as ``exp.total.error``, and means over `profiles` as ``mean.total.error``."""
    numbers = {
        f"{profile}.{name}": float(value)
        for profile, record in records.items()
        for name, value in record.numbers.items()
    }
    names = dict.fromkeys(name for record in records.values() for name in record.numbers)
    absent = {
        f"{profile}.{name}": f"without {profile}"
        for profile in profiles
        for name in names
        if profile not in records
    }
    return with_means(numbers, absent, {f"mean.{name}": [f"{p}.{name}" for p in profiles] for name in names})


def _against_scratch(study: Imbalance, plain: str | None) -> Sequence[AgainstScratch]:
    title = "Class imbalance: total error"
    return [] if plain is None else [AgainstScratch("imbalance", "mean.total.error", title, plain)]


NUMBERS = StudyNumbers(
    {
        "Total\nerror": Metric("total.error", "Total error"),
        "Minority\nerror": Metric("minority.error", "Minority error"),
    },
    _derived,
    _against_scratch,
)

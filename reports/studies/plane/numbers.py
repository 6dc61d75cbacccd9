"""Numbers of the experiment in two dimensions: as recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmark.records.comparison import Metric
from benchmark.records.record import PLANE, Record
from benchmark.studies.plane.settings import Plane
from reports.select import Counted
from reports.studies.numbers import StudyNumbers
from reports.studies.select import Studied

Arms = Mapping[str, Sequence[Record]]  # the records of each arm
_HEADLINES = (
    Metric("accuracy", "Accuracy"),
    Metric("regions.band.auroc", "AUROC band"),
    Metric("regions.far.auroc", "AUROC far"),
)
NUMBERS: StudyNumbers[Plane] = StudyNumbers({metric.title: metric for metric in _HEADLINES})


def arms_of(counted: Counted) -> Arms:
    """The measured arms, in the order of the design, each with its records by seed."""
    found: dict[str, list[Record]] = {}
    for cell, studied in counted.of_study(PLANE).items():
        if isinstance(studied, Studied):
            found.setdefault(cell.entry, []).extend(studied.records.values())
    return found

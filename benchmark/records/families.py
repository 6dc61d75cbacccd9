"""What is particular to the records of a study: which numbers they have, and how these are best written.

There is one record, one reader and one writer; what they need to know of a study stands in its folder, as
``FAMILY`` of ``records.py``, where it needs anything but what holds for all.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from benchmark.records.record import TRAININGS, Record
from benchmark.studies.registry import study_folders

if TYPE_CHECKING:
    from benchmark.store.artifacts import Artifact

Fields = dict[str, Any]  # of a record


def _whole(record: Record) -> None:
    made = record.provenance
    if record.status == "measured" and (made is None or not (made.checkpoint and made.measured_in)):
        raise ValueError("expected the checkpoint that was measured and where that was, got none")
    for name, values in record.series.items():
        for at, value in enumerate(values):
            if value is None:
                raise ValueError(f"series.{name}.{at}: expected a number, got none")
        _, by, axis = name.partition("_by_")
        along = len(record.series.get(axis, ())) if by else len(values)
        if len(values) != along:
            raise ValueError(f"series.{name}: expected one value for each {axis}, {along}, got {len(values)}")


Images = Mapping[str, tuple[int, bool]]  # of how many images a series is the share, and whether it rises


def _no_images(settings: Mapping[str, Any], numbers: Mapping[str, float]) -> Images:
    return {}


def _none(path: str) -> bool:
    return False


def _as_measured(artifact: Artifact) -> Fields:
    measured: Fields = artifact.json("measured")
    return measured


@dataclass(frozen=True)
class Family:
    """The records of a study."""

    check: Callable[[Record], None] = _whole  # raises ValueError for what cannot be
    images: Callable[[Mapping[str, Any], Mapping[str, float]], Images] = _no_images  # by settings and numbers
    apart: bool = False  # whether what belongs to a network lies apart from the records that share it
    of_network: Callable[[str], bool] = _none  # which numbers and series do
    read: Callable[[Artifact], Fields] = _as_measured  # what a measurement's artifact says of its record


_OTHER = Family()


def family_of(study: str) -> Family:
    """What is particular to the records of a study, or of trainings."""
    if study == TRAININGS:
        module = "benchmark.records.trainings"
    else:
        module = f"benchmark.studies.{study}.records"
        if study not in study_folders() or find_spec(module) is None:
            return _OTHER
    found: Family = importlib.import_module(module).FAMILY
    return found

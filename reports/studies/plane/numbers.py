"""Numbers of the experiment in two dimensions: as recorded."""

from __future__ import annotations

from benchmark.studies.plane.settings import Plane
from reports.studies.numbers import StudyNumbers

NUMBERS: StudyNumbers[Plane] = StudyNumbers({})

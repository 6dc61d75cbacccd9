"""The sections of the studies, in the order in which leaderboard.yaml names these.

A study's ``plots.py`` has its section under the name ``SECTION``, as a rule a
`reports.plots.sections.PlotSection`; this module knows none of them.
"""

from __future__ import annotations

import importlib
from typing import Protocol

from benchmark.records.record import PLANE
from benchmark.spec.leaderboard import Spec
from reports.plots.memo import Memo
from reports.plots.sections import ANEW
from reports.select import Counted
from reports.site.sections import Section


class StudySection(Protocol):
    """What shows the numbers of a study."""

    def section(self, spec: Spec, counted: Counted, memo: Memo = ANEW) -> Section | None:
        """Its section of the page; None where there is nothing to show."""


def study_sections(spec: Spec) -> dict[str, StudySection]:
    """By study, the section of every one that a track has, and of the one that stands alone."""
    studies = [*spec.studies, *([] if spec.boundary is None else [PLANE])]
    return {study: importlib.import_module(f"{__package__}.{study}.plots").SECTION for study in studies}

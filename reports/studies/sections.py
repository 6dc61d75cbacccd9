"""The sections of the studies, in the order in which leaderboard.yaml names these.

A study's ``plots.py`` has its `PlotSection` under the name ``SECTION``; this module knows none of them.
"""

from __future__ import annotations

import importlib

from benchmark.spec.leaderboard import Spec
from reports.plots.sections import PlotSection


def study_sections(spec: Spec) -> list[PlotSection]:
    """The section of every study that a track has."""
    return [importlib.import_module(f"{__package__}.{study}.plots").SECTION for study in spec.studies]

"""The start page: what was measured, which detector to take, and where the rest stands."""

from __future__ import annotations

from benchmark.spec.leaderboard import Spec
from reports.pages.parts import Parts
from reports.select import Counted
from reports.site.leaderboard import INTRO
from reports.site.sections import Page

HEADING = "Which method tells familiar images from unfamiliar ones?"


def start_page(spec: Spec, counted: Counted, parts: Parts | None) -> Page:
    """The page that a reader sees first; `parts` is None where no record counts."""
    title = "oodbench: leaderboards of out-of-distribution detection"
    return Page("index", title, HEADING, INTRO, (), (), (), "")

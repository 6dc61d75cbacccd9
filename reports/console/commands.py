"""What several commands do: read leaderboard.yaml, plan a part of it, find the records, build the site.

They say on standard error what was left out and which records are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UsageError
from benchmark.spec.leaderboard import Spec
from benchmark.spec.load import load_spec
from benchmark.spec.shipped import find_leaderboard, published_results
from reports.console.terminal import console, say

if TYPE_CHECKING:
    from benchmark.plan.plan import Plan

OWN = Path("runs")  # where a run writes its records, below the working folder
LONGEST = 300  # characters of what every page of a preview says


def spec_of(leaderboard: Path | None, precision: str | None = None) -> Spec:
    """The leaderboard that is named, else that of the working folder, else our own.

    A `precision`, ``fp32`` or ``bf16``, takes the place of the file's own.
    """
    spec = load_spec(find_leaderboard(leaderboard))
    if precision is None:
        return spec
    return spec.model_copy(update={"precision": None if precision == "fp32" else precision})


def plan_of(spec: Spec, *chosen: Iterable[Any] | None, full: bool) -> Plan:
    """Plan tracks, entries, backbones, inits, seeds and studies; say what is left out and why."""
    from benchmark.plan.make import Selection, make_plan

    tracks, entries, backbones, inits, seeds, studies = (tuple(part or ()) for part in chosen)
    made = make_plan(spec, Selection(tracks, entries, backbones, inits, seeds, studies, full))
    for track, why in made.left_out.items():
        said = f"left out: track {track}: {why} (all of the track: oodbench data get {track})"
        say(console(stderr=True), said)
    for what, why in made.broken.items():
        say(console(stderr=True), f"left out: {what}: {why}")
    return made


def use_mirror(named: Path | None) -> None:
    """Read datasets from this folder, here and in the workers."""
    if named is not None:
        os.environ["OODBENCH_MIRROR"] = str(named)


def published_folder(named: Path | None, leaderboard: Path | None) -> Path:
    """The folder of the published records."""
    return named or published_results(find_leaderboard(leaderboard))


def records_of(named: Path | None, leaderboard: Path | None) -> Path:
    """The folder that is read: that of the published records, unless there is none."""
    folder = published_folder(None, leaderboard)
    return named or (folder if folder.is_dir() else OWN)


def say_where(records: Path) -> None:
    """Say which records were read, and where one's own are."""
    more = f"; your own are in {OWN}/: --results {OWN}" if records != OWN and OWN.is_dir() else ""
    say(console(stderr=True), f"These are the records in {records}/{more}")


def build(spec: Spec, results: Path, site: Path, of_others: Path, preview: str | None = None) -> None:
    """Build the site of records, and say how they compare with the published ones.

    Raises
    ------
    UsageError
        If `preview`, which every page is to say of itself, is no line of text.
    """
    if preview is not None and not (preview.strip() and preview.isprintable() and len(preview) <= LONGEST):
        raise UsageError(
            f"--preview: expected a line of 1 to {LONGEST} characters for every page, got {preview!r:.80}"
        )
    from benchmark.engines.environment import cores
    from reports.console.results import reproduction_lines, show
    from reports.site.publish import publish, read_report

    publish(spec, results, site, of_others, preview=preview or "", workers=cores())
    show(console(), reproduction_lines(read_report(site)))
    say(console(), f"Leaderboard: {site / 'index.html'}")

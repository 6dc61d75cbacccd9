"""What the pages are made of: every section, made once, and put on several pages or on one.

This module must not know which page shows what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmark.spec.leaderboard import Spec
from reports.boards.coverage import unmeasured_section
from reports.boards.explore import Explored, explore
from reports.boards.growth import growth_section, growths
from reports.boards.overall import Overall, overall
from reports.boards.pretraining import compare_inits, pretraining_section
from reports.boards.provenance import provenance_section
from reports.boards.sections import board_section
from reports.boards.summary import Gains, all_gains, gains_section, studied_gains
from reports.boards.tables import Table, board_tables
from reports.boards.training import training_section
from reports.claims.decide import Verdict, decide_claims
from reports.claims.register import Register
from reports.openood.section import openood_section
from reports.plots.cells import SECTIONS
from reports.plots.memo import Memo
from reports.plots.sections import ANEW
from reports.select import Counted
from reports.site.compared import reproduction_section
from reports.site.forked import all_of
from reports.site.reproduction import Reproduction
from reports.site.sections import Section, present
from reports.studies.sections import study_sections


@dataclass(frozen=True)
class Shown:
    """A declared board with its numbers, and as a section."""

    board: Table
    section: Section


@dataclass(frozen=True)
class Parts:
    """The sections that there are; None where there is nothing to show."""

    boards: Mapping[str, tuple[Shown, ...]]  # by name in leaderboard.yaml
    pretraining: Section | None
    gains: Section | None
    growth: Section | None
    compared: tuple[Gains, ...]  # every pre-trained init with scratch, in all measures
    plots: tuple[Section, ...]  # of detection: reliability, histograms, ROC curves, robustness
    studies: Mapping[str, Section]  # by study
    training: Section | None
    openood: Section | None
    reproduction: Section | None
    unmeasured: Section
    provenance: Section
    verdicts: tuple[Verdict, ...]
    explored: Mapping[str, Sequence[Explored]]  # by track: everything that was measured of its entries
    overall: Overall | None

    def plot(self, id: str) -> Section | None:
        """The section of one kind of plots of detection."""
        return next((section for section in self.plots if section.id == id), None)


def parts_of(
    spec: Spec,
    counted: Counted,
    register: Register,
    report: Reproduction | None,
    source: str,
    memo: Memo = ANEW,
    workers: int = 1,
) -> Parts:
    """Make every section of what counts.

    Parameters
    ----------
    report : how the records compare with the published ones, where they are not these.
    source : name of the folder of the records.
    memo : plots that are drawn already.
    workers : processes that make sections at a time.

    Raises
    ------
    DataError
        If a board or a claim asks for a metric that a record lacks.
    """
    everything = all_gains(spec, counted)
    studies = study_sections(spec)
    plots: list[Callable[[], Section | None]] = [
        *(partial(kind.section, spec, counted, memo) for kind in (*SECTIONS, *studies.values())),
        partial(training_section, spec, counted.trainings, memo),
        partial(gains_section, studied_gains(everything, counted), spec, memo),
    ]
    others: list[Callable[[], Any]] = [
        *(partial(explore, spec, counted, name) for name in spec.tracks),
        partial(_boards, spec, counted),
        lambda: tuple(decide_claims(register, spec, counted)),
        partial(openood_section, spec, counted),
        partial(overall, spec, counted),
        lambda: pretraining_section(compare_inits(spec, counted), spec),
    ]
    tasks: list[Callable[[], Any]] = [*(partial(_drawn, memo, plot) for plot in plots), *others]
    made = all_of(tasks, workers)
    for _, used in made[: len(plots)]:
        memo.used |= used
    drawn = iter([section for section, _ in made[: len(plots)]])
    found = iter(made[len(plots) :])
    return Parts(
        plots=present(*(next(drawn) for _ in SECTIONS)),
        studies={name: section for name in studies if (section := next(drawn)) is not None},
        training=next(drawn),
        gains=next(drawn),
        compared=tuple(everything),
        growth=growth_section(growths(spec, everything), spec),
        reproduction=None if report is None else reproduction_section(report, source),
        unmeasured=unmeasured_section(spec, counted),
        provenance=provenance_section(counted),
        explored={name: next(found) for name in spec.tracks},
        boards=next(found),
        verdicts=next(found),
        openood=next(found),
        overall=next(found),
        pretraining=next(found),
    )


def _drawn(memo: Memo, draw: Callable[[], Section | None]) -> tuple[Section | None, Mapping[str, Any]]:
    """A section, and what its plots are made of: another process may make it."""
    section = draw()
    return section, memo.used


def _boards(spec: Spec, counted: Counted) -> dict[str, tuple[Shown, ...]]:
    boards: dict[str, tuple[Shown, ...]] = {}
    i = 0
    for name in spec.boards:
        shown = []
        for table in board_tables(name, spec, counted):
            i += 1
            shown.append(Shown(table, board_section(f"board-{i}", table, spec)))
        boards[name] = tuple(shown)
    return boards

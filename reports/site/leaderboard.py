"""The page of the leaderboards: every board, what pre-training does, the plots, and what made it all."""

from __future__ import annotations

from dataclasses import replace

from benchmark.spec.leaderboard import Spec
from reports.boards.coverage import unmeasured_section
from reports.boards.growth import growth_section, growths
from reports.boards.pretraining import compare_inits, pretraining_section
from reports.boards.provenance import provenance_section
from reports.boards.sections import board_section
from reports.boards.summary import all_gains, gains, gains_section
from reports.boards.tables import board_tables
from reports.boards.training import training_section
from reports.openood.section import openood_section
from reports.plots.cells import SECTIONS
from reports.select import Counted
from reports.site.compared import reproduction_section
from reports.site.frame import is_empty, made, no_records
from reports.site.reproduction import Reproduction
from reports.site.sections import Bullets, Link, Page, Section, Text, italic, present, strong
from reports.studies.sections import study_sections


def leaderboard_page(
    spec: Spec,
    counted: Counted,
    report: Reproduction | None,
    *,
    source: str,
    generated: str,
) -> Page:
    """Make the page of what counts.

    Parameters
    ----------
    report : how the records compare with the published ones, where they are not these.
    source : name of the folder of the records.
    generated : when the page is made.

    Raises
    ------
    DataError
        If a board asks for a metric that a record lacks.
    """
    page = Page(
        name="leaderboard",
        title="oodbench: leaderboards of out-of-distribution detection",
        heading="Which method tells familiar images from unfamiliar ones?",
        intro=(
            "Leaderboards of out-of-distribution (OOD) detection by oodbench. Networks learn one dataset, "
            "the in-distribution (ID) images; a detector then scores images of that dataset and of others. "
            "Near OOD sets resemble the ID images, far OOD sets do not."
        ),
        nav=(),
        body=no_records(counted.notes),
        sections=(),
        footer=made(source, generated),
    )
    if is_empty(counted):
        return page
    shown = (*_boards(spec, counted), *_measured(spec, counted))
    around = present(
        None if report is None else reproduction_section(report, source),
        unmeasured_section(spec, counted),
        provenance_section(counted),
    )
    claims = Link("Published claims, tested", "claims")
    nav = (*(section.link for section in shown), claims, *(section.link for section in around))
    return replace(page, nav=nav, body=(), sections=(_reading(spec), *shown, *around))


def _boards(spec: Spec, counted: Counted) -> tuple[Section, ...]:
    tables = [table for name in spec.boards for table in board_tables(name, spec, counted)]
    return tuple(board_section(f"board-{i}", table, spec) for i, table in enumerate(tables, start=1))


def _measured(spec: Spec, counted: Counted) -> tuple[Section, ...]:
    """What was measured besides the boards."""
    return present(
        pretraining_section(compare_inits(spec, counted), spec),
        gains_section(gains(spec, counted), spec),
        growth_section(growths(spec, all_gains(spec, counted)), spec),
        *(kind.section(spec, counted) for kind in (*SECTIONS, *study_sections(spec))),
        training_section(spec, counted.trainings),
        openood_section(spec, counted),
    )


def _reading(spec: Spec) -> Section:
    reduced = "Networks are trained and measured in bfloat16: these are other networks than in float32."
    items: tuple[Text, ...] = (
        *((reduced,) if spec.precision == "bf16" else ()),
        "A higher score means more in-distribution; ID is the positive class. AUROC 50 is guessing, 100 is "
        "perfect.",
        "AUPR is average precision, a sum of steps without interpolation. OpenOOD and pytorch-ood integrate "
        "by trapezoids, which as a rule gives more: constant scores and as many OOD as ID images have 50 "
        "here and 75 there.",
        "Shares are ×100. ↑ marks columns where higher is better, ↓ where lower is.",
        (
            "Each number is the mean ± half the 95 % ",
            italic("t"),
            " interval over seeds. A seed fixes the split, the first weights and the order of the data. With "
            "a single seed there is no interval.",
        ),
        (
            "The rank is one more than the number of rows that are significantly better: two-sided paired ",
            italic("t"),
            " tests over the shared seeds at 5 %, Holm-adjusted over all pairs of rows. Equal ranks are not "
            "told apart by the data.",
        ),
        (
            strong("Bold"),
            ": no row is significantly better in this column. A column in which no row is bold separates "
            "none.",
        ),
    )
    return Section("reading", "How to read the numbers", (Bullets(items),))

"""All sections as one text: every board, what pre-training does, the plots, and what made it all."""

from __future__ import annotations

from dataclasses import replace

from benchmark.spec.leaderboard import Spec
from reports.pages.parts import Parts
from reports.select import Counted
from reports.site.frame import made, no_records
from reports.site.sections import Bullets, Page, Section, present
from reports.site.text import Link, Text, code, italic, strong

NAME = "leaderboard"


def leaderboard_page(
    spec: Spec, counted: Counted, parts: Parts | None, *, source: str, generated: str
) -> Page:
    """The page that shows everything at once, made for Markdown.

    Parameters
    ----------
    source : name of the folder of the records.
    generated : when the page is made.
    """
    page = Page(
        name=NAME,
        title="oodbench: leaderboards of out-of-distribution detection",
        heading="Which method tells familiar images from unfamiliar ones?",
        intro=INTRO,
        nav=(),
        body=no_records(counted.notes),
        sections=(),
        footer=made(source, generated),
    )
    if parts is None:
        return page
    boards = (shown.section for several in parts.boards.values() for shown in several)
    shown = (
        *boards,
        *present(parts.pretraining, parts.gains, parts.growth),
        *parts.plots,
        *parts.studies.values(),
        *present(parts.training, parts.openood),
    )
    around = present(parts.reproduction, parts.unmeasured, parts.provenance)
    nav = (Link("Published claims, tested", "claims"),)
    return replace(page, nav=nav, body=(), sections=(reading(spec), *shown, *around))


INTRO = (
    "Leaderboards of out-of-distribution (OOD) detection by oodbench. Networks learn one dataset, "
    "the in-distribution (ID) images; a detector then scores images of that dataset and of others. "
    "Near OOD sets resemble the ID images, far OOD sets do not."
)


def reading(spec: Spec) -> Section:
    """How to read the numbers."""
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
            "The position of a row is by its mean. In brackets stands the 95 % confidence set of its rank, "
            "which is one more than the number of rows that are truly better: by two-sided paired ",
            italic("t"),
            " tests over the shared seeds, Holm-adjusted over all pairs of rows. All sets of a column hold "
            "together. ● marks the rows that are not significantly worse than the first.",
        ),
        (
            strong("Verified"),
            ": all records of a row were computed again from their networks by ",
            code("oodbench verify"),
            ", and came out as published; partly verified: some of them; self-reported: none. A record that "
            "changes is unverified again.",
        ),
        (
            strong("Bold"),
            ": the same for each column by itself, among the rows that have a position: not significantly "
            "worse than the best of its column. A column in which no row is bold separates none from its "
            "best.",
        ),
    )
    return Section("reading", "How to read the numbers", (Bullets(items),))

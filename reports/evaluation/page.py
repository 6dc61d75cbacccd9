"""An evaluation as a page: the answer first, then why, then all else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from benchmark.evaluation.outcome import Outcome
from reports.evaluation.about import data_section, method_section, model_section, use_section
from reports.evaluation.answer import answer, answer_section, threshold_section
from reports.evaluation.board import board_section
from reports.evaluation.corruptions import corruption_section
from reports.evaluation.figures import corruptions, costs, histograms, reliability, risk_coverage, roc
from reports.evaluation.fooling import fooling_section
from reports.evaluation.words import counted
from reports.site.sections import Block, Fold, Gallery, Page, Paragraph, Section, Warnings, present
from reports.site.text import code

NAME = "report"
SHOWN = 9  # figures of scores; more are folded


def page_of(outcome: Outcome, thumbnails: Sequence[bytes | None]) -> Page:
    """The page of an outcome whose texts are `readable`.

    Parameters
    ----------
    thumbnails : of each of `Outcome.fooling`, as PNG or JPEG; None where there is none.

    Raises
    ------
    DataError
        If a thumbnail is neither.
    """
    sections = present(
        answer_section(outcome),
        threshold_section(outcome),
        board_section(outcome),
        _score_section(outcome),
        _classifier_section(outcome),
        corruption_section(outcome, corruptions(outcome)),
        fooling_section(outcome, thumbnails),
        use_section(outcome),
        data_section(outcome),
        model_section(outcome),
        method_section(outcome),
    )
    body: tuple[Block, ...] = (Warnings(outcome.warnings),) if outcome.warnings else ()
    return Page(
        name=NAME,
        title=f"{outcome.title} · oodbench",
        heading=outcome.title,
        intro=answer(outcome),
        nav=tuple(section.link for section in sections),
        body=body,
        sections=sections,
        footer=("Made ", _when(outcome.made), " by ", code("oodbench evaluate"), "."),
    )


def _score_section(outcome: Outcome) -> Section:
    about = (
        f"Scores of the recommended detector, {outcome.recommended.name}, on ID test images and on each OOD "
        "set, with the threshold; and the cost of all detectors."
    )
    plots = (roc(outcome), *costs(outcome), *histograms(outcome))
    blocks: list[Block] = [Paragraph(about), Gallery(plots[:SHOWN])]
    if more := plots[SHOWN:]:
        blocks.append(Fold(f"Scores on {counted(len(more), 'more set')}", (Gallery(more),)))
    return Section("scores", "Scores, ROC and cost", tuple(blocks), short="Figures")


def _classifier_section(outcome: Outcome) -> Section | None:
    plots = (*risk_coverage(outcome), *reliability(outcome))
    if not plots:
        return None
    about = (
        "How many of the ID test images that are kept are wrong, when those with the lowest scores are "
        "rejected; and whether the classifier is as often right as its confidence says, before and after its "
        "logits are divided by a temperature that was fitted on ID validation images."
    )
    title = "Errors and confidence of the classifier"
    return Section("classifier", title, (Paragraph(about), Gallery(plots)), short="Classifier")


def _when(made: str) -> str:
    """A time to the minute; what is none as it is."""
    try:
        return datetime.fromisoformat(made).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return made

"""What was evaluated on what: data, model, how the detector is used, and how the numbers are made."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from benchmark.evaluation.outcome import Outcome, SetCard
from reports.evaluation.words import ROLES, facts_of, short
from reports.site.sections import Block, Bullets, Column, Command, Facts, Fold, Paragraph, Row, Section, Table
from reports.site.text import Link, Text, code, italic

DETECTOR = "report/detector"
_MODEL = (
    "title", "from", "architecture", "parameters", "classes", "type", "input", "preprocessing", "head",
    "stages", "fingerprint",
)  # fmt: skip
_CARD = ("n", "from", "labelled", "by_class", "sizes", "kinds", "notes")
NAMED = 20  # broken files of a set


def data_section(outcome: Outcome) -> Section:
    """The sets of images, with their cards."""
    columns = (
        Column("Set", "text"),
        Column("What for", "text"),
        Column("Images used"),
        Column("Left out: also among ID test images", better="lower"),
        Column("Broken files", better="lower"),
    )
    rows = tuple(
        Row((one.name, ROLES[one.role], f"{one.n:,}", f"{one.excluded:,}", f"{_broken(one)[0]:,}"))
        for one in outcome.sets
    )
    folds = [
        Fold(f"Card of {short(one.name)} ({ROLES[one.role]})", _card(one)) for one in outcome.sets if one.card
    ]
    return Section("data", "The data", (Table(columns, rows, "sets"), *folds))


def _card(one: SetCard) -> tuple[Block, ...]:
    """A card without its broken files, which are listed below it."""
    said = facts_of({name: value for name, value in one.card.items() if name != "broken"}, _CARD)
    count, files = _broken(one)
    if not count:
        return (Facts(said),)
    named = tuple(" ".join(("broken:", *map(str, file.values()))) for file in files[:NAMED])
    more = (f"and {count - len(named):,} more",) if named and count > len(named) else ()
    return (Facts(said), Bullets((*named, *more), small=True)) if named else (Facts(said),)


def _broken(one: SetCard) -> tuple[int, list[Mapping[str, Any]]]:
    """How many files could not be read, and the first of them."""
    match one.card.get("broken"):
        case {"count": int() as count, "first": [*first]}:
            return count, [file for file in first if isinstance(file, Mapping)]
        case int() as count:
            return count, []
    return 0, []


def model_section(outcome: Outcome) -> Section:
    """The classifier's card."""
    return Section("model", "The model", (Facts(facts_of(outcome.model, _MODEL)),))


def use_section(outcome: Outcome) -> Section:
    """The detector in use: on the command line, and in Python."""
    model = str(outcome.model.get("title") or outcome.title)
    name = outcome.recommended.name
    blocks: tuple[Block, ...] = (
        Paragraph(
            (
                code("detector/"),
                f" beside this page holds {name} as it was fitted, with its threshold and the fingerprint of "
                "the model that it belongs to. On the command line, with the same weights as here:",
            )
        ),
        Command(f"oodbench score --detector {DETECTOR} --model {shlex.quote(model)} images/"),
        Paragraph("In Python:"),
        Command(
            "import oodbench\n"
            f'guard = oodbench.load_guard("{DETECTOR}", model)  # an nn.Module; model as it was evaluated\n'
            "found = guard(images)\n"
            "found.logits, found.score, found.accepted  # higher scores are more in-distribution"
        ),
        Paragraph(
            (
                "What it says of every image here: ",
                Link("scores.csv", file="scores.csv"),
                "; all numbers of this page: ",
                Link("report.json", file="report.json"),
                ".",
            )
        ),
    )
    return Section("use", "How to use it", blocks)


def method_section(outcome: Outcome) -> Section:
    """What the numbers mean, what their intervals cover, and what made them."""
    items: tuple[Text, ...] = (
        "A higher score means more in-distribution (ID); ID is the positive class. Near OOD sets resemble "
        "the ID images, far OOD sets do not. Near and far are means over the sets of a group, each set with "
        "the same weight; the mean is that of near and far.",
        "Shares are ×100. ↑ marks columns where higher is better, ↓ where lower is.",
        "Detectors are fitted on ID training images and thresholds are chosen on ID validation images. No "
        "number of this page is measured on images that anything was fitted on or chosen by, but for the "
        "recommendation itself: which detector it is was decided on the numbers shown.",
        "Intervals are of 95 %. Those of AUROC are by DeLong's method; so are the differences to the best, "
        "on the same images, with Holm's adjustment over all detectors. The others are from the images too: "
        "FPR@95 and AUPR by a bootstrap that draws ID and OOD images apart, shares that a threshold keeps or "
        "lets through as shares of independent images, at this threshold.",
        (
            "They cover the chance in which images were drawn, ",
            italic("and nothing else"),
            ": this is one model. Trained again from another seed, it would give other numbers, and "
            "differences between detectors would move too. Nor do they say anything of OOD images of other "
            "kinds than those of the sets.",
        ),
        "AUPR is average precision, a sum of steps without interpolation.",
        "Cost is the time of a forward pass and the score, in forward passes of the classifier on the same "
        "machine; a figure of 1.02 is not told from 1.01.",
    )
    blocks: list[Block] = [Bullets(items)]
    blocks += _made(outcome)
    return Section("method", "How the numbers are made", tuple(blocks), short="The numbers")


def _made(outcome: Outcome) -> Iterator[Block]:
    seconds: dict[str, Any] = {f"seconds: {name}": value for name, value in outcome.seconds.items()}
    facts = facts_of({**outcome.environment, **seconds})
    if facts:
        yield Fold("What made them", (Facts(facts),))

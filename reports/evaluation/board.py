"""All detectors against each other: over the sets, set by set, and those that could not be used."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from benchmark.evaluation.outcome import Detected, DetectorOutcome, Interval, Outcome, SetCard
from reports.evaluation.words import counted, estimate, ood_sets, short
from reports.site.cells import Better, Content, Noted, Number
from reports.site.numbers import p_value
from reports.site.sections import Block, Column, Fold, Row, Section, Table
from reports.site.text import Text, soft, strong

DETECTED: tuple[tuple[str, Better, Callable[[Detected], Interval]], ...] = (
    ("AUROC", "higher", lambda one: one.auroc),
    ("FPR@95", "lower", lambda one: one.fpr95),
    ("AUPR-In", "higher", lambda one: one.aupr_in),
    ("AUPR-Out", "higher", lambda one: one.aupr_out),
)
SHADES = 8


def board_section(outcome: Outcome) -> Section:
    """The detectors, best mean first."""
    blocks: list[Block] = [_overall(outcome)]
    sets = ood_sets(outcome)
    if len(sets) > 1:
        blocks.append(_by_set(outcome, sets))
    blocks += [
        Fold(f"{short(one.name)} ({one.role} OOD): all numbers, with intervals", (_of_set(outcome, one, i),))
        for i, one in enumerate(sets)
    ]
    blocks.append(Fold("What each detector needs, its fit and its hyper-parameters", (_needs(outcome),)))
    if outcome.not_applicable:
        rows = tuple(Row((one.name, one.why)) for one in outcome.not_applicable)
        table = Table((Column("Detector", "text"), Column("Why", "prose")), rows, "not-applicable")
        blocks.append(Fold(f"Not applicable: {counted(len(rows), 'detector')}, and why", (table,)))
    return Section("board", "All detectors", tuple(blocks))


def _overall(outcome: Outcome) -> Table:
    groups = [
        (group, of)
        for group, of in (("Near", _near), ("Far", _far))
        if any(of(one) is not None for one in outcome.detectors)
    ]
    labelled = any(one.aurc is not None for one in outcome.detectors)
    columns = [
        Column("Detector", "text"),
        Column("Mean AUROC", better="higher"),
        *(Column(f"{group} AUROC", better="higher") for group, _ in groups),
        Column("Cost", better="lower"),
        *([Column("AURC", better="lower")] if labelled else []),
        Column("Against the best", "text"),
        Column("Difference"),
    ]
    rows = []
    for one in outcome.detectors:
        cells: list[Content] = [_name(one, outcome), estimate(one.mean)]
        cells += [estimate(of(one)) for _, of in groups]
        cells.append(Number(one.cost, percent=False, digits=2))
        if labelled:
            cells.append(None if one.aurc is None else Number(one.aurc))
        rows.append(Row((*cells, *_against(one))))
    about: Text = (
        "AUROC ×100: 50 is guessing, 100 is perfect. Cost is in forward passes of the classifier. ",
        *(
            ["AURC ×100 is the area under the errors of the kept ID test images over coverage. "]
            if labelled
            else []
        ),
        "In brackets: 95 % intervals.",
    )
    aside = (
        "Against the best: the difference of mean AUROC is tested on the same images (DeLong), Holm-adjusted "
        "over all detectors. Not told apart is not the same as equal."
    )
    return Table(tuple(columns), tuple(rows), "all-detectors", about=about, aside=aside, sortable=True)


def _near(one: DetectorOutcome) -> Interval | None:
    return one.near


def _far(one: DetectorOutcome) -> Interval | None:
    return one.far


def _name(one: DetectorOutcome, outcome: Outcome) -> Noted:
    chosen = one.name == outcome.recommended.name
    name: Text = (strong(one.name), soft(" recommended")) if chosen else (one.name,)
    return Noted(name, short(one.title, 100))


def _against(one: DetectorOutcome) -> tuple[Content, Content]:
    against = one.against_best
    if against.verdict == "best":
        return "the best", None
    told = "worse" if against.verdict == "worse" else "not told apart"
    return f"{told} (p {p_value(against.p_holm)})", estimate(against.difference, signed=True)


def _by_set(outcome: Outcome, sets: tuple[SetCard, ...]) -> Table:
    numbers = [
        one.sets[of.name].auroc.value for one in outcome.detectors for of in sets if of.name in one.sets
    ]
    low, high = min(numbers), max(numbers)

    def cell(found: Detected | None) -> Number | None:
        if found is None:
            return None
        number = found.auroc.value
        return Number(number, shade=int((SHADES - 1) * (number - low) / (high - low or 1) + 0.5))

    columns = (
        Column("Detector", "text"),
        *(Column(f"{short(one.name)} ({one.role})", better="higher") for one in sets),
    )
    rows = tuple(Row((one.name, *(cell(one.sets.get(of.name)) for of in sets))) for one in outcome.detectors)
    return Table(
        columns,
        rows,
        "by-set",
        "Set by set",
        "AUROC ×100; the stronger the colour, the higher.",
        sortable=True,
    )


def _of_set(outcome: Outcome, of: SetCard, i: int) -> Table:
    columns = (
        Column("Detector", "text"),
        *(Column(title, better=better) for title, better, _ in DETECTED),
    )
    there = [(one, one.sets[of.name]) for one in outcome.detectors if of.name in one.sets]
    there.sort(key=lambda pair: -pair[1].auroc.value)
    rows = tuple(
        Row((one.name, *(estimate(number(found)) for _, _, number in DETECTED))) for one, found in there
    )
    about = (
        f"{counted(of.n, 'image')}. Shares ×100, ID is the positive class; FPR@95 is the share of OOD images "
        "let through where 95 % of the ID test images are kept."
    )
    return Table(columns, rows, f"set-{i + 1}", about=about, sortable=True)


def _needs(outcome: Outcome) -> Table:
    columns = (
        Column("Detector", "text"),
        Column("Needs", "text"),
        Column("Fit (s)", better="lower"),
        Column("Hyper-parameters", "prose"),
    )
    rows = tuple(
        Row(
            (
                one.name,
                ", ".join(need.replace("_", " ") for need in one.needs) or None,
                Number(one.fit_seconds, percent=False, digits=1),
                settings_of(one.hyperparameters) or None,
            )
        )
        for one in outcome.detectors
    )
    return Table(columns, rows, "needs")


def settings_of(values: Mapping[str, Any]) -> str:
    """Hyper-parameters in one line."""
    return ", ".join(f"{name} {_value(values[name])}" for name in sorted(values))


def _value(value: Any) -> str:
    if isinstance(value, bool | str) or value is None:
        return str(value)
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value, sort_keys=True)

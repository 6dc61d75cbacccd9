"""The answer in one sentence, why it is that one, and what other thresholds would keep and let through."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.evaluation.outcome import Interval, Outcome, Threshold
from benchmark.studies.detection.measurement import GROUPS, Group
from reports.evaluation.words import (
    best_of,
    ends,
    estimate,
    listed,
    mean_of,
    ood_sets,
    score,
    share,
    short,
    wanted,
)
from reports.site.cells import Content
from reports.site.numbers import fixed
from reports.site.sections import Block, Bullets, Column, Paragraph, Row, Section, Table
from reports.site.text import Piece, Text, code, strong


def answer(outcome: Outcome) -> tuple[Piece, ...]:
    """Which detector, at which threshold, and what that does, in one sentence."""
    best, cut = best_of(outcome), outcome.thresholds[0]
    aurocs = ((group, one) for group, one in (("near", best.near), ("far", best.far)) if one is not None)
    passed = listed(said for group in GROUPS if (said := _passed(outcome, cut, group)))
    reached = ", ".join(f"{fixed(one.value, digits=1)} ({ends(one)}) {group}" for group, one in aurocs)
    return (
        "Use ",
        strong(best.name),
        " at ",
        strong(score(cut.threshold)),
        f": it keeps {share(cut.kept.value)} ({ends(cut.kept)}) of the ID test images, lets {passed} OOD "
        f"images through; AUROC {reached}; it costs {fixed(best.cost, percent=False, digits=2)} forward "
        "passes.",
    )


def _passed(outcome: Outcome, cut: Threshold, group: Group) -> str:
    """What a group's images do, with the interval of a set, or the range of several sets."""
    of_group = {one.name: cut.passed[one.name] for one in ood_sets(outcome) if one.role == group}
    if not of_group:
        return ""
    found = list(of_group.values())
    if len(found) == 1:
        return f"{share(found[0].value)} ({ends(found[0])}) of the {group}"
    low, high = min(one.value for one in found), max(one.value for one in found)
    between = f"{fixed(low, digits=1)} to {fixed(high, digits=1)} by set"
    return f"{share(mean_of(found))} ({between}) of the {group}"


def answer_section(outcome: Outcome) -> Section:
    """Why this detector, and what else there was to take."""
    chosen = outcome.recommended
    budget = f"{chosen.budget:g} forward pass{'es' * (chosen.budget != 1)}"
    items: list[Text] = [
        (strong("Why:"), " ", chosen.why),
        (strong("Rule:"), " ", f"{chosen.rule.rstrip('.')}. The budget was {budget}."),
    ]
    ties = [name for name in chosen.ties if name != chosen.name]
    if ties:
        items.append(
            (strong("Not told apart:"), " ", *_names(ties), " within the budget; any of them would do.")
        )
    leader = outcome.detectors[0]
    if leader.name != chosen.name:
        items.append(
            (
                strong("Highest mean AUROC, whatever the cost:"),
                " ",
                code(leader.name),
                f", {share(leader.mean.value)} ({ends(leader.mean)}) at "
                f"{fixed(leader.cost, percent=False, digits=2)} forward passes.",
            )
        )
    items += _classifier(outcome)
    return Section("answer", "Why this one", (Bullets(tuple(items)),), short="Why")


def _names(names: list[str]) -> Iterator[Piece]:
    for i, name in enumerate(names):
        yield from ((", ", code(name)) if i else (code(name),))


def _classifier(outcome: Outcome) -> Iterator[Text]:
    found = outcome.classified
    if found is None:
        yield (
            strong("The classifier:"),
            " ",
            "the ID test images have no labels, so nothing is said of its accuracy, its calibration and the "
            "errors among the images that are kept.",
        )
        return
    kept = outcome.thresholds[0].accuracy_kept
    among = "" if kept is None else f"; {share(kept.value)} ({ends(kept)}) of those that are kept"
    yield (
        strong("The classifier:"),
        " ",
        f"{share(found.accuracy.value)} ({ends(found.accuracy)}) of the ID test images get their "
        f"class{among}.",
    )


def threshold_section(outcome: Outcome) -> Section:
    """What is kept and let through at several thresholds."""
    sets, labelled = ood_sets(outcome), any(one.accuracy_kept for one in outcome.thresholds)
    columns = [
        Column("Wanted", "text"),
        Column("Threshold"),
        Column("ID test images kept", better="higher"),
        *(Column(f"{short(one.name)} ({one.role}) let through", better="lower") for one in sets),
        *([Column("Accuracy of kept ID images", better="higher")] if labelled else []),
    ]
    rows = []
    for i, cut in enumerate(outcome.thresholds):
        name = f"{wanted(cut.keep)} kept"
        cells: list[Content] = [(strong(name),) if i == 0 else name, score(cut.threshold)]
        through: list[Interval | None] = [cut.kept, *(cut.passed.get(one.name) for one in sets)]
        if labelled:
            through.append(cut.accuracy_kept)
        rows.append(Row((*cells, *map(estimate, through)), parted=i == 1))
    n = outcome.thresholds[0].n_val
    about = (
        f"An image is accepted where its score by {outcome.recommended.name} is at least the threshold. "
        f"Thresholds are from {n:,} ID validation images, what they do is measured on images that played no "
        "part in them. Shares ×100, with 95 % intervals."
    )
    blocks: tuple[Block, ...] = (
        Table(tuple(columns), tuple(rows), about=about),
        Paragraph(
            "The share that is kept differs from the wanted one by chance, and because of ties: no threshold "
            "parts images of equal scores.",
            small=True,
        ),
    )
    return Section("thresholds", "Thresholds", blocks)

"""ID test images under corruptions: a table of each measure, kinds by severity."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from benchmark.evaluation.outcome import Corrupted, Outcome
from reports.site.cells import Content, Number
from reports.site.sections import Block, Column, Gallery, Paragraph, Plot, Row, Section, Table

MEASURES = {
    "kept": "Kept at the threshold",
    "accuracy": "Accuracy",
    "auroc": "AUROC against OOD images",
}
SHADES = 8


def corruption_section(outcome: Outcome, plots: Sequence[Plot]) -> Section | None:
    """What corruptions do to the classifier and to the recommended detector."""
    found = outcome.corrupted
    if not found:
        return None
    name = outcome.recommended.name
    group = "near" if any(one.role == "near" for one in outcome.sets) else "far"
    kinds = len({one.kind for one in found})
    about = (
        f"The ID test images under {kinds} kinds of corruption, at severities from 1 (weak) to 5 (strong). "
        f"Kept is the share that {name} still takes for ID; AUROC is of corrupted ID images against {group} "
        "OOD images that are not corrupted. Where fewer are kept while the accuracy stays, the detector "
        "rejects images that the classifier could have classified; where many are kept while it falls, it "
        "does not notice."
    )
    blocks: list[Block] = [Paragraph(about), Gallery(tuple(plots))]
    blocks += [
        _table(found, field) for field in MEASURES if any(getattr(one, field) is not None for one in found)
    ]
    return Section("corrupted", "Under corruptions", tuple(blocks), short="Corruptions")


def levels(found: Sequence[Corrupted]) -> list[int]:
    """The severities that there are, ascending."""
    return sorted({one.severity for one in found})


def mean_at(found: Sequence[Corrupted], field: str, severity: int) -> float | None:
    """Mean of a measure over all kinds at a severity; None where nothing is measured."""
    values = [getattr(one, field) for one in found if one.severity == severity]
    there = [value for value in values if value is not None]
    return fmean(there) if there else None


def _table(found: Sequence[Corrupted], field: str) -> Table:
    severities = levels(found)
    numbers = {(one.kind, one.severity): getattr(one, field) for one in found}
    there = [number for number in numbers.values() if number is not None]
    low, high = min(there), max(there)
    columns = (
        Column("Corruption", "text"),
        *(Column(f"Severity {at}", better="higher") for at in severities),
    )
    rows = [
        Row((kind.replace("_", " "), *(_cell(numbers.get((kind, at)), low, high) for at in severities)))
        for kind in dict.fromkeys(one.kind for one in found)
    ]
    means: list[Content] = [_cell(mean_at(found, field, at), low, high) for at in severities]
    rows.append(Row(("mean", *means), parted=True))
    return Table(columns, tuple(rows), f"corrupted-{field}", MEASURES[field], "Shares ×100.")


def _cell(number: float | None, low: float, high: float) -> Number | None:
    if number is None:
        return None
    shade = int((SHADES - 1) * (number - low) / (high - low) + 0.5) if high > low else 0
    return Number(number, digits=1, shade=shade)

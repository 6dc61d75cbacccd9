"""Numbers of the study `adversarial`: a record's own, and what claims ask of several of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from benchmark.records.comparison import Metric
from benchmark.records.record import Record
from benchmark.studies.adversarial.settings import Adversarial
from reports.studies.numbers import AgainstScratch, Numbers, Row, StudyNumbers, own_numbers


def _derived(row: Row[Adversarial]) -> Numbers:
    return adversarial_numbers(row.records[""], row.study)


def adversarial_numbers(record: Record, study: Adversarial) -> Numbers:
    """The record's own, and what claims ask of several of them at once.

    ``fsr.gain`` is what recalibration adds to the accuracy of the non-robust part. ``half.excess`` is the
    worst case less half of the accuracy under `study.curves`: its difference between two networks is
    positive where the gain of the worst case is more than half of the other; where there is no gain under
    `study.curves`, that says nothing. ``black_box.excess`` is the lowest accuracy of the attacks without
    gradients, transfer among them, less the lowest of the others, and ``loss.least_rise``
    the smallest rise of the loss from one number of steps to the next.
    """
    numbers = own_numbers(record)
    if {"fsr.recalibrated.accuracy", "fsr.negative.accuracy"} <= numbers.keys():
        numbers["fsr.gain"] = numbers["fsr.recalibrated.accuracy"] - numbers["fsr.negative.accuracy"]
    if "worst.accuracy" in numbers:
        numbers["half.excess"] = numbers["worst.accuracy"] - numbers[f"{study.curves}.accuracy"] / 2
    if {"black_box.accuracy", "white_box.accuracy"} <= numbers.keys():
        numbers["black_box.excess"] = numbers["black_box.accuracy"] - numbers["white_box.accuracy"]
    losses = record.series.get("loss_by_steps", [])
    if len(losses) > 1:
        numbers["loss.least_rise"] = min(b - a for a, b in pairwise(losses))
    return numbers, {}


def attacks_sentence(study: Adversarial) -> str:
    """The attacks with what leaderboard.yaml gives them, and on how many images."""
    named = []
    for name, use in study.attacks.items():
        given = ", ".join(f"{key} = {value}" for key, value in use.hyperparameters.items())
        named.append(f"{name} ({given})" if given else name)
    return (
        f"{study.images_per_class} images of each class; {', '.join(named)}; published settings where "
        "nothing is said. Longer searches, such as AutoAttack's, find more errors: the accuracies are upper "
        "bounds"
    )


def _told(track: str, study: Adversarial) -> str:
    return f"Attacks on {track}: {attacks_sentence(study)}"


def _against_scratch(study: Adversarial, plain: str | None) -> Sequence[AgainstScratch]:
    """Of the plain networks, and of the first ones that are trained otherwise."""
    rows = plain, next((row for row in study.rows if row != plain), None)
    metric, title = f"{study.curves}.accuracy", f"Adversarial accuracy ({study.curves})"
    return [
        AgainstScratch(f"adversarial {row}", metric, title, row, "higher") for row in rows if row is not None
    ]


NUMBERS = StudyNumbers(
    {
        "Clean\nacc.": Metric("clean.accuracy", "Clean accuracy"),
        "Robust\nacc.": Metric("worst.accuracy", "Robust accuracy"),
    },
    _derived,
    _against_scratch,
    _told,
)

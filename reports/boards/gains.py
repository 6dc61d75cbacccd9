"""The measures in which pre-training is compared with scratch over all studies, and its relative gains.

One number a measure, of networks that nothing else was done to; under attack also of defended ones. This
module must not know which records count or how anything is shown. Source: spec/claims.md C-F16.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from benchmark.records.record import Cell, Record
from benchmark.spec.leaderboard import Column, Spec
from benchmark.spec.networks import Scratch
from reports.claims.register import PRETRAINING, SUMMARY
from reports.studies.numbers import numbers_of
from reports.studies.select import PLAIN, Studied, plain_row

SUMMED = ("label_noise", "imbalance")  # the studies of which C-F16 takes the errors
SOFTMAX = "msp"  # the detector by which networks are compared
RMS = "classification.calibration.rms_calibration"


class Numbered(Protocol):
    """What was measured of a cell."""

    @property
    def numbers(self) -> Mapping[str, float]:
        """By metric path."""


@dataclass(frozen=True)
class Measure:
    """A number, and whose it is."""

    name: str
    column: Column
    study: str | None  # None: of OOD detection
    row: str  # of the study, or an entry
    kind: str  # of what: measures of one kind have one scale


def measures(spec: Spec, name: str) -> Iterator[Measure]:
    """The measures that a track has, in the order in which they are shown."""
    track = spec.tracks[name]
    softmax = next(
        (
            entry
            for entry in track.all_entries
            if spec.entries[entry].detector == SOFTMAX
            and spec.entries[entry].objective == PLAIN
            and spec.entries[entry].tune is None
        ),
        None,
    )
    if softmax is not None:
        yield _measure("accuracy", "classification.accuracy", "Accuracy", "higher", softmax, "Accuracy")
    for study, settings in track.studies.chosen(full=True).items():
        for one in numbers_of(study).against_scratch(settings, plain_row(spec, settings)):
            kind = study.replace("_", " ").capitalize()
            yield _measure(one.name, one.metric, one.title, one.better, one.row, kind, study)
    if softmax is not None:
        yield _measure("near", "unseen.near.auroc", "Near AUROC", "higher", softmax, "OOD detection")
        yield _measure("far", "unseen.far.auroc", "Far AUROC", "higher", softmax, "OOD detection")
        yield _measure("calibration", RMS, "RMS calibration error", "lower", softmax, "Calibration")


def _measure(
    name: str, metric: str, title: str, better: str, row: str, kind: str, study: str | None = None
) -> Measure:
    column = Column.model_validate({"metric": metric, "title": title, "better": better})
    return Measure(name, column, study, row, kind)


def inits_of_track(spec: Spec, name: str) -> list[str]:
    """Every init of a track and of its studies, in the order of leaderboard.yaml."""
    used = set(spec.tracks[name].all_inits)
    return [init for init in (*spec.inits, *spec.tracks[name].networks) if init in used]


def scratch_of(spec: Spec, name: str) -> str | None:
    """The init without pre-training of a track."""
    return next((i for i in inits_of_track(spec, name) if isinstance(spec.inits.get(i), Scratch)), None)


def relative_gains(
    spec: Spec, detection: Mapping[Cell, Numbered], studied: Mapping[str, Mapping[Cell, Studied]]
) -> dict[Cell, Studied]:
    """What each pre-trained init gains in a seed, as shares of what scratch has: of errors, or of the AUROC.

    ``label_noise``, ``imbalance``, ``detection`` (near and far), ``calibration`` and ``accuracy`` (of the
    error), and ``excess``: the mean of the first four less the last one. Only seeds that have all five.
    """
    found: dict[Cell, Studied] = {}
    for name, track in spec.tracks.items():
        scratch, of = scratch_of(spec, name), {m.name: m for m in measures(spec, name)}
        if scratch is None or not {"accuracy", *SUMMED} <= of.keys():
            continue
        for backbone in track.backbones:
            for init in inits_of_track(spec, name):
                for seed in track.seeds if init != scratch else ():
                    cell = Cell(name, backbone, init, seed, PRETRAINING)
                    ours = _numbers_at(of, cell, detection, studied)
                    base = _numbers_at(of, cell._replace(init=scratch), detection, studied)
                    numbers = _relative(ours, base)
                    if numbers is not None:
                        records = dict(_records(of, cell, studied))
                        found[cell] = Studied(SUMMARY, cell, records, numbers)
    return found


def _records(
    of: Mapping[str, Measure], cell: Cell, studied: Mapping[str, Mapping[Cell, Studied]]
) -> Iterator[tuple[str, Record]]:
    """The study records that the gains rest on, for what they say of the training."""
    for study in SUMMED:
        there = studied[study][cell._replace(entry=of[study].row)].records
        yield from ((f"{study} {condition}", record) for condition, record in there.items())


def _numbers_at(
    of: Mapping[str, Measure],
    cell: Cell,
    detection: Mapping[Cell, Numbered],
    studied: Mapping[str, Mapping[Cell, Studied]],
) -> dict[str, float]:
    """The measures of one init and seed, as far as there are any."""
    numbers = {}
    for name, measure in of.items():
        at = cell._replace(entry=measure.row)
        item: Numbered | None = (
            detection.get(at) if measure.study is None else studied.get(measure.study, {}).get(at)
        )
        if item is not None and measure.column.metric in item.numbers:
            numbers[name] = item.numbers[measure.column.metric]
    return numbers


def _relative(ours: Mapping[str, float], base: Mapping[str, float]) -> dict[str, float] | None:
    """The gains of one seed; None if any of them cannot be had."""
    needed = {"accuracy", *SUMMED, "near", "far", "calibration"}
    if not needed <= ours.keys() & base.keys():
        return None
    pairs = {name: (ours[name], base[name]) for name in (*SUMMED, "calibration")}
    pairs["accuracy"] = 1 - ours["accuracy"], 1 - base["accuracy"]
    before = (base["near"] + base["far"]) / 2
    if before == 0 or any(b == 0 for _, b in pairs.values()):
        return None
    gains = {name: (b - a) / b for name, (a, b) in pairs.items()}
    gains["detection"] = (ours["near"] + ours["far"]) / 2 / before - 1
    robust = (*SUMMED, "detection", "calibration")
    return {**gains, "excess": sum(gains[name] for name in robust) / len(robust) - gains["accuracy"]}

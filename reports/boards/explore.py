"""Everything that was measured of a track's entries, for a board whose columns and rows the reader chooses.

A row is an entry and an init, on one backbone or averaged over all of them. This module must not know how a
board is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmark.datasets.seen import seen_by_any
from benchmark.records.record import Cell
from benchmark.spec.leaderboard import Board, Column, Entry, Spec
from reports.boards.places import Place, places
from reports.boards.tables import ON_OTHERS, Row, noted, row_of, samples_of, seen_notes
from reports.costs import FORWARDS, MEMORY, MS
from reports.select import Counted, Found

DETECTED = (
    ("auroc", "AUROC", "higher"),
    ("fpr95", "FPR@95", "lower"),
    ("aupr_in", "AUPR-In", "higher"),
    ("aupr_out", "AUPR-Out", "higher"),
)
CALIBRATION = (("nll", "NLL", False), ("ece", "ECE", True), ("rms_calibration", "RMS", True))
RANKED_BY = "near.auroc"
COST = "Cost"  # the group of what depends on the machine
SHOWN = (RANKED_BY, "far.auroc", "near.fpr95", "far.fpr95", "classification.accuracy", FORWARDS)


@dataclass(frozen=True)
class Measure:
    """A column, and the group that it stands in."""

    group: str
    column: Column


@dataclass(frozen=True)
class Line:
    """A row: an entry and an init."""

    entry: str
    init: str
    row: Row
    tuned: bool
    place: Place | None  # among all rows with published values, or with tuned ones
    within: Place | None  # among those of its init


@dataclass(frozen=True)
class Explored:
    """A track's entries on one backbone, or averaged over all of them."""

    track: str
    backbone: str | None  # None: the mean over all of the track's
    measures: tuple[Measure, ...]
    lines: tuple[Line, ...]  # those with published values first, each group in the order of its places
    seeds: tuple[int, ...]
    notes: tuple[str, ...]
    backbones: tuple[str, ...] = ()  # of the networks

    @property
    def inits(self) -> tuple[str, ...]:
        """In the order of the leaderboard."""
        return tuple(dict.fromkeys(line.init for line in self.lines))


def explore(spec: Spec, counted: Counted, name: str) -> list[Explored]:
    """The boards of a track: averaged over the backbones that have records, and of each of them."""
    cells = counted.of_track(name)
    measures = _measures(spec, name, cells)
    used = {cell.backbone for cell in cells}
    backbones = [backbone for backbone in spec.tracks[name].backbones if backbone in used]
    if not measures:
        return []
    shown = [None, *backbones] if len(backbones) > 1 else backbones
    return [_explored(spec, name, cells, measures, backbone) for backbone in shown]


def _explored(
    spec: Spec, name: str, cells: Mapping[Cell, Found], measures: Sequence[Measure], backbone: str | None
) -> Explored:
    columns = [measure.column for measure in measures]
    board = Board.model_validate(
        {"title": name, "track": name, "rows": ["entry", "init"], "columns": columns, "rank_by": RANKED_BY}
    )
    lines: list[Line] = []
    notes: dict[str, None] = {}
    ours = {cell: found for cell, found in cells.items() if backbone in (None, cell.backbone)}
    seeds = tuple(sorted({cell.seed for cell in ours}))
    for tuned in (False, True):
        part = {cell: f for cell, f in ours.items() if is_tuned(spec.entries[cell.entry]) == tuned}
        samples, told = samples_of(name, board, part)
        placed, more = places(samples, 0, higher=columns[0].better == "higher")
        within: dict[int, Place] = {}
        for init in dict.fromkeys(sample.labels[1] for sample in samples):
            among = [i for i, sample in enumerate(samples) if sample.labels[1] == init]
            within |= places(samples, 0, higher=columns[0].better == "higher", among=among)[0]
        seen, seen_told = seen_notes(spec, board, part)
        notes |= dict.fromkeys((*told, *more.notes, *seen_told))
        rows = [row_of(sample, len(columns), seeds) for sample in samples]
        for i in more.apart:
            rows[i] = noted(rows[i], ON_OTHERS)
        rows = [noted(row, seen[row.labels]) if row.labels in seen else row for row in rows]
        found = [
            Line(
                entry=sample.labels[0],
                init=sample.labels[1],
                row=rows[i],
                tuned=tuned,
                place=placed.get(i),
                within=within.get(i),
            )
            for i, sample in enumerate(samples)
        ]
        lines += sorted(found, key=_order)
    backbones = tuple(sorted({cell.backbone for cell in ours}))
    return Explored(name, backbone, tuple(measures), tuple(lines), seeds, tuple(notes), backbones)


def is_tuned(entry: Entry) -> bool:
    """Whether its hyper-parameters are chosen on validation OOD sets."""
    return entry.tune is not None


def _order(line: Line) -> tuple[bool, float]:
    interval = line.row.values[0].interval
    return line.place is None, 0.0 if interval is None else -interval.mean


def _measures(spec: Spec, name: str, cells: Mapping[Cell, Found]) -> list[Measure]:
    """The columns that all cells have, but for numbers that older records lack; ranked by the first."""
    there: set[str] = set()
    for found in cells.values():
        there |= found.numbers.keys()
    known = {path for path in there if all(path in f.numbers or path in f.absent for f in cells.values())}
    return [measure for measure in _possible(spec, name) if measure.column.metric in known]


def _possible(spec: Spec, name: str) -> Iterator[Measure]:
    track = spec.tracks[name]
    for group in track.groups:
        yield from _detected(f"{group.capitalize()} OOD", group)
    seen = seen_by_any(spec, name)
    for group, sets in track.groups.items():
        if any(one in seen for one in sets):
            yield from _detected(
                f"{group.capitalize()} OOD, sets that no weights have seen", f"unseen.{group}"
            )
    for group, sets in track.groups.items():
        for one in sets:
            yield from _detected(f"{one} ({group})", f"detection.{one}")
    for group in ("near", "far"):
        yield from _detected(f"{group.capitalize()} OOD, full spectrum", f"full_spectrum.{group}")
    yield _of("ID", "classification.accuracy", "accuracy", "higher")
    yield _of("ID", "selective.aurc", "AURC", "lower")
    for suffix, at in (("", "T = 1"), ("_scaled", "T*")):
        for what, title, percent in CALIBRATION:
            yield _of(
                f"Calibration at {at}", f"classification.calibration{suffix}.{what}", title, "lower", percent
            )
    yield _of("Under shift", "robustness.accuracy", "accuracy", "higher")
    yield _of("Under shift", "robustness.ece", "ECE", "lower")
    yield _of("Under shift", "robustness.auroc_near", "Near AUROC", "higher")
    yield _of(COST, FORWARDS, "forward passes", "lower", False)
    yield _of(COST, MS, "ms an image", "lower", False)
    yield _of(COST, MEMORY, "memory, MB", "lower", False)


def _detected(group: str, path: str) -> Iterator[Measure]:
    for what, title, better in DETECTED:
        yield _of(group, f"{path}.{what}", title, better)


def _of(group: str, metric: str, title: str, better: str, percent: bool = True) -> Measure:
    column = {"metric": metric, "title": title, "better": better, "percent": percent}
    return Measure(group, Column.model_validate(column))

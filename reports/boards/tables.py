"""A board as a table of typed rows: mean, interval and position of each row, and what is missing from it.

Within each seed a row is averaged over the levels that the board does not list (backbones, say); intervals
and positions are over seeds. This module must not know how a table is printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from statistics import fmean

import numpy as np

from benchmark.datasets.seen import seen_by
from benchmark.metrics.statistics import Interval, mean_intervals
from benchmark.records.network_places import NetworkPlace
from benchmark.records.record import Cell
from benchmark.spec.leaderboard import Board, Column, Level, Spec
from benchmark.verify.ledger import Verification
from reports.boards.places import Place, Samples, places
from reports.boards.verified import Verified, verified_of
from reports.select import Counted, Found
from reports.studies.select import Studied

LEVELS: tuple[Level, ...] = ("entry", "backbone", "init")
ON_OTHERS = "on other networks, not paired"
TOGETHER = "transductive: scores depend on the images that are scored together"


@dataclass(frozen=True)
class Value:
    """One cell of a table, in the metric's own unit."""

    interval: Interval | None  # over seeds, with NaN bounds for a single one; None where a record lacks it
    best: bool = False  # has a place, and is not significantly worse than the best of a column that separates


@dataclass(frozen=True)
class Row:
    """One row: what it is, where it stands, and one value a column."""

    labels: tuple[str, ...]  # one for each of the board's row levels
    seeds: tuple[int, ...]
    values: tuple[Value, ...]
    place: Place | None  # None: not comparable with the other rows; `note` says why
    note: str
    verified: Verified = Verified()  # of its records


@dataclass(frozen=True)
class Table:
    """A board with its numbers."""

    name: str
    title: str
    about: str
    tuned: bool  # whether the hyper-parameters were chosen on validation OOD sets
    track: str
    levels: tuple[Level, ...]
    columns: tuple[Column, ...]
    ranked_by: Column
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]  # all that any row has
    notes: tuple[str, ...]
    backbones: tuple[str, ...] = ()  # of the networks


def board_tables(name: str, spec: Spec, counted: Counted) -> list[Table]:
    """Compute the tables of board `name`: published values, and tuned ones in a ranking of their own."""
    board, track = spec.boards[name], spec.tracks[spec.boards[name].track]
    if board.study is not None:
        return [board_table(name, spec, counted)]
    entries = board.entries or track.entries
    protocols = {spec.entries[entry].tune is not None for entry in entries}
    return [board_table(name, spec, counted, tuned=tuned) for tuned in sorted(protocols)]


def board_table(name: str, spec: Spec, counted: Counted, *, tuned: bool = False) -> Table:
    """Compute one table of board `name`: of the entries that are tuned, or of the others.

    Rows stand in the order of their means, each with the confidence set of its rank, by two-sided paired
    tests over the seeds that all comparable rows share. Rows that stand on different networks of one place
    are tested against each other unpaired. A row that lacks part of what the others average
    over, has a single seed, or is of ensembles (one of which takes several seeds), is shown without a place,
    and one of records that lack the number by which rows are placed; it has no value in the columns that they
    lack. Only rows with a place are marked as the best of a column.

    Raises
    ------
    DataError
        If a column names a metric that a record does not have.
    """
    board = spec.boards[name]
    cells, lacking = _cells_of(board, spec, counted, tuned=tuned)
    samples, notes = samples_of(name, board, cells)
    notes += lacking
    seeds = tuple(sorted({cell.seed for cell in cells}))
    rows = [row_of(sample, len(board.columns), seeds) for sample in samples]
    ranked_by = next(column for column in board.columns if column.metric == board.rank_by)
    position = board.columns.index(ranked_by)
    placed, told = places(samples, position, higher=ranked_by.better == "higher")
    rows = [replace(row, place=placed.get(i)) for i, row in enumerate(rows)]
    notes += told.notes
    for i in told.apart:
        rows[i] = noted(rows[i], ON_OTHERS)
    for c, column in enumerate(board.columns):
        of_column, _ = places(samples, c, higher=column.better == "higher", among=placed)
        separates = any(not place.leads for place in of_column.values())
        for i, place in of_column.items():
            rows[i] = _marked(rows[i], c, best=place.leads and separates)
    if rows and not any(sample.has(position) for sample in samples):
        notes.append(f"Not ranked: no row has {ranked_by.title}.")
    notes += _lacking(samples, cells, board)
    seen, seen_told = seen_notes(spec, board, cells)
    notes += seen_told
    rows = [noted(row, seen[row.labels]) if row.labels in seen else row for row in rows]
    rows.sort(key=lambda row: (row.place is None, *_order(row.values[position], ranked_by)))
    return Table(
        name=name,
        title=f"{board.title}: tuned" if tuned else board.title,
        about=board.about,
        tuned=tuned,
        track=board.track,
        levels=tuple(board.rows),
        columns=tuple(board.columns),
        ranked_by=ranked_by,
        rows=tuple(rows),
        seeds=seeds,
        notes=tuple(notes),
        backbones=tuple(sorted({cell.backbone for cell in cells})),
    )


def _order(value: Value, column: Column) -> tuple[bool, float]:
    """Where a row stands by what it has in a column: the best first, those without last."""
    if value.interval is None:
        return True, 0.0
    return False, -value.interval.mean if column.better == "higher" else value.interval.mean


def _lacking(samples: Sequence[Samples], cells: Mapping[Cell, Found], board: Board) -> list[str]:
    """A note on rows that show nothing in a column, and why."""
    rows = [sample for sample in samples if not all(sample.has(c) for c in range(len(board.columns)))]
    if not rows:
        return []
    reasons = {_absent(found, column.metric): None for found in cells.values() for column in board.columns}
    told = "; ".join(reason for reason in reasons if reason is not None)
    return [f"– in {len(rows)} of {len(samples)} rows: {told}."]


def _absent(found: Found, metric: str) -> str | None:
    """Why a record lacks a number that others may have; None if it has it, or none ever could."""
    return None if metric in found.numbers else found.absent.get(metric)


def seen_notes(
    spec: Spec, board: Board, cells: Iterable[Cell]
) -> tuple[dict[tuple[str, ...], str], list[str]]:
    """By row, what its networks' first weights had seen of the track, and a note that says what that means.

    Rows whose weights had seen nothing are absent.
    """
    found: dict[tuple[str, ...], dict[str, None]] = {}
    texts: dict[str, None] = {}
    for cell in cells:
        seen = seen_by(spec, board.track, cell.backbone, cell.init)
        sets = [n for n in seen.sets if any(_shows(column, n, spec, board) for column in board.columns)]
        labels = tuple(str(getattr(cell, level)) for level in board.rows)
        of_id = ["ID classes"] if seen.classes else []
        found.setdefault(labels, {}).update(dict.fromkeys([*sets, *of_id]))
        texts.update(dict.fromkeys(seen.classes))
    told = {labels: f"saw {', '.join(what)}" for labels, what in found.items() if what}
    classes = f"; ID classes: {', '.join(texts)}" if texts else ""
    note = "Saw: the first weights were trained on images of that OOD set, or of classes of the ID set"
    return told, [f"{note}{classes}."] if told else []


def _shows(column: Column, name: str, spec: Spec, board: Board) -> bool:
    """Whether a number of a board is of an OOD set, alone or with others."""
    track, path = spec.tracks[board.track], column.metric.split(".")
    group = next((group for group, sets in track.groups.items() if name in sets), "test")
    return name in path or (group in path and "unseen" not in path)


def noted(row: Row, note: str) -> Row:
    """A row with one more remark."""
    return replace(row, note=f"{row.note}; {note}" if row.note else note)


def ranking_numbers(
    name: str, spec: Spec, counted: Counted, *, tuned: bool = False
) -> dict[tuple[str, ...], dict[int, float]]:
    """What a table ranks by: by row and seed, averaged over what is not a row; only seeds that have it.

    Raises
    ------
    DataError
        If a column names a metric that a record does not have.
    """
    board = spec.boards[name]
    cells, _ = _cells_of(board, spec, counted, tuned=tuned)
    samples, _ = samples_of(name, board, cells)
    position = [column.metric for column in board.columns].index(board.rank_by)
    return {
        sample.labels: {
            seed: numbers[position]
            for seed, numbers in sorted(sample.by_seed.items())
            if not isnan(numbers[position])
        }
        for sample in samples
    }


def _cells_of(
    board: Board, spec: Spec, counted: Counted, *, tuned: bool
) -> tuple[Mapping[Cell, Found], list[str]]:
    """The cells of a table, and notes on those of a study that lack a number."""
    track = spec.tracks[board.track]
    cells = {
        cell: found
        for cell, found in counted.of_study(board.study).items()
        if cell.track == board.track
        and (board.entries is None or cell.entry in board.entries)
        and (board.backbones is None or cell.backbone in board.backbones)
        and (board.inits is None or cell.init in board.inits)
    }
    if board.study is not None:
        return _complete(board, cells)
    entries = board.entries or track.entries
    return {
        cell: found
        for cell, found in cells.items()
        if cell.entry in entries and (spec.entries[cell.entry].tune is not None) == tuned
    }, []


def _complete(board: Board, cells: Mapping[Cell, Found]) -> tuple[Mapping[Cell, Found], list[str]]:
    """Cells with all numbers of a board, but for numbers that no cell could have; they are errors."""
    studied = {cell: found for cell, found in cells.items() if isinstance(found, Studied)}
    known = {name for found in studied.values() for name in (*found.numbers, *found.absent)}
    wanted = [column.metric for column in board.columns if column.metric in known]
    kept: dict[Cell, Found] = {}
    lacking: dict[tuple[str, str], list[int]] = {}
    for cell, found in studied.items():
        absent = [name for name in wanted if name not in found.numbers]
        if absent:
            row = " · ".join((cell.entry, cell.backbone, cell.init))
            reason = found.absent.get(absent[0], "not measured")
            lacking.setdefault((row, f"no {absent[0]} ({reason})"), []).append(cell.seed)
        else:
            kept[cell] = found
    return kept, [
        f"{row} is left out in seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}: {reason}."
        for (row, reason), seeds in lacking.items()
    ]


def samples_of(name: str, board: Board, cells: Mapping[Cell, Found]) -> tuple[list[Samples], list[str]]:
    """Average within each seed over what is not a row; a seed counts where all of that was measured."""
    varying = [level for level in LEVELS if len({getattr(cell, level) for cell in cells}) > 1]
    averaged = [level for level in varying if level not in board.rows]
    groups: dict[tuple[str, ...], dict[int, dict[tuple[str, ...], list[float]]]] = {}
    networks: dict[tuple[str, ...], int] = {}
    stands: dict[tuple[str, ...], dict[NetworkPlace, set[str]]] = {}
    stood: dict[tuple[str, ...], list[Verification | None]] = {}
    together: set[tuple[str, ...]] = set()
    for cell, found in cells.items():
        labels = tuple(str(getattr(cell, level)) for level in board.rows)
        rest = tuple(str(getattr(cell, level)) for level in averaged)
        numbers = [
            nan
            if _absent(found, column.metric)
            else found.number(column.metric, f"board {name!r}, column {column.title!r}")
            for column in board.columns
        ]
        networks[labels] = max(found.networks, networks.get(labels, 1))
        stood.setdefault(labels, []).extend(found.verifications)
        together |= {labels} if found.transductive else set()
        for place, weights in found.stands.items():
            stands.setdefault(labels, {}).setdefault(place, set()).add(weights)
        groups.setdefault(labels, {}).setdefault(cell.seed, {})[rest] = numbers
    everything = {rest for group in groups.values() for parts in group.values() for rest in parts}
    samples, notes = [], []
    for labels, group in groups.items():
        covered = {rest for parts in group.values() for rest in parts}
        by_seed = {
            seed: [fmean(column) for column in zip(*(parts[rest] for rest in sorted(covered)), strict=True)]
            for seed, parts in group.items()
            if set(parts) == covered
        }
        absent = ", ".join(" ".join(rest) for rest in sorted(everything - covered))
        note = f"without {absent}, hence without a position" if absent else ""
        if networks[labels] > 1:
            of = f"ensembles of {networks[labels]} networks"
            note = f"{of}, not paired with single ones, hence without a position"
        if labels in together:
            note = f"{TOGETHER}, hence without a position"
        if by_seed:
            of_row = stands.get(labels, {})
            verified = verified_of(stood[labels])
            counts = (networks[labels], not absent, of_row, verified, labels in together)
            samples.append(Samples(labels, by_seed, note, *counts))
        else:
            over = ", ".join(" ".join(rest) for rest in sorted(covered))
            notes.append(f"{' · '.join(labels)} is left out: no seed was measured on all of {over}.")
    return samples, notes


def row_of(sample: Samples, columns: int, seeds: Sequence[int]) -> Row:
    """A row with its means and intervals; it has no place yet."""
    missing = [str(seed) for seed in seeds if seed not in sample.by_seed and sample.networks == 1]
    without = f"without seed{'s' if len(missing) > 1 else ''} {', '.join(missing)}" if missing else ""
    table = np.array([numbers[:columns] for _, numbers in sorted(sample.by_seed.items())]).T  # (columns, S)
    there = ~np.isnan(table).any(axis=1)
    intervals = iter(mean_intervals(table[there]))
    return Row(
        labels=sample.labels,
        seeds=tuple(sorted(sample.by_seed)),
        values=tuple(Value(next(intervals) if one else None) for one in there),
        place=None,
        note="; ".join(part for part in (sample.note, without) if part),
        verified=sample.verified,
    )


def _marked(row: Row, column: int, *, best: bool) -> Row:
    """A row with the mark of one column."""
    values = list(row.values)
    values[column] = replace(values[column], best=best)
    return replace(row, values=tuple(values))

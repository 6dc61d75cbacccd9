"""What was measured of entries on each track, as tables and small figures: a row an entry, backbone, init.

All rows of a track are worked out at once. This module must not know which page shows what.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from statistics import fmean

import numpy as np
import scipy
from numpy.typing import NDArray

from benchmark.datasets.seen import Seen, seen_by
from benchmark.records.record import Cell
from benchmark.spec.leaderboard import Spec, Track
from reports.boards.tables import TOGETHER
from reports.boards.verified import Verified, verified_of
from reports.costs import FORWARDS, MS
from reports.plots.figures import file_name
from reports.plots.small import histogram, roc
from reports.select import Counted, Measured
from reports.site.cells import Better, Content, Count, Labels, Noted, Number
from reports.site.sections import Column, Gallery, Plot, Row, Section, Table, notes
from reports.site.text import Text, italic

NEAR, FAR, NEAR_FPR = "near.auroc", "far.auroc", "near.fpr95"
COSTS = ((FORWARDS, "forward passes"), (MS, "ms an image"))
LEVEL = 0.95
MOST_ROWS, KEPT = 100, 48  # of a table; and how many are kept where there are more


@dataclass(frozen=True)
class Line:
    """The records of an entry on a backbone from an init: an item a seed."""

    entry: str
    backbone: str
    init: str
    cells: tuple[Measured, ...]
    means: NDArray[np.float64]  # (M,); NaN where a record lacks the number
    halves: NDArray[np.float64]  # (M,) half the 95 % t interval; NaN with a single seed

    @property
    def networks(self) -> int:
        """Of which each number comes: more than one for ensembles."""
        return max(found.networks for found in self.cells)

    @property
    def verified(self) -> Verified:
        """Of its records."""
        return verified_of(found.verification for found in self.cells)


@dataclass(frozen=True)
class Measure:
    """A column."""

    metric: str
    title: str
    better: Better
    percent: bool = True


@dataclass(frozen=True)
class TrackResults:
    """All rows of a track, in the order of leaderboard.yaml."""

    name: str
    track: Track
    measures: tuple[Measure, ...]
    lines: Mapping[str, tuple[Line, ...]]  # by entry
    seen: Mapping[tuple[str, str], Seen]  # by backbone and init: what the first weights had seen
    seeds: int  # of the row that has most

    def of(self, entries: Collection[str]) -> list[Line]:
        """The rows of some entries."""
        return [line for entry, lines in self.lines.items() if entry in entries for line in lines]

    @property
    def networks(self) -> set[tuple[str, str]]:
        """Backbones and inits of which there are records."""
        return {(line.backbone, line.init) for lines in self.lines.values() for line in lines}

    def near(self, entry: str) -> float | None:
        """Mean near AUROC over all backbones and inits; None where it lacks any, or is of ensembles."""
        lines = self.lines.get(entry, ())
        if {(line.backbone, line.init) for line in lines} != self.networks:
            return None
        mean = fmean(float(line.means[0]) for line in lines)
        return None if isnan(mean) or any(line.networks > 1 for line in lines) else mean


def results_of(spec: Spec, counted: Counted) -> list[TrackResults]:
    """The results of every track that has any."""
    by_track: dict[str, dict[tuple[str, str, str], list[Measured]]] = {}
    for cell, found in counted.measured.items():
        rows = by_track.setdefault(cell.track, {})
        rows.setdefault((cell.entry, cell.backbone, cell.init), []).append(found)
    return [_of_track(spec, name, by_track[name]) for name in spec.tracks if name in by_track]


def _of_track(spec: Spec, name: str, rows: Mapping[tuple[str, str, str], Sequence[Measured]]) -> TrackResults:
    track = spec.tracks[name]
    everything = tuple(_measures(track))
    values = np.array(
        [
            [found.numbers.get(measure.metric, np.nan) for measure in everything]
            for cells in rows.values()
            for found in cells
        ]
    )
    kept = ~np.isnan(values).all(axis=0)
    kept[:3] = True
    counts = np.array([len(cells) for cells in rows.values()])
    means, halves = intervals(values[:, kept], counts)
    lines: dict[str, list[Line]] = {}
    for i, (labels, cells) in enumerate(rows.items()):
        lines.setdefault(labels[0], []).append(Line(*labels, tuple(cells), means[i], halves[i]))
    networks = dict.fromkeys((backbone, init) for _, backbone, init in rows)
    return TrackResults(
        name=name,
        track=track,
        measures=tuple(measure for measure, keep in zip(everything, kept, strict=True) if keep),
        lines={entry: tuple(of_entry) for entry, of_entry in lines.items()},
        seen={network: seen_by(spec, name, *network) for network in networks},
        seeds=int(counts.max()),
    )


def _measures(track: Track) -> Iterator[Measure]:
    yield Measure(NEAR, "Near AUROC", "higher")
    yield Measure(FAR, "Far AUROC", "higher")
    yield Measure(NEAR_FPR, "Near FPR@95", "lower")
    for name in track.ood:
        yield Measure(f"detection.{name}.auroc", name.replace("_", " "), "higher")
    for metric, title in COSTS:
        yield Measure(metric, title, "lower", percent=False)


def intervals(
    values: NDArray[np.float64], counts: NDArray[np.int_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and half 95 % t intervals of consecutive groups of rows.

    Parameters
    ----------
    values : (N, M), the rows of the first group first.
    counts : (R,) rows of each group, which sum to N.

    Returns
    -------
    (R, M) each; NaN where a group lacks a value, and halves of groups of a single row.
    """
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    n = counts[:, None]
    means = np.add.reduceat(values, starts, axis=0) / n
    apart = values - np.repeat(means, counts, axis=0)
    free = np.maximum(n - 1, 1)
    sd = np.sqrt(np.add.reduceat(apart**2, starts, axis=0) / free)
    quantiles = np.asarray(scipy.stats.t.ppf((1 + LEVEL) / 2, np.arange(1, free.max() + 1)))
    return means, np.where(n > 1, quantiles[free - 1] * sd / np.sqrt(n), np.nan)


# Tables


def results_section(
    results: TrackResults, entries: Collection[str], remarks: Sequence[str]
) -> Section | None:
    """A track's results of some entries; None where there are none.

    Of many rows the best of each backbone and init by near AUROC stand there.

    Parameters
    ----------
    remarks : what was not measured, and why.
    """
    lines = results.of(entries)
    if not lines and not remarks:
        return None
    shown, left_out = _best(lines)
    said = list(remarks)
    if left_out:
        said.append(
            f"Of {len(lines)} rows, those with the best near AUROC of each backbone and init are shown."
        )
    told = _seen(results, shown)
    said += [told] if told else []
    body = (_table(results, shown),) if shown else ()
    return Section(f"results-{results.name}", results.track.title, (*body, *notes(said)), track=results.name)


def _best(lines: Sequence[Line]) -> tuple[list[Line], int]:
    """The rows that a table has room for, and how many are left out."""
    if len(lines) <= MOST_ROWS:
        return [*lines], 0
    networks = dict.fromkeys((line.backbone, line.init) for line in lines)
    most = max(1, KEPT // len(networks))
    kept: list[Line] = []
    for network in networks:
        ours = [line for line in lines if (line.backbone, line.init) == network]
        ours.sort(key=lambda line: (isnan(line.means[0]), -line.means[0]))
        kept += ours[:most]
    return kept, len(lines) - len(kept)


def _table(results: TrackResults, lines: Sequence[Line]) -> Table:
    sets = "; ".join(f"{group} OOD: {', '.join(names)}" for group, names in results.track.groups.items())
    aside: Text = ("Mean ± half the 95 % ", italic("t"), " interval over seeds.")
    about = f"Columns that are named after an OOD set are its AUROC. {sets[:1].upper()}{sets[1:]}."
    columns = (
        Column("Entry · backbone · init", "text"),
        *(Column(measure.title, better=measure.better) for measure in results.measures),
        Column("Seeds", largest_first=True),
        Column("Verified", "text"),
    )
    rows = []
    for i, line in enumerate(lines):
        seeds = Count(len(line.cells), results.seeds)
        cells = (_label(results, line), *_numbers(results, line), seeds, line.verified.text)
        rows.append(Row(cells, parted=i > 0 and line.entry != lines[i - 1].entry))
    return Table(columns, tuple(rows), about=about, aside=aside, sortable=True)


def _numbers(results: TrackResults, line: Line) -> Iterator[Content]:
    for measure, mean, half in zip(results.measures, line.means, line.halves, strict=True):
        width = float(half) if measure.percent else float("nan")
        yield None if isnan(mean) else Number(float(mean), measure.percent, width)


def _label(results: TrackResults, line: Line) -> Content:
    label = Labels((line.entry, line.backbone, line.init))
    seen = results.seen[line.backbone, line.init]
    saw = [
        *(name for name in seen.sets if name in results.track.ood),
        *(["ID classes"] if seen.classes else []),
    ]
    remarks = [f"saw {', '.join(saw)}"] if saw else []
    if line.networks > 1:
        remarks.append(f"ensembles of {line.networks} networks")
    if any(found.transductive for found in line.cells):
        remarks.append(TOGETHER)
    return Noted(label, "; ".join(remarks)) if remarks else label


def _seen(results: TrackResults, lines: Sequence[Line]) -> str:
    """What it means that weights saw something; empty where none did."""
    found = [results.seen[line.backbone, line.init] for line in lines]
    classes = ", ".join(dict.fromkeys(text for seen in found for text in seen.classes))
    if not classes and not any(name in results.track.ood for seen in found for name in seen.sets):
        return ""
    told = f"; ID classes: {classes}" if classes else ""
    return (
        f"Saw: the first weights were trained on images of that OOD set, or of classes of the ID set{told}."
    )


def unmeasured(spec: Spec, counted: Counted) -> dict[tuple[str, str], list[str]]:
    """By track and entry, where it was not measured, and why."""
    found: dict[tuple[str, str], dict[tuple[str, str], list[Cell]]] = {}
    for cell, record in counted.unmeasured.items():
        why = (record.status.replace("_", " "), record.reason or "no reason recorded")
        found.setdefault((cell.track, cell.entry), {}).setdefault(why, []).append(cell)
    return {
        place: [
            f"{place[1]} is {status} in {len(cells)} cell{'s' if len(cells) > 1 else ''} "
            f"({', '.join(dict.fromkeys(f'{cell.backbone} · {cell.init}' for cell in cells))}): {reason}."
            for (status, reason), cells in reasons.items()
        ]
        for place, reasons in found.items()
    }


# Figures


def figures(results: TrackResults, entries: Collection[str]) -> Gallery | None:
    """Score histogram and ROC curves of every row that is drawn; None where there are none."""
    plots = [plot for line in results.of(entries) for plot in _figures(results, line)]
    return Gallery(tuple(plots)) if plots else None


def _figures(results: TrackResults, line: Line) -> Iterator[Plot]:
    drawn = [found for found in line.cells if found.measurement is not None]
    if not drawn:
        return
    where = (results.name, line.entry, line.backbone, line.init)
    called = f"{line.backbone}, {line.init}"
    one = drawn[0]
    curves = one.drawn.curves
    yield histogram(
        file_name("scores", *where),
        f"Scores, {called}",
        f"Histograms of the scores that {line.entry} gives ID, near-OOD and far-OOD images of track "
        f"{results.name} on {line.backbone} from {line.init}, seed {one.record.seed}. AUROC: near "
        f"{one.numbers[NEAR]:.1%}, far {one.numbers[FAR]:.1%}.",
        curves.score_edges,
        {"id": curves.histogram_id, "near": curves.histogram_near, "far": curves.histogram_far},
    )
    grid = np.asarray(curves.fpr)
    every = [found.drawn.curves for found in drawn]
    means = {group: fmean(found.numbers[f"{group}.auroc"] for found in drawn) for group in ("near", "far")}
    lines = {
        "near": np.mean([np.interp(grid, c.fpr, c.tpr_near) for c in every], axis=0),
        "far": np.mean([np.interp(grid, c.fpr, c.tpr_far) for c in every], axis=0),
    }
    seeds = "1 seed" if len(drawn) == 1 else f"mean over {len(drawn)} seeds"
    yield roc(
        file_name("roc", *where),
        f"ROC, {called}",
        f"ROC curves of {line.entry} on track {results.name}, {line.backbone} from {line.init}, {seeds}: the "
        f"share of ID images kept against the share of OOD images let through. AUROC: near "
        f"{means['near']:.1%}, far {means['far']:.1%}.",
        curves.fpr,
        {group: (tpr.tolist(), f"AUROC {100 * means[group]:.1f}") for group, tpr in lines.items()},
    )

"""What pre-training gives over all studies: the paired gain of each pre-trained init over scratch.

Pairs share a seed (spec/claims.md §0.1); a gain is positive where pre-training is better, also where lower is
better. This module must not know which records count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from benchmark.spec.leaderboard import Spec
from benchmark.spec.networks import Scratch
from reports.boards.gains import Measure, inits_of_track, measures, scratch_of
from reports.boards.pretraining import (
    CONDITIONAL,
    CONFIRMATORY,
    Contrast,
    contrast_table,
    contrasts,
    exploratory,
)
from reports.plots.figures import COLOURS, WIDTH, file_name, finish, house_style, legend_above
from reports.plots.memo import Memo
from reports.plots.sections import ANEW
from reports.select import Counted, Found
from reports.site.sections import Block, Gallery, Paragraph, Plot, Section
from reports.studies.plots import MARKERS

PERCENT = 100


@dataclass(frozen=True)
class Gains:
    """One pre-trained init of one track against scratch, over all measures that both have."""

    track: str
    init: str
    scratch: str  # the init that it is compared with
    rows: tuple[Contrast, ...]

    @property
    def exploratory(self) -> bool:
        """Whether any pairing has too few seeds for more than an indication."""
        return any(row.gain.n < CONFIRMATORY for row in self.rows)


def studied_gains(found: Sequence[Gains], counted: Counted) -> list[Gains]:
    """Those of tracks that have a record of a study."""
    studied = {cell.track for cells in counted.studies.measured.values() for cell in cells}
    return [one for one in found if one.track in studied]


def all_gains(spec: Spec, counted: Counted) -> list[Gains]:
    """Every pre-trained init of every track."""
    found = []
    for name in spec.tracks:
        scratch = scratch_of(spec, name)
        if scratch is None:
            continue
        for init in inits_of_track(spec, name):
            if not isinstance(spec.inits.get(init), Scratch):
                rows = tuple(
                    row
                    for measure in measures(spec, name)
                    for row in contrasts(_groups(name, measure, counted), init, scratch, (measure.column,))
                )
                if rows:
                    found.append(Gains(name, init, scratch, rows))
    return found


def _groups(
    name: str, measure: Measure, counted: Counted
) -> Mapping[tuple[str, str, str], Mapping[int, Found]]:
    """The seeds of each init and backbone that have a measure."""
    groups: dict[tuple[str, str, str], dict[int, Found]] = {}
    for cell, found in counted.of_study(measure.study).items():
        if (cell.track, cell.entry) == (name, measure.row) and measure.column.metric in found.numbers:
            groups.setdefault((cell.init, cell.backbone, measure.row), {})[cell.seed] = found
    return groups


def gain_plots(name: str, found: list[Gains]) -> list[Plot]:
    """One figure for each backbone of a track: a line for each measure, a mark for each init."""
    ours = [one for one in found if one.track == name]
    backbones = dict.fromkeys(row.backbone for one in ours for row in one.rows)
    return [_plot(name, backbone, ours) for backbone in backbones]


def _plot(name: str, backbone: str, ours: list[Gains]) -> Plot:
    shown = [(one.init, [row for row in one.rows if row.backbone == backbone]) for one in ours]
    shown = [(init, rows) for init, rows in shown if rows]
    titles = {(row.metric.title, row.subject): None for _, rows in shown for row in rows}
    lines = list(titles)
    title = f"{backbone}: what pre-training gives"
    spoken = []
    with house_style():
        figure = Figure(figsize=(WIDTH, 1.1 + (0.26 + 0.16 * len(shown)) * len(lines)), layout="constrained")
        axis = figure.subplots()
        axis.axvline(0, color="#777777", linewidth=1.1, zorder=1)
        for i, (init, rows) in enumerate(shown):
            colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
            for row in rows:
                gain = row.gain
                key = row.metric.title, row.subject
                there = [other for other, its in shown if key in {(r.metric.title, r.subject) for r in its}]
                y = lines.index(key) + 0.8 / len(shown) * (there.index(init) - (len(there) - 1) / 2)
                said = f"{row.metric.title}, {init}: {PERCENT * gain.mean:+.2f}"
                if gain.n > 1:
                    low, high = PERCENT * gain.low, PERCENT * gain.high
                    axis.plot((low, high), (y, y), color=colour, linewidth=1.3)
                    said += f" ({low:+.2f} to {high:+.2f})"
                label = init if row is rows[0] else None
                axis.plot(
                    [PERCENT * gain.mean], [y], color=colour, marker=marker, linestyle="none", label=label
                )
                where = axis.get_yaxis_transform()
                axis.text(1.01, y, f"n = {gain.n}", va="center", fontsize=7, color=colour, transform=where)
                spoken.append(f"{said}, {gain.n} seeds")
        axis.set_yticks(range(len(lines)), [f"{measure}\n{subject}" for measure, subject in lines])
        axis.set_ylim(len(lines) - 0.5, -0.5)
        axis.set_xlabel("gain over scratch in percentage points; right of 0, pre-training is better")
        legend_above(figure, axis, 4)
        alt = (
            f"{title}: paired gain over scratch in percentage points with 95 % t intervals, positive where "
            f"pre-training is better. {'; '.join(spoken)}."
        )
        return finish(figure, file_name("summary", name, backbone), title, alt)


def gains_section(found: list[Gains], spec: Spec, memo: Memo = ANEW) -> Section | None:
    """The figures and the table of each track; None where nothing was compared."""
    if not found:
        return None
    about = (
        "Every measure in one figure: the paired gain of each pre-trained init over training from scratch, "
        "in percentage points, with 95 % t intervals; n is how many seeds both have. Right of 0, "
        "pre-training is better, also where lower is better. The figures have no common scale: a point of "
        "error is not a point of AUROC."
    )
    bodies: dict[str, list[Block]] = {}
    for track in dict.fromkeys(one.track for one in found):
        given = track, [one for one in found if one.track == track]
        bodies[track] = [Gallery(tuple(memo.plots(gain_plots, *given, of=given)))]
    for i, one in enumerate(found, start=1):
        title = spec.tracks[one.track].title
        bodies[one.track] += [
            contrast_table(f"gains-{i}", title, one.rows, one.init, one.scratch),
            *exploratory("rows", one.exploratory, small=True),
        ]
    return Section(
        "summary",
        "What pre-training gives",
        (Paragraph(about), Paragraph(CONDITIONAL, small=True)),
        tuple(Section("", spec.tracks[t].title, tuple(body), track=t) for t, body in bodies.items()),
    )

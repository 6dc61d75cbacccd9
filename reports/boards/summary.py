"""What pre-training gives over all studies: the paired gain of each pre-trained init over scratch.

Pairs share a seed (spec/claims.md §0.1); a gain is positive where pre-training is better, also where lower is
better. This module must not know which records count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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
from reports.plots.data import HEAD, table
from reports.plots.data import shown as number
from reports.plots.figures import COLOURS, NARROW, file_name, finish, house_style, legend_above
from reports.plots.memo import Memo
from reports.plots.sections import ANEW
from reports.select import Counted, Found
from reports.site.sections import Block, Gallery, Paragraph, Plot, Section
from reports.studies.plots import MARKERS

PERCENT = 100
LABEL, EACH, AROUND = 0.24, 0.15, 0.42  # inches: a measure's name, each init, title and ticks of a panel
Line = tuple[str, str]  # a measure's title, and whose it is


@dataclass(frozen=True)
class Gains:
    """One pre-trained init of one track against scratch, over all measures that both have."""

    track: str
    init: str
    scratch: str  # the init that it is compared with
    rows: tuple[Contrast, ...]
    kinds: Mapping[str, str] = field(default_factory=dict)  # of measures, by title

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
                    kinds = {measure.column.title: measure.kind for measure in measures(spec, name)}
                    found.append(Gains(name, init, scratch, rows, kinds))
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
    inits = [init for init, rows in shown if rows]
    by_line: dict[Line, dict[str, Contrast]] = {}
    for init, rows in shown:
        for row in rows:
            by_line.setdefault((row.metric.title, row.subject), {})[init] = row
    kinds: dict[str, list[Line]] = {}
    of_title = {title: kind for one in ours for title, kind in one.kinds.items()}
    for line in by_line:
        kinds.setdefault(of_title.get(line[0], ""), []).append(line)
    title = f"{backbone}: what pre-training gives"
    heights = [sum(LABEL + EACH * len(by_line[line]) for line in lines) for lines in kinds.values()]
    with house_style(8):
        high = sum(heights) + AROUND * len(kinds) + 0.3 + 0.16 * len(inits)
        figure = Figure(figsize=(NARROW, high), layout="constrained")
        axes = figure.subplots(len(kinds), 1, squeeze=False, height_ratios=heights).ravel()
        for axis, height, (kind, lines) in zip(axes, heights, kinds.items(), strict=True):
            _panel(axis, kind, {line: by_line[line] for line in lines}, inits)
            axis.set_ylim(height, 0)
        figure.supxlabel("gain in points; right of 0, pre-training is better", fontsize=8)
        legend_above(figure, list(axes), 1)
        spoken = [_spoken(line, init, row) for line, rows in by_line.items() for init, row in rows.items()]
        alt = (
            f"{title}: paired gain over scratch in percentage points with 95 % t intervals, positive where "
            f"pre-training is better. {'; '.join(spoken)}."
        )
        plot = finish(figure, file_name("summary", name, backbone), title, alt)
    return replace(plot, data=table(HEAD, _data(kinds, by_line)))


def _panel(axis: Axes, kind: str, lines: Mapping[Line, Mapping[str, Contrast]], inits: list[str]) -> None:
    """Measures of one kind, from above to below; heights are inches."""
    axis.axvline(0, color="#777777", linewidth=1.1, zorder=1)
    top = 0.0
    for (measure, subject), rows in lines.items():
        numbers = sorted({row.gain.n for row in rows.values()})
        seeds = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
        label = f"{measure} · {subject}, {seeds} seed{'s' * (numbers[-1] > 1)}"
        axis.text(
            0,
            top + 0.6 * LABEL,
            label,
            va="center",
            transform=axis.get_yaxis_transform(),
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
        top += LABEL
        for init, row in rows.items():
            y, i, gain = top + EACH / 2, inits.index(init), row.gain
            colour = COLOURS[i % len(COLOURS)]
            if gain.n > 1:
                axis.plot((PERCENT * gain.low, PERCENT * gain.high), (y, y), color=colour, linewidth=1.3)
            axis.plot(
                [PERCENT * gain.mean],
                [y],
                color=colour,
                marker=MARKERS[i % len(MARKERS)],
                linestyle="none",
                label=init,
            )
            top += EACH
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.set_title(kind, loc="left", fontweight="bold")


def _spoken(line: Line, init: str, row: Contrast) -> str:
    gain = row.gain
    said = f"{line[0]}, {init}: {PERCENT * gain.mean:+.2f}"
    if gain.n > 1:
        said += f" ({PERCENT * gain.low:+.2f} to {PERCENT * gain.high:+.2f})"
    return f"{said}, {gain.n} seeds"


def _data(
    kinds: Mapping[str, Sequence[Line]], by_line: Mapping[Line, Mapping[str, Contrast]]
) -> Iterator[Sequence[str]]:
    """A row a mark: its kind, what it is, the gain, and the ends of its interval."""
    for kind, lines in kinds.items():
        for line in lines:
            for init, row in by_line[line].items():
                mean, *ends = (PERCENT * value for value in (row.gain.mean, row.gain.low, row.gain.high))
                yield kind, f"{' · '.join(line)}, {init}", "point", number(mean), "", *map(number, ends)


def gains_section(found: list[Gains], spec: Spec, memo: Memo = ANEW) -> Section | None:
    """The figures and the table of each track; None where nothing was compared."""
    if not found:
        return None
    about = (
        "Every measure in one figure: the paired gain of each pre-trained init over training from scratch, "
        "in percentage points, with 95 % t intervals, over the seeds that both have. Right of 0, "
        "pre-training is better, also where lower is better. Each kind of measure has a panel and a scale "
        "of its own: a point of error is not a point of AUROC."
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

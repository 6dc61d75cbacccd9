"""The two-dimensional experiment as one figure and one table: where outliers must lie to teach doubt.

This module must not know how the networks were trained: it draws the maps and averages the numbers of
records.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from benchmark.metrics.statistics import mean_interval
from benchmark.spec.leaderboard import Column, Spec
from benchmark.studies.plane.measure import (
    CONFIDENT,
    FAR,
    FIELDS,
    MEANS,
    NEAR,
    REGIONS,
    radius,
)
from benchmark.studies.plane.records import MAPS, SIDE
from benchmark.studies.plane.settings import ARMS, Arm
from reports.boards.sections import column_of, number_of
from reports.boards.tables import Row, Value
from reports.plots.figures import WIDTH, file_name, finish, house_style
from reports.plots.memo import Memo
from reports.plots.sections import ANEW
from reports.select import Counted
from reports.site.cells import Labels
from reports.site.sections import Column as Head
from reports.site.sections import Gallery, Paragraph, Plot, Section, Table
from reports.site.sections import Row as Line
from reports.studies.plane.numbers import Arms, arms_of

TITLES: dict[Arm, str] = {
    "cross_entropy": "cross-entropy, no outliers",
    "near": "near outliers",
    "far": "far outliers",
}
SPANS = {"band": "3.5 to 6", "mid": "6 to 12", "far": "12 and more"}
_LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, CONFIDENT, 1.0)  # of max p
_COLOURS = tuple(colormaps["cividis"](np.linspace(0, 1, len(_LEVELS) - 1)))
_TICKS = {"near": (-10, 0, 10), "far": (-40, 0, 40)}
_SEEN = (withStroke(linewidth=2.4, foreground="black"),)  # white lines, on yellow and on the page
_SQUARE: Any = {"edgecolor": "white", "linewidth": 1, "path_effects": _SEEN}
_BOUND: Any = {**_SQUARE, "linestyle": (0, (4, 3))}
_COLUMNS = (
    Column(metric="accuracy", title="Accuracy", better="higher"),
    *(
        column
        for region in REGIONS
        for column in (
            Column(metric=f"regions.{region}.auroc", title=f"AUROC {region}", better="higher"),
            Column(metric=f"regions.{region}.confident", title=f"Confident {region}", better="lower"),
        )
    ),
)


@dataclass(frozen=True)
class BoundaryTable:
    """Mean and 95 % interval over seeds: a row for each arm, two columns for each region."""

    title: str
    about: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def boundary_table(arms: Arms) -> BoundaryTable:
    """Average the numbers of each arm over its seeds; arms without results have no row."""
    rows = []
    for arm in ARMS:
        if found := arms.get(arm):
            numbers = [[record.numbers[column.metric] for column in _COLUMNS] for record in found]
            values = [Value(mean_interval(column)) for column in zip(*numbers, strict=True)]
            seeds = tuple(record.seed for record in found)
            rows.append(Row((TITLES[arm],), seeds, tuple(values), place=None, note=""))
    return BoundaryTable(
        title="Two dimensions: near against far outliers",
        about=(
            "Each region of the plane as OOD set against the ID test points, by the distance to the nearer "
            f"class mean: {'; '.join(f'{name} {span}' for name, span in SPANS.items())}. AUROC is of the "
            f"largest probability; confident is the share of the region where it is {CONFIDENT} or more."
        ),
        columns=_COLUMNS,
        rows=tuple(rows),
    )


def boundary_section(arms: Arms, memo: Memo = ANEW) -> Section:
    """The figure and the table."""
    about = Paragraph(
        "The experiment of Lee et al. 2018: two Gaussian classes, and a small network trained with "
        "cross-entropy alone, or with the confidence loss on outliers near the data or far from it. Yellow "
        "is confident."
    )
    averaged = boundary_table(arms)
    table = Table(
        columns=(Head("Outliers", "text"), *map(column_of, averaged.columns), Head("Seeds")),
        rows=tuple(
            Line((Labels(row.labels), *map(number_of, row.values, averaged.columns), len(row.seeds)))
            for row in averaged.rows
        ),
        id="boundary-numbers",
        title=averaged.title,
        aside=averaged.about,
    )
    body = (Gallery(tuple(memo.plots(boundary_plots, arms, of=arms))), table)
    return Section(
        "boundary",
        "Near and far outliers in two dimensions",
        (about,),
        (Section("", "Two classes in two dimensions", body),),
        short="Two dimensions",
    )


def boundary_plots(arms: Arms) -> list[Plot]:
    """Maps of the largest probability, a column for each arm, near and far field below each other.

    No figure if no record has maps.
    """
    drawn = {(arm, one.seed): one for arm, records in arms.items() for one in records if one.series}
    if not drawn:
        return []
    first = min(seed for _, seed in drawn)
    maps = {arm: drawn[arm, first] for arm in ARMS if (arm, first) in drawn}
    with house_style():
        figure = Figure(figsize=(WIDTH, 5.0), layout="constrained")
        axes = figure.subplots(len(FIELDS), len(maps), sharex="row", sharey="row", squeeze=False)
        for (r, field), (c, arm) in product(enumerate(FIELDS), enumerate(maps)):
            second = np.reshape(np.asarray(maps[arm].series[MAPS[field]], dtype=float), (SIDE, SIDE))
            _draw_map(axes[r, c], second, field)
        for c, arm in enumerate(maps):
            axes[0, c].set_title(TITLES[arm])
            _mark_outliers(axes[0, c], axes[1, c], arm)
        for r, field in enumerate(FIELDS):
            axes[r, 0].set_ylabel(f"{field} field")
        scale = ScalarMappable(BoundaryNorm(_LEVELS, len(_COLOURS)), ListedColormap(_COLOURS))
        bar = figure.colorbar(scale, ax=axes, ticks=_LEVELS, spacing="proportional", shrink=0.7, aspect=30)
        bar.set_label("largest probability")
        bar.ax.grid(visible=False)
        figure.legend(handles=_legend(), loc="outside upper center", ncols=4)
        return [finish(figure, file_name("boundary"), f"Seed {first}", _alt(arms))]


def _draw_map(axis: Axes, second: NDArray[np.float64], field: str) -> None:
    """Draw bands of max p, the contour of confidence and the class means.

    Bands and contour are found on the probability of the second class, on both sides of 0.5. Each band is
    painted over the one below, so that no gap shows between them and each border is stored once.
    """
    half = FIELDS[field]
    side = np.linspace(-half, half, SIDE)
    axis.set_facecolor(_COLOURS[0])
    for level, colour in zip(_LEVELS[1:-1], _COLOURS[1:], strict=True):
        for bounds in ((-1, 1 - level), (level, 2)):
            axis.contourf(side, side, second, levels=bounds, colors=[colour])
    crossed = [level for level in (1 - CONFIDENT, CONFIDENT) if np.min(second) < level < np.max(second)]
    if crossed:  # else matplotlib would draw another level
        axis.contour(side, side, second, levels=crossed, colors="black", linewidths=1.2)
    size = 42 if field == "near" else 16
    axis.scatter(MEANS[:, 0], MEANS[:, 1], size, "white", marker="X", edgecolor="black", zorder=3)
    axis.set(aspect="equal", xticks=_TICKS[field], yticks=_TICKS[field])
    axis.grid(visible=False)


def _mark_outliers(near: Axes, far: Axes, arm: Arm) -> None:
    """Draw where the outliers of an arm begin and end, and on the far field what the near field shows."""
    half = FIELDS["near"]
    far.add_patch(Rectangle((-half, -half), 2 * half, 2 * half, fill=False, **_SQUARE))
    if arm == "near":
        side = np.linspace(-9, 9, 181)
        r = radius(np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)).reshape(181, 181)
        near.contour(side, side, r, levels=NEAR).set(**_BOUND)
    elif arm == "far":
        for axis in (near, far):
            axis.add_patch(Circle((0, 0), FAR[0], fill=False, **_BOUND))


def _legend() -> list[Any]:
    """What crosses, lines and dashes mean, on the page's white."""
    line: Any = {"color": "white", "linewidth": 1, "path_effects": _SEEN}
    return [
        Line2D(
            [], [], linestyle="", marker="X", markersize=7, color="white", mec="black", label="class means"
        ),
        Line2D([], [], color="black", linewidth=1.2, label=f"probability {CONFIDENT}"),
        Line2D([], [], linestyle=_BOUND["linestyle"], label="bounds of the outliers", **line),
        Line2D([], [], label="the near field", **line),
    ]


def _alt(arms: Arms) -> str:
    """What the figure shows, with the means over all seeds."""
    table = boundary_table(arms)
    spoken = []
    for row in table.rows:
        numbers = (
            f"{column.title} {value.interval.mean:.1%}"
            for column, value in zip(table.columns, row.values, strict=True)
            if value.interval is not None
        )
        spoken.append(f"{row.labels[0]}: {', '.join(numbers)}")
    return (
        "Maps of the largest probability of a classifier of two Gaussian classes, a column for each kind of "
        f"outliers in training; above [−{FIELDS['near']:.0f}, {FIELDS['near']:.0f}]², below "
        f"[−{FIELDS['far']:.0f}, {FIELDS['far']:.0f}]². Crosses are the class means, the black line is where "
        f"the probability is {CONFIDENT}, dashes bound the outliers of the training, the square is the near "
        f"field. Means over the seeds: {'; '.join(spoken)}."
    )


class PlaneSection:
    """The section of the page."""

    def section(self, spec: Spec, counted: Counted, memo: Memo = ANEW) -> Section | None:
        """The figure and the table; None where no arm is measured."""
        arms = arms_of(counted)
        return boundary_section(arms, memo) if arms else None


SECTION = PlaneSection()

"""How every figure of the site looks, and how it becomes SVG: the same figure gives the same bytes.

Text is drawn as paths, so that a page looks the same everywhere. Colours are Okabe and Ito's, told apart by
readers with colour blindness; line styles say the same once more. This module must not know what is drawn.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from benchmark.errors import DataError
from benchmark.metrics.statistics import mean_interval
from benchmark.records.record import NAME
from reports.plots.data import csv_of
from reports.site.sections import Plot

WIDTH = 7.4  # inches
NARROW = 3.7  # a phone shows it whole
STYLE: Any = {
    "svg.hashsalt": "oodbench",
    "svg.fonttype": "path",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.handlelength": 3.2,  # so that dashes are seen as such
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
}
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00", "#7A5C00")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)))


def house_style(size: float = 9) -> AbstractContextManager[None]:
    """Draw and save within this, with text of so many points; nothing global stays changed."""
    sizes: Any = {"font.size": size, "axes.titlesize": size + 0.5, "axes.labelsize": size}
    return mpl.rc_context({**STYLE, **sizes})


def line_style(index: int) -> dict[str, Any]:
    """Colour and dashes of the line at a place in leaderboard.yaml's list, the same in every figure."""
    turn, position = divmod(index, len(COLOURS))
    return {"color": COLOURS[position], "linestyle": DASHES[(position + turn) % len(DASHES)]}


def panel_grid(
    panels: int, columns: int, height: float, *, width: float = WIDTH
) -> tuple[Figure, list[Axes]]:
    """A figure of equal panels; those that the last row does not need are left out. Sizes are in inches."""
    columns = min(columns, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(width, 0.9 + height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for spare in axes[panels:]:
        spare.remove()
    return figure, list(axes[:panels])


def legend_above(figure: Figure, axis: Axes | Sequence[Axes], columns: int) -> None:
    """One legend for all panels, made from the lines of one, or of several: each label once.

    It begins at the left: so a phone shows it before the figure is moved.
    """
    axes = [axis] if isinstance(axis, Axes) else axis
    found: dict[str, Artist] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(list(found.values()), [*found], loc="outside upper left", ncols=columns)


def draw_mean(
    axis: Axes, x: Sequence[float], by_seed: Sequence[Sequence[float]], label: str, style: Mapping[str, Any]
) -> list[float]:
    """A line of the means over seeds, with 95 % t intervals as a band where there are several; the means."""
    intervals = [mean_interval(level) for level in zip(*by_seed, strict=True)]
    means = [interval.mean for interval in intervals]
    axis.plot(x, means, label=label, marker="o", markersize=2.5, **style)
    if len(by_seed) > 1:
        low, high = [i.low for i in intervals], [i.high for i in intervals]
        axis.fill_between(x, low, high, color=style["color"], alpha=0.12, linewidth=0)
    return means


def draw_interval(
    axis: Axes, y: float, values: Sequence[float], label: str, style: Mapping[str, Any]
) -> float:
    """A dot at the mean over seeds at height `y`, with its 95 % t interval as a line; the mean."""
    interval = mean_interval(values)
    if interval.n > 1:
        axis.plot((interval.low, interval.high), (y, y), color=style["color"], linewidth=1.2)
    axis.plot([interval.mean], [y], label=label, linestyle="none", **{"marker": "o", **style})
    return interval.mean


def file_name(*parts: str) -> str:
    """A file name made of names; each is checked, so that none leaves the folder. `~` is in none of them.

    Raises
    ------
    DataError
        If a part is not a plain name.
    """
    for part in parts:
        if not NAME.fullmatch(part):
            raise DataError(f"{part!r} cannot be part of a file name; expected {NAME.pattern}")
    return "~".join(parts) + ".svg"


def finish(figure: Figure, file: str, title: str, alt: str) -> Plot:
    """Draw a figure; without date and version, so that equal records give equal bytes."""
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.set_facecolor("white")
    # `savefig` would draw twice: once for the layout, which the drawing itself makes again.
    FigureCanvasSVG(figure).print_svg(buffer, metadata=metadata)  # type: ignore[no-untyped-call]
    width, height = (round(96 * float(inches)) for inches in figure.get_size_inches())
    return Plot(file, title, alt, buffer.getvalue(), width, height, csv_of(figure))

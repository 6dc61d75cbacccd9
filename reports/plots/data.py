"""The numbers of a figure as CSV, read from what is drawn: a row a point, with its panel and its series.

This module must not know what a figure shows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection, FillBetweenPolyCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle, StepPatch

HEAD = ("panel", "series", "kind", "x", "y", "low", "high")
Row = tuple[str, str, str, str, str, str, str]


def csv_of(figure: Figure) -> str:
    """All points of all panels; empty where panels are pictures.

    Kinds are ``line`` (points that may be joined), ``band`` (an interval of a line at each x), ``bar`` (x is
    its middle, low and high are its ends across) and ``point``. What has no name in the legend and shares the
    colour of a series belongs to it; else the series is empty.
    """
    rows = [row for axis in figure.axes for row in _rows(axis)]
    return table(HEAD, rows) if rows else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue()


def shown(number: float) -> str:
    """A number with six digits; empty where there is none."""
    return "" if np.isnan(number) else f"{number:.6g}"


def _rows(axis: Axes) -> Iterator[Row]:
    panel, named = _panel(axis), _named(axis)
    for line in axis.lines:
        name = _name(line) or named.get(_colour(line), "")
        for x, y in np.asarray(line.get_xydata()):
            yield panel, name, "line", shown(x), shown(y), "", ""
    for collection in axis.collections:
        name = _name(collection) or named.get(_colour(collection), "")
        if isinstance(collection, FillBetweenPolyCollection):
            for x, low, high in _band(collection):
                yield panel, name, "band", shown(x), "", shown(low), shown(high)
        elif isinstance(collection, PathCollection):
            for x, y in np.asarray(collection.get_offsets()):
                yield panel, name, "point", shown(x), shown(y), "", ""
    for patch in axis.patches:
        name = _name(patch) or named.get(_colour(patch), "")
        for y, low, high in _bars(patch):
            yield panel, name, "bar", shown((low + high) / 2), shown(y), shown(low), shown(high)


def _panel(axis: Axes) -> str:
    said = (axis.get_title(), axis.get_ylabel(), axis.get_xlabel())
    return "; ".join(one.replace("\n", " ") for one in said if one)


def _named(axis: Axes) -> dict[str, str]:
    """The series that have a name, by colour; those of other panels too: a legend stands for all."""
    found: dict[str, str] = {}
    for one in (axis, *axis.figure.axes):
        for artist in (*one.lines, *one.collections):
            if name := _name(artist):
                found.setdefault(_colour(artist), name)
    return found


def _name(artist: Artist) -> str:
    label = str(artist.get_label())
    return "" if label.startswith("_") else label  # so matplotlib calls what has none


def _colour(artist: Artist) -> str:
    match artist:
        case Line2D():
            colour: object = artist.get_color()
        case Collection():
            colour = next(iter(artist.get_facecolor()), "none")
        case Patch():
            colour = artist.get_facecolor()
        case _:
            colour = "none"
    return to_hex(colour)  # type: ignore[arg-type] # whatever it is that the artist has


def _bars(patch: Patch) -> Iterator[tuple[float, float, float]]:
    """Height and both ends of each bar of a patch."""
    if isinstance(patch, StepPatch):
        values, edges, _ = patch.get_data()
        yield from zip(values, edges, edges[1:], strict=False)
    elif isinstance(patch, Rectangle):
        yield patch.get_height(), patch.get_x(), patch.get_x() + patch.get_width()


def _band(collection: FillBetweenPolyCollection) -> Iterator[tuple[float, float, float]]:
    """X and both ends: the outline goes along the lower ends and back along the upper ones."""
    for path in collection.get_paths():
        points = np.asarray(path.vertices)
        n = (len(points) - 3) // 2
        low, high = points[1 : n + 1], points[n + 2 : 2 * n + 2][::-1]
        for (x, bottom), (_, top) in zip(low, high, strict=True):
            yield x, bottom, top

"""Cost against AUROC, with the entries that no other beats at their cost, as wide as a phone.

Times of a forward pass are drawn as what comes on top of it: most entries cost less than a tenth more.

The SVG is written by hand. This module must not know where a figure is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor, log10

from reports.plots.data import shown
from reports.plots.figures import COLOURS
from reports.plots.small import HEIGHT, LEFT, RIGHT, WIDTH, Axes, figure, said, text_at, ticks
from reports.site.sections import Plot

FRONT, REST, CHOSEN = COLOURS[1], "#767676", COLOURS[0]
NARROW = 3.0  # highest by lowest cost below which ticks are as of a linear axis
MANTISSAS = ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,))
APART, BESIDE = 14, 40  # CSS pixels from the name of a point to the next, and to the point


@dataclass(frozen=True)
class Point:
    """An entry: what it costs, what it reaches, and whether no other beats it at its cost."""

    name: str
    cost: float  # as it is drawn
    near: float
    front: bool
    equal: float | None = None  # the least cost that counts as equal; None: its own
    chosen: bool = False  # stands out, and bears its name wherever it is


def pareto(
    file: str, title: str, alt: str, points: Sequence[Point], across: str, up: str = "near AUROC (%)"
) -> Plot:
    """Points of a positive cost on a logarithmic axis; those of the front are joined and bear their names."""
    costs, reached = [point.cost for point in points], [point.near for point in points]
    axes = Axes(_widened(log10(min(costs)), log10(max(costs))), _widened(min(reached), max(reached)))
    front = sorted((point for point in points if point.front), key=lambda point: point.cost)
    rest = "".join(_ring(*_at(axes, point)) for point in points if not (point.front or point.chosen))
    chosen = [point for point in points if point.chosen]
    dots, marks = (
        "".join(f'<circle cx="{x}" cy="{y}" r="{r}"/>' for x, y in (_at(axes, point) for point in group))
        for group, r in ((front, 4), (chosen, 5))
    )
    drawn = [
        f'<g fill="#fff" stroke="{REST}">{rest}</g>',
        f'<path d="{_steps(axes, front)}" fill="none" stroke="{FRONT}" stroke-width="1.4"/>',
        f'<g fill="{FRONT}">{dots}</g>',
        *([f'<g fill="{CHOSEN}">{marks}</g>'] if chosen else []),
        *_names(axes, [*front, *(point for point in chosen if not point.front)]),
    ]
    data = [(across, one.name, "point", shown(one.cost), shown(one.near), "", "") for one in points]
    return figure(file, title, alt, [*_frame(axes, min(costs), max(costs), across, up), *drawn], data)


def cost_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high` for a logarithmic axis."""
    if high < NARROW * low:
        return ticks(low, high, 4)
    tens = range(floor(log10(low)), floor(log10(high)) + 1)
    for mantissas in MANTISSAS:
        found = [m * 10.0**ten for ten in tens for m in mantissas if low <= m * 10.0**ten <= high]
        if len(found) <= most:
            break
    return found


def _widened(low: float, high: float) -> tuple[float, float]:
    """A range with room at both ends, so that no point lies on an axis."""
    room = 0.06 * (high - low) or 0.01
    return low - room, high + room


def _at(axes: Axes, point: Point) -> tuple[float, float]:
    return axes.at(log10(point.cost), point.near)


def _ring(x: float, y: float) -> str:
    return f'<circle cx="{x}" cy="{y}" r="2.5"/>'


def _steps(axes: Axes, front: Sequence[Point]) -> str:
    """What is reached at most at each cost, as far as costs are told apart."""
    path = ""
    for point in front:
        begins = point.cost if point.equal is None else max(point.equal, 10 ** axes.x[0])
        x, y = axes.at(log10(begins), point.near)
        path += f"H{x}V{y}" if path else f"M{x} {y}"
    return f"{path}H{WIDTH - RIGHT}"


def _names(axes: Axes, front: Sequence[Point]) -> Iterator[str]:
    """The names beside the points, from above to below, none on another; a line leads to each."""
    lowest = float("-inf")
    for point in sorted(front, key=lambda point: -point.near):
        x, y = _at(axes, point)
        lowest = max(y + 4, lowest + APART)
        towards = -1 if x > (LEFT + WIDTH - RIGHT) / 2 else 1
        beside = x + towards * BESIDE
        colour = CHOSEN if point.chosen else FRONT
        yield f'<path d="M{x} {y}L{beside} {lowest - 4:.1f}" stroke="{colour}" stroke-width=".7"/>'
        yield text_at(
            beside + 3 * towards, lowest, point.name, "end" if towards < 0 else "start", colour=colour
        )


def _frame(axes: Axes, low: float, high: float, across: str, up: str) -> Iterator[str]:
    left, bottom = axes.at(axes.x[0], axes.y[0])
    right, top = axes.at(axes.x[1], axes.y[1])
    yield f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="#444" stroke-width="1"/>'
    for tick in cost_ticks(low, high):
        x, _ = axes.at(log10(tick), axes.y[0])
        yield f'<path d="M{x} {bottom}v4" stroke="#444"/>'
        yield text_at(x, bottom + 16, f"{tick:.4g}", "middle")
    for tick in ticks(*axes.y, most=4):
        _, y = axes.at(axes.x[0], tick)
        yield f'<path d="M{left} {y}h-4" stroke="#444"/>'
        yield text_at(left - 7, y + 4, said(tick, True), "end")
    yield text_at((left + right) / 2, bottom + 36, across, "middle")
    middle = HEIGHT / 2 - 15
    yield text_at(12, middle, up, "middle", turn=f'transform="rotate(-90 12 {middle})"')

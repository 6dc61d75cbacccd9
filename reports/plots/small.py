"""Small figures of one row: how its scores lie, and its ROC curves; written as SVG by hand, in no time.

They are as wide as a phone. Lines say twice which they are, by colour and by dashes, and bear their names.
This module must not know where a figure is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from reports.plots.data import HEAD, shown, table
from reports.plots.figures import COLOURS
from reports.site.sections import Plot

WIDTH, HEIGHT = 360, 250  # CSS pixels
LEFT, RIGHT, TOP, BOTTOM = 50, 16, 14, 44  # of the axes
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
AREA = "#9CC3E0"
SOLID, DASHED = "", "6 3"
STYLES = {"near": (COLOURS[0], SOLID), "far": ("#000000", DASHED)}


@dataclass(frozen=True)
class Axes:
    """Where numbers lie in the figure."""

    x: tuple[float, float]
    y: tuple[float, float]
    top: float = TOP
    bottom: float = BOTTOM
    height: int = HEIGHT  # of the figure

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The place of a point in the figure."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0] or 1)
        up = (y - self.y[0]) / (self.y[1] - self.y[0] or 1)
        wide, high = WIDTH - LEFT - RIGHT, self.height - self.top - self.bottom
        return round(LEFT + wide * across, 1), round(self.top + high * (1 - up), 1)

    def frame(self, across: str, up: str, *, percent: bool) -> Iterator[str]:
        """Lines, ticks and names of both axes."""
        (left, bottom), (right, top) = self.at(self.x[0], self.y[0]), self.at(self.x[1], self.y[1])
        yield f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="#444" stroke-width="1"/>'
        for tick in ticks(*self.x):
            x, _ = self.at(tick, self.y[0])
            yield f'<path d="M{x} {bottom}v4" stroke="#444"/>'
            yield text_at(x, bottom + 16, said(tick, percent), "middle")
        for tick in ticks(*self.y, most=4):
            _, y = self.at(self.x[0], tick)
            yield f'<path d="M{left} {y}h-4" stroke="#444"/>'
            yield text_at(left - 7, y + 4, said(tick, True), "end")
        yield text_at((left + right) / 2, bottom + 36, across, "middle")
        middle = (top + bottom) / 2
        yield text_at(12, middle, up, "middle", turn=f'transform="rotate(-90 12 {middle})"')


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, at most so many and one."""
    span = high - low
    if not span > 0:
        return [low]
    least = span / most
    unit = 10.0 ** floor(log10(least))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= least * (1 - 1e-9))
    return [step * i for i in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def histogram(
    file: str, title: str, alt: str, edges: Sequence[float], shares: dict[str, Sequence[float]]
) -> Plot:
    """How the scores of ID images (``id``, a filled area) and of near and far OOD images lie."""
    rows = 16 * len(shares)  # above the axes, for the names
    highest = max(max(one) for one in shares.values()) or 1
    axes = Axes((edges[0], edges[-1]), (0, highest), TOP + rows, BOTTOM + 16)
    drawn, names = [], []
    for i, (name, heights) in enumerate(shares.items()):
        colour, dashes = STYLES.get(name, (AREA, SOLID))
        outline = steps(axes, edges, heights)
        if name == "id":
            base = axes.at(edges[-1], 0)[1]
            drawn.append(f'<path d="{outline}V{base}Z" fill="{AREA}"/>')
        else:
            drawn.append(stroke(outline, colour, dashes))
        peak = max(range(len(heights)), key=heights.__getitem__)
        x, y = axes.at((edges[peak] + edges[peak + 1]) / 2, heights[peak])
        at = TOP + 16 * i
        names.append(f'<path d="M{x} {at + 4}V{y}" stroke="#777" stroke-width=".7"/>')
        ink = "#1f5c8a" if name == "id" else colour
        anchor = "start" if x < WIDTH / 2 else "end"
        beside = x + (4 if anchor == "start" else -4)
        label = "ID" if name == "id" else f"{name} OOD"
        names.append(text_at(beside, at + 4, label, anchor, colour=ink))
    frame = axes.frame("score (higher = more in-distribution)", "images (%)", percent=False)
    middle = (LEFT + WIDTH - RIGHT) / 2
    beyond = text_at(middle, HEIGHT - 8, "the bars at both ends hold all that lies beyond", "middle")
    data = [
        ("", name, "bar", shown((low + high) / 2), shown(height), shown(low), shown(high))
        for name, heights in shares.items()
        for height, low, high in zip(heights, edges, edges[1:], strict=False)
    ]
    return figure(file, title, alt, [*drawn, *frame, beyond, *names], data)


def roc(
    file: str, title: str, alt: str, fpr: Sequence[float], tpr: dict[str, tuple[Sequence[float], str]]
) -> Plot:
    """ROC curves of near and far OOD images, each with what is written beside its name."""
    axes = Axes((0, 1), (0, 1))
    (left, bottom), (right, top) = axes.at(0, 0), axes.at(1, 1)
    drawn = [f'<path d="M{left} {bottom}L{right} {top}" stroke="#999" stroke-width=".8"/>']
    for i, (name, (heights, said)) in enumerate(tpr.items()):
        colour, dashes = STYLES[name]
        points = [axes.at(x, y) for x, y in zip(fpr, heights, strict=True)]
        drawn.append(stroke("M" + "L".join(f"{x} {y}" for x, y in points), colour, dashes))
        y = bottom - 14 - 18 * (len(tpr) - 1 - i)
        drawn.append(stroke(f"M{right - 176} {y - 4}h26", colour, dashes))
        drawn.append(text_at(right - 144, y, f"{name} OOD, {said}", "start", colour=colour))
    frame = axes.frame("OOD images let through (%)", "ID images kept (%)", percent=True)
    data = [
        ("", name, "line", shown(x), shown(y), "", "")
        for name, (heights, _) in tpr.items()
        for x, y in zip(fpr, heights, strict=True)
    ]
    return figure(file, title, alt, [*drawn, *frame], data)


def steps(axes: Axes, edges: Sequence[float], heights: Sequence[float]) -> str:
    """The outline of bars between `edges`, from the left end of the axis on."""
    left, bottom = axes.at(edges[0], 0)
    path = [f"M{left} {bottom}"]
    for edge, height in zip(edges[1:], heights, strict=True):
        x, y = axes.at(edge, height)
        path.append(f"V{y}H{x}")
    return "".join(path)


def stroke(path: str, colour: str, dashes: str) -> str:
    """A line along a path."""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6"{dashed}/>'


def text_at(x: float, y: float, text: str, anchor: str, *, colour: str = "#222", turn: str = "") -> str:
    """Text with a white edge, so that it can be read on lines."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    edge = 'stroke="#fff" stroke-width="3" paint-order="stroke"'
    return f'<text {place} fill="{colour}" {edge} {turn}>{escape(text)}</text>'.replace(" >", ">")


def said(number: float, percent: bool) -> str:
    """A number at a tick; a share ×100."""
    return f"{100 * number if percent else number:.6g}".replace("-", "−")


def figure(
    file: str,
    title: str,
    alt: str,
    inside: Sequence[str],
    data: Sequence[Sequence[str]],
    height: int = HEIGHT,
) -> Plot:
    """A figure of what is drawn inside, on white, with its title for those who do not see it."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="{escape(FONT)}" font-size="12">'
    )
    white = f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    svg = "\n".join([head, f"<title>{escape(alt)}</title>", white, *inside, "</svg>\n"])
    return Plot(file, title, alt, svg, WIDTH, height, table(HEAD, data))

"""Each method's rank there and here, in a figure that is as wide as a phone.

Ranks and not AUROC: no two methods share a height, so that every label has room. This module must not know
where the figure is shown.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from reports.openood.compare import Agreement, Comparison, Move
from reports.openood.published import GROUPS, Group
from reports.plots.figures import COLOURS, file_name, finish, house_style
from reports.site.sections import Plot

WIDTH = 3.7  # inches
LINE = 0.19  # inches a method
NAMED = 5  # of those that move most

MOVED, OTHER = COLOURS[0], COLOURS[1]


def plots(comparison: Comparison) -> tuple[Plot, ...]:
    """A figure for near and one for far OOD."""
    return tuple(plot(comparison, group) for group in GROUPS)


def plot(comparison: Comparison, group: Group) -> Plot:
    """The best methods are at the top right; on the line both ranks are equal."""
    agreement = comparison.agreement[group]
    number = len(agreement.moves)
    title = f"{group.capitalize()} OOD: ranks of {number} methods"
    moved = ", ".join(f"{move.name} {move.there} to {move.here}" for move in agreement.movers[:NAMED])
    alt = (
        f"Ranks of {number} methods in OpenOOD v1.5 (across) and here (upwards), the best at the top "
        f"right; on the line both are equal. Spearman's ρ is {agreement.rho:.2f}. "
        + (f"Those that move most, rank there to rank here: {moved}." if moved else "None moves.")
    )
    with house_style():
        figure = drawn(agreement, f"rank here, {comparison.init}")
        return finish(figure, file_name("openood", comparison.track, comparison.init, group), title, alt)


def drawn(agreement: Agreement, label: str) -> Figure:
    """The ranks as marks with names, those that move most in another colour and shape."""
    number = len(agreement.moves)
    moved = {move.name for move in agreement.movers[:NAMED]}
    figure = Figure(figsize=(WIDTH, 0.7 + LINE * (number + 1)), layout="constrained")
    axis = figure.subplots()
    axis.plot((1, number), (1, number), color="#999999", linewidth=0.9, zorder=1)
    for (x, y), moves in _places(agreement.moves).items():
        far = any(move.name in moved for move in moves)
        colour = MOVED if far else OTHER
        axis.plot([x], [y], color=colour, marker="D" if far else "o", markersize=4.5, linestyle="none")
        left_half = x > (number + 1) / 2  # names point to where there is room
        axis.annotate(
            ", ".join(move.name for move in moves),
            (x, y),
            xytext=(6 if left_half else -6, 0),
            textcoords="offset points",
            ha="left" if left_half else "right",
            va="center_baseline",
            fontsize=8,
            color=colour,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.3},  # the line passes behind
        )
    ticks = [1, *range(5, number + 1, 5)]
    axis.set(xticks=ticks, yticks=ticks, xlim=(number + 0.8, 0.2), ylim=(number + 0.8, 0.2))
    axis.set(xlabel="rank in OpenOOD v1.5", ylabel=label)
    return figure


def _places(moves: tuple[Move, ...]) -> dict[tuple[int, int], list[Move]]:
    """Methods by their ranks: those with equal ones share a mark."""
    found: dict[tuple[int, int], list[Move]] = {}
    for move in moves:
        found.setdefault((move.there, move.here), []).append(move)
    return found

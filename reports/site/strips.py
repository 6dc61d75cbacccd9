"""Where the dots of a strip lie, in CSS pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reports.site.cells import Dots, Scale

WIDTH, HEIGHT, MARGIN = 220, 22, 8


@dataclass(frozen=True)
class Axis:
    """Where zero, the band around it and the ticks are."""

    zero: float
    band: tuple[float, float]
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Strip:
    """Where the dots, their mean and its interval are, and the axis."""

    axis: Axis
    dots: tuple[float, ...]
    mean: float
    interval: tuple[float, float] | None


def axis_of(scale: Scale) -> Axis:
    """Place a scale on the width of a strip."""
    factor = 100 if scale.percent else 1
    ticks = tuple(
        (_x(tick / factor, scale), f"{tick:g}".replace("-", "−"))
        for tick in _ticks(factor * scale.low, factor * scale.high)
    )
    return Axis(_x(0.0, scale), (_x(-scale.band, scale), _x(scale.band, scale)), ticks)


def strip_of(dots: Dots) -> Strip:
    """Place dots on the width of a strip."""
    scale = dots.scale
    return Strip(
        axis=axis_of(scale),
        dots=tuple(_x(value, scale) for value in dots.values),
        mean=_x(dots.mean, scale),
        interval=None
        if dots.interval is None
        else (_x(dots.interval[0], scale), _x(dots.interval[1], scale)),
    )


def _x(value: float, scale: Scale) -> float:
    return round(MARGIN + (WIDTH - 2 * MARGIN) * (value - scale.low) / (scale.high - scale.low), 1)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers within [low, high], two to six of them, zero among them."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]

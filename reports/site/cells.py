"""What stands in the cells of tables: numbers with intervals, positions, labels, strips of dots.

This module must not know how a table is laid out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from reports.site.numbers import fixed, signed
from reports.site.text import Text

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Number:
    """A measured number in its own unit, with half the width of its interval."""

    value: float
    percent: bool = True  # a share, shown ×100
    half: float = math.nan  # NaN: there is no interval
    signed: bool = False
    best: bool = False
    digits: int | None = None  # after the point; None: as many as the pages give
    shade: int | None = None  # 0 to 7: how dark its cell is in a heat map

    @property
    def text(self) -> str:
        """The number in the unit of the pages."""
        return (signed if self.signed else fixed)(self.value, percent=self.percent, digits=self.digits)

    @property
    def spread(self) -> str:
        """Half the interval in the unit of the pages, or nothing."""
        return "" if math.isnan(self.half) else fixed(self.half, percent=self.percent)


@dataclass(frozen=True)
class Range:
    """An interval of a difference."""

    low: float
    high: float
    percent: bool = True

    @property
    def texts(self) -> tuple[str, str]:
        """Both bounds in the unit of the pages."""
        return signed(self.low, percent=self.percent), signed(self.high, percent=self.percent)


@dataclass(frozen=True)
class Estimate:
    """A number with both ends of its interval, which need not lie evenly around it."""

    value: float
    low: float
    high: float
    percent: bool = True
    signed: bool = False

    @property
    def text(self) -> str:
        """The number in the unit of the pages."""
        return self._said(self.value)

    @property
    def interval(self) -> str:
        """Both ends in the unit of the pages."""
        return f"[{self._said(self.low)}, {self._said(self.high)}]"

    def _said(self, number: float) -> str:
        return (signed if self.signed else fixed)(number, percent=self.percent)


@dataclass(frozen=True)
class Count:
    """How many there are, of how many there should be."""

    n: int
    of: int

    @property
    def text(self) -> str:
        """The second number only where it is another."""
        return str(self.n) if self.n >= self.of else f"{self.n} of {self.of}"


@dataclass(frozen=True)
class Position:
    """Where a row stands, with the interval of its position."""

    n: int
    low: int
    high: int
    leads: bool  # not significantly worse than the first

    @property
    def texts(self) -> tuple[str, str]:
        """The position, and its interval."""
        return str(self.n), f"[{self.low}–{self.high}]"


@dataclass(frozen=True)
class Labels:
    """What a row is, from the most to the least important part."""

    parts: tuple[str, ...]


@dataclass(frozen=True)
class Metric:
    """A name of a measured number, and which way is better."""

    title: str
    better: Better


@dataclass(frozen=True)
class Scale:
    """The axis that strips of dots share, in the numbers' own unit; zero lies on it."""

    low: float
    high: float
    band: float  # half the width of the band around zero
    percent: bool = True


@dataclass(frozen=True)
class Dots:
    """Numbers as a strip of dots, with their mean and its interval."""

    title: str
    values: tuple[float, ...]
    mean: float
    interval: tuple[float, float] | None
    scale: Scale

    @property
    def texts(self) -> list[str]:
        """The numbers in the unit of the pages."""
        return [signed(value, percent=self.scale.percent) for value in self.values]

    @property
    def alt(self) -> str:
        """What the strip shows."""
        listed = (fixed(value, percent=self.scale.percent) for value in self.values)
        return f"{self.title}: {', '.join(listed)}"


@dataclass(frozen=True)
class Noted:
    """Something with a remark."""

    what: Text | Labels
    note: str


Content = (
    Text | int | None | Number | Estimate | Range | Count | Position | Labels | Metric | Dots | Noted
)  # None: a dash

"""How numbers, names and cards of an evaluation are said, and which texts of it may be shown.

This module must not know where they stand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from benchmark.evaluation.outcome import DetectorOutcome, Interval, Outcome, SetCard
from benchmark.studies.detection.measurement import GROUPS
from methods.errors import printable
from reports.site.cells import Estimate
from reports.site.numbers import fixed

ROLES = {
    "id_train": "ID, for the fit",
    "id_val": "ID, for thresholds",
    "id_test": "ID, to test on",
    "near": "near OOD",
    "far": "far OOD",
}
LISTED = 12  # entries of a list or a mapping on a card; more are counted
LONG = 300  # characters of an entry on a card
SHORT = 60  # of a name where there is little room


class Names:
    """Foreign texts as any page, terminal and file can hold them, each in one way, no two in the same."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}
        self._taken: set[str] = set()

    def shown(self, text: str) -> str:
        """A text on one line, without control characters and marks that turn the direction of writing."""
        if text not in self._shown:
            said, number = printable(text), 1
            while (one := said if number == 1 else f"{said} ({number})") in self._taken:
                number += 1
            self._shown[text] = one
            self._taken.add(one)
        return self._shown[text]

    def of(self, value: Any) -> Any:
        """The same of all texts of something that JSON can hold, the names of mappings included."""
        match value:
            case str():
                return self.shown(value)
            case Mapping():
                return {self.shown(str(name)): self.of(one) for name, one in value.items()}
            case list() | tuple():
                return [self.of(one) for one in value]
        return value


def readable(outcome: Outcome) -> Outcome:
    """The same outcome with texts that can be shown: what users wrote may hold any character."""
    return Outcome.model_validate(Names().of(outcome.model_dump(mode="json")))


def short(text: str, most: int = SHORT) -> str:
    """As much of a name as a head of a column holds."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def ood_sets(outcome: Outcome) -> tuple[SetCard, ...]:
    """The OOD sets, near ones first, each group in the order in which it was given."""
    return tuple(one for group in GROUPS for one in outcome.sets if one.role == group)


def best_of(outcome: Outcome) -> DetectorOutcome:
    """The recommended detector."""
    return next(one for one in outcome.detectors if one.name == outcome.recommended.name)


def share(number: float, digits: int = 1) -> str:
    """A share in per cent, with its sign."""
    return f"{fixed(number, digits=digits)} %"


def wanted(number: float) -> str:
    """A share that somebody asked for, in as many digits as it has."""
    return f"{100 * number:.6g} %"


def ends(interval: Interval) -> str:
    """Both ends of an interval of shares, in per cent without its sign."""
    return f"{fixed(interval.low, digits=1)}–{fixed(interval.high, digits=1)}"


def score(number: float) -> str:
    """A score or a threshold, in four digits or to a tenth; `report.json` has all digits."""
    text = f"{number:.1f}" if 1e3 <= abs(number) < 1e6 else f"{number:.4g}"
    return text.replace("-", "−")


def estimate(interval: Interval | None, *, signed: bool = False) -> Estimate | None:
    """What stands in a cell."""
    return None if interval is None else Estimate(interval.value, interval.low, interval.high, signed=signed)


def mean_of(intervals: Iterable[Interval]) -> float:
    """The mean of the numbers."""
    return fmean(one.value for one in intervals)


def counted(number: int, name: str, several: str = "") -> str:
    """How many there are."""
    return f"{number:,} {name if number == 1 else several or f'{name}s'}"


def listed(names: Iterable[str]) -> str:
    """Names with commas, and the last one after *and*."""
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last


def facts_of(card: Mapping[str, Any], first: Iterable[str] = ()) -> tuple[tuple[str, str], ...]:
    """A card as names and texts: the names that are listed in `first`, then the others by the alphabet."""
    names = [*(name for name in first if name in card), *sorted(card.keys() - set(first))]
    return tuple((name.replace("_", " "), said) for name in names if (said := _said(card[name])))


def _said(value: Any, depth: int = 0) -> str:
    match value:
        case None | "":
            return "–" if depth else ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.6g}"
        case str():
            return value if len(value) <= LONG else f"{value[:LONG]}… ({len(value):,} characters)"
        case Mapping() if depth < 2:
            return _cut([f"{name}: {_said(value[name], depth + 1)}" for name in sorted(value)], depth)
        case list() | tuple() if depth < 2:
            return _cut([_said(one, depth + 1) for one in value], depth)
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= LONG else f"{text[:LONG]}…"


def _cut(parts: list[str], depth: int) -> str:
    more = len(parts) - LISTED
    text = ", ".join(parts[:LISTED]) + (f" and {more:,} more" if more > 0 else "")
    return f"({text})" if depth and parts else text

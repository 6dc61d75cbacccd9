"""Numbers of records as arrays: their paths stand once a file, and so do counts that all records share.

Series of shares of images are written as the counts of images, integers, where these give back the same
numbers, and rates as the counts that they rise by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from benchmark.records.text import Table, look_up, to_json

COLUMNS = "columns"  # the table of the paths
_PATHS, _SAME = "paths", "same"
Numbers = Mapping[str, float]


class Columns:
    """The paths that some records have; those of equal paths share a table entry."""

    def __init__(self, records: Sequence[Numbers]) -> None:
        self.table = Table()
        groups: dict[tuple[str, ...], list[Numbers]] = {}
        for numbers in records:
            groups.setdefault(tuple(numbers), []).append(numbers)
        self._known = {paths: _columns(paths, found) for paths, found in groups.items() if paths}

    def packed(self, numbers: Numbers) -> dict[str, Any]:
        """What a record says instead of its numbers."""
        if not numbers:
            return {}
        columns = self._known[tuple(numbers)]
        values = [_short(numbers[path]) for path in columns[_PATHS] if path not in columns[_SAME]]
        return {COLUMNS: self.table.add(columns), "numbers": values}


def unpacked(line: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record that was read.

    Raises
    ------
    LookupError, ValueError
        If they are not as many as their columns.
    """
    if "numbers" not in line:
        return {}
    columns = look_up(table, COLUMNS, line)
    same, values = columns[_SAME], line["numbers"]
    paths = [path for path in columns[_PATHS] if path not in same]
    if not isinstance(values, list) or len(values) != len(paths):
        raise ValueError(f"numbers: expected a list of {', '.join(paths)}, got {to_json(values):.120}")
    found = same | dict(zip(paths, values, strict=True))
    return {path: found[path] for path in columns[_PATHS]}


def written(series: Mapping[str, Sequence[Any]], images: Mapping[str, tuple[int, bool]]) -> dict[str, Any]:
    """Series as they are written; `images` says of how many images some are the shares, and which rise."""
    found: dict[str, Any] = {}
    for name, values in series.items():
        of, rising = images.get(name, (0, False))
        counts = _counts(values, of) if of else None
        if counts is not None and rising:
            counts = [b - a for a, b in zip([0, *counts], counts, strict=False)]
        found[name] = list(map(_short, values)) if counts is None else counts
    return found


def read(series: Mapping[str, Any], images: Mapping[str, tuple[int, bool]]) -> dict[str, Any]:
    """Series that were written so."""
    found = dict(series)
    for name, (of, rising) in images.items():
        values = found.get(name)
        if of and isinstance(values, list) and values and all(type(value) is int for value in values):
            found[name] = [count / of for count in (accumulate(values) if rising else values)]
    return found


def _columns(paths: tuple[str, ...], records: Sequence[Numbers]) -> dict[str, Any]:
    first, *others = records
    same = {
        path: _short(value)
        for path, value in first.items()
        if others and float(value).is_integer() and value > 1 and all(one[path] == value for one in others)
    }
    return {_PATHS: list(paths), _SAME: same}


def _short(value: float | None) -> float | None:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _counts(shares: Sequence[float], of: int) -> list[int] | None:
    """Shares as counts of images, if these give back the same shares."""
    counts = [round(share * of) for share in shares]
    return counts if [float(f"{count / of:.4g}") for count in counts] == shares else None

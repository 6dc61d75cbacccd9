"""Whether the records at hand are those that a run would write today."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmark.records.files import iterate
from benchmark.records.place import place_of
from benchmark.records.record import DETECTION

if TYPE_CHECKING:
    from benchmark.plan.plan import Plan

State = Literal["current", "failed", "outdated", "misplaced", "missing"]


def freshness(plan: Plan, results: Path) -> dict[str, Counter[State]]:
    """Count the plan's records below `results`, for each track and each study of a track.

    A record is outdated if its content key is another: the code, the settings or the libraries that it was
    made with are not those of today. Its numbers need not differ. The records of today that say why nothing
    could be measured are counted apart where another run tries again; so are those that bear the key of
    another place, which no run wrote there.

    Raises
    ------
    DataError
        If a record file is not JSON or not of this schema: names the file, the place and what was expected.
    """
    there = {
        place_of(file, record): (record.key, record.status)
        for file in iterate(results)
        for record in file.records
    }
    wanted = {planned.place: planned.key for planned in plan.places}
    keys = set(wanted.values())
    found: dict[str, Counter[State]] = {}
    for place, key in wanted.items():
        name = place.track if place.study == DETECTION else f"{place.track}, {place.study.replace('_', ' ')}"
        state = _state(there.get(place), key, keys)
        found.setdefault(name, Counter())[state] += 1
    return found


def _state(record: tuple[str, str] | None, key: str, elsewhere: Collection[str]) -> State:
    if record is None:
        return "missing"
    seen, status = record
    if seen != key:
        return "misplaced" if seen in elsewhere else "outdated"
    return "failed" if status == "failed" else "current"

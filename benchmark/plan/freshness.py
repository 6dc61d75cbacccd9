"""Whether the records at hand are those that a run would write today."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmark.records.results import iter_records
from benchmark.records.studies import read_studies

if TYPE_CHECKING:
    from benchmark.plan.make import Plan

State = Literal["current", "failed", "outdated", "misplaced", "missing"]
Place = tuple[str | int | None, ...]


def freshness(plan: Plan, results: Path) -> dict[str, Counter[State]]:
    """Count the plan's records below `results`, for each track and each study of a track.

    A record is outdated if its content key is another: the code, the settings or the libraries that it was
    made with are not those of today. Its numbers need not differ. The records of today that say why nothing
    could be measured are counted apart where another run tries again; so are those that bear the key of
    another cell, which no run wrote there.

    Raises
    ------
    DataError
        If a record file is not JSON or not of this schema: names the file, the place and what was expected.
    """
    there: dict[Place, tuple[str, str]] = {
        (file.track, None, file.entry, *record.cell): (record.key, record.status)
        for file in iter_records(results)
        for record in file.records
    }
    there |= {
        (study.track, study.study, study.row, *made.cell): (made.key, made.status)
        for study in read_studies(results)
        for made in study.records
    }
    wanted: dict[Place, str] = {
        (c.cell.track, None, c.cell.entry, c.cell.backbone, c.cell.init, c.cell.seed): c.key
        for c in plan.cells
    }
    wanted |= {
        (s.track, s.study, s.row, s.backbone, s.init, s.seed, s.condition): s.key for s in plan.studies
    }
    keys = set(wanted.values())
    found: dict[str, Counter[State]] = {}
    for place, key in wanted.items():
        track, study, *_ = place
        name = str(track) if study is None else f"{track}, {str(study).replace('_', ' ')}"
        found.setdefault(name, Counter())[_state(there.get(place), key, keys)] += 1
    return found


def _state(record: tuple[str, str] | None, key: str, elsewhere: Collection[str]) -> State:
    if record is None:
        return "missing"
    seen, status = record
    if seen != key:
        return "misplaced" if seen in elsewhere else "outdated"
    return "failed" if status == "failed" else "current"

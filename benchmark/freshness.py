"""Whether the records at hand are those that a run would write today."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmark.results import Record, read_all
from benchmark.studies.records import StudyRecord, read_studies

if TYPE_CHECKING:
    from benchmark.plan import Plan

State = Literal["current", "failed", "outdated", "missing"]
Place = tuple[str | int | None, ...]


def freshness(plan: Plan, results: Path) -> dict[str, Counter[State]]:
    """Count the plan's records below `results`, for each track and each study of a track.

    A record is outdated if its content key is another: the code, the settings or the libraries that it was
    made with are not those of today. Its numbers need not differ. The records of today that say why nothing
    could be measured are counted apart where another run tries again.

    Raises
    ------
    DataError
        If a record file is not JSON or not of this schema: names the file, the place and what was expected.
    """
    there: dict[Place, Record | StudyRecord] = {
        (file.track, None, file.entry, *record.cell): record
        for file in read_all(results)
        for record in file.records
    }
    there |= {
        (study.track, study.study, study.row, *made.cell): made
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
    found: dict[str, Counter[State]] = {}
    for place, key in wanted.items():
        track, study, *_ = place
        name = str(track) if study is None else f"{track}, {str(study).replace('_', ' ')}"
        found.setdefault(name, Counter())[_state(there.get(place), key)] += 1
    return found


def _state(record: Record | StudyRecord | None, key: str) -> State:
    if record is None:
        return "missing"
    if record.key != key:
        return "outdated"
    return "failed" if record.status == "failed" else "current"

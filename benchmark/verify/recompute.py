"""Published cells, computed again in a store of their own: networks may come from the cache, scores never."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmark.engines.schedule import OnEvent
from benchmark.errors import DamagedArtifact, UsageError
from benchmark.jobs.job import Job, Kind
from benchmark.networks.cards import KINDS
from benchmark.plan.plan import Plan, Planned
from benchmark.records.files import iterate
from benchmark.records.place import Place, place_of
from benchmark.records.record import TRAININGS, Environment, Record, RecordFile
from benchmark.run import run_plan, work
from benchmark.store.artifacts import Store
from benchmark.store.files import storage_errors


@dataclass(frozen=True)
class Published:
    """A published record, and the file that it stands in."""

    file: RecordFile  # without records
    record: Record

    @property
    def measured_in(self) -> Environment | None:
        """Where it was measured, where that is recorded."""
        made = self.record.provenance
        return None if made is None or made.measured_in is None else self.file.environments[made.measured_in]


@dataclass
class Claims:
    """What is published of a plan's places."""

    cells: dict[Planned, Published] = field(default_factory=dict)  # measured, in the order of the plan
    rows: dict[tuple[str, str, str], list[Record]] = field(default_factory=dict)  # of a track's study
    missing: list[Place] = field(default_factory=list)  # of rows that are published in part
    other_code: dict[Planned, str] = field(default_factory=dict)  # why they are not what today's code makes


def claims_of(plan: Plan, published: Path) -> Claims:
    """Find the published records of a plan, those that are missing, and those that other code made.

    Raises
    ------
    DataError
        If a record file cannot be read.
    UsageError
        If nothing of the plan is published.
    """
    wanted = {planned.place: planned for planned in plan.measured if planned.place.study != TRAININGS}
    rows = {place[:3] for place in wanted}
    claims, there = Claims(), dict[Place, Published]()
    for file in iterate(published):
        row = file.track, file.study, file.row
        if row not in rows:
            continue
        about = file.model_copy(update={"records": []})
        claims.rows[row] = file.records
        there |= {place_of(file, record): Published(about, record) for record in file.records}
    for place, planned in wanted.items():
        found = there.get(place)
        if found is None:
            if place[:3] in claims.rows:
                claims.missing.append(place)
        elif found.record.status == "measured":
            claims.cells[planned] = found
            if (why := _other_code(plan, planned, found.record)) is not None:
                claims.other_code[planned] = why
    if not claims.cells:
        raise UsageError(f"{published}: no measured record of what is selected is published there")
    return claims


def _other_code(plan: Plan, planned: Planned, record: Record) -> str | None:
    """Why a record is not what the code of today makes: its method's source is another."""
    made = record.provenance
    scored = planned.chain.get(Kind.SCORE, planned.key)
    if plan.jobs[scored].kind == Kind.GATHER:
        scored = plan.jobs[scored].needs[0]
    today = plan.jobs[scored].code
    if made is None or made.method_source == today:
        return None
    return f"made by other code ({str(made.method_source)[:12]}, today {today[:12]})"


def networks_lacking(plan: Plan, planned: Planned, store: Store) -> list[str]:
    """The networks of a place that a cache lacks."""
    keys = [key for key in planned.keys if plan.jobs[key].kind in KINDS]
    return [plan.jobs[key].label for key in keys if not store.has(key)]


def recompute(
    plan: Plan,
    chosen: Sequence[Planned],
    retrained: Sequence[Planned],
    cache: Path,
    *,
    workers: int,
    on_event: OnEvent,
    expect: Callable[[list[Job]], None],
) -> dict[Place, Record]:
    """Measure places again.

    Parameters
    ----------
    chosen : of these the networks are taken from the cache, and nothing else.
    retrained : of these nothing is taken.

    Raises
    ------
    StorageError
        If the temporary folder is full.
    """
    found: dict[Place, Record] = {}
    for places, given in ((chosen, True), (retrained, False)):
        if places:
            with _scratch(cache) as folder:
                if given:
                    _take_networks(plan, places, Store(cache), Store(folder / "cache"))
                part = replace(plan, measured=tuple(places), trainings=())
                expect(work(part, folder / "cache").missing)
                done = run_plan(
                    part, cache=folder / "cache", results=folder / "runs", workers=workers, on_event=on_event
                )
                found |= done.records
    return found


class _scratch:  # noqa: N801 used like a function
    """A temporary folder beside the cache, on the same disk; gone afterwards."""

    def __init__(self, cache: Path) -> None:
        with storage_errors(cache):
            cache.parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=".oodbench-verify-", dir=cache.parent))

    def __enter__(self) -> Path:
        return self._folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _take_networks(plan: Plan, places: Sequence[Planned], source: Store, into: Store) -> None:
    into.prepare()
    keys = dict.fromkeys(key for one in places for key in one.keys if plan.jobs[key].kind in KINDS)
    for key in keys:
        try:
            artifact = source.open(key)
        except DamagedArtifact:
            continue  # it is trained again
        with into.lock(key), into.create(key, artifact.manifest["made"]) as draft:
            for name in artifact.manifest["files"]:
                draft.copy(artifact, name)

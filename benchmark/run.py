"""A run: plan in, records out. What is finished is written however the run ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.engines.pool import Pool
from benchmark.engines.processes import Processes
from benchmark.engines.schedule import ATTEMPTS, OnEvent, missing, run_jobs
from benchmark.errors import StorageError
from benchmark.jobs.job import Job
from benchmark.plan.plan import Plan
from benchmark.records.collect import Collected
from benchmark.records.files import read_records
from benchmark.records.finished import Finished
from benchmark.records.networks import Networks
from benchmark.records.place import Place
from benchmark.records.record import Record
from benchmark.records.text import record_path
from benchmark.store.artifacts import Store
from benchmark.store.files import require_writable

# Who does the jobs where `run_plan` is not told: a pool of so many workers, and of one for each device. Tests
# put one of their process.
default_pool: Callable[[int, Sequence[str]], Pool] = Processes


@dataclass(frozen=True)
class Summary:
    """What a run came to."""

    records: Mapping[Place, Record]
    written: list[Path]  # record files that changed
    failed: int  # places
    withdrawn: list[str]  # places whose record cannot be made any more: a failure took its place


def run_plan(
    plan: Plan,
    *,
    cache: Path,
    results: Path,
    on_event: OnEvent,
    workers: int = 1,
    devices: Sequence[str] = (),
    pool: Pool | None = None,
    fresh: bool = False,
) -> Summary:
    """Measure every cell of the plan that the cache does not hold, and write the records.

    `pool` does the jobs; if absent, so many `workers` of `default_pool` do, and one for each of `devices`, as
    `benchmark.backbones.device.chosen_devices` names them.

    Raises
    ------
    StorageError
        If the cache or the results cannot be written; finished work stays in the cache.
    DataError
        If a record file that is to be updated cannot be read; nothing has been computed then.
    KeyboardInterrupt
        After the records of all finished cells have been written.
    """
    store = Store(cache)
    store.prepare()
    known: dict[Path, Networks] = {}
    for path in dict.fromkeys(
        record_path(results, p.place.track, p.place.row, p.place.study) for p in plan.places
    ):
        require_writable(path.parent)
        if path.exists():
            read_records(path, known)
    pool = default_pool(workers, devices) if pool is None else pool
    try:
        for _ in range(ATTEMPTS):
            failures = run_jobs(store, pool, plan.jobs, wanted_keys(plan), on_event, fresh=fresh)
            found = Collected(plan, Finished(store, plan.jobs), failures)
            if found.whole:
                break
            fresh = False  # only what turned out to be damaged is computed again
        else:
            raise StorageError(
                f"{cache}: what is written is damaged when it is read, {ATTEMPTS} times over; check the disk"
            )
    except (KeyboardInterrupt, StorageError):
        Collected(plan, Finished(store, plan.jobs), {}).write(results)
        raise
    updated = found.write(results)
    records = {planned.place: record for planned, record in found.records.items()}
    failed = sum(record.status == "failed" for record in records.values())
    return Summary(records, updated.written, failed, updated.withdrawn)


def wanted_keys(plan: Plan) -> list[str]:
    """Every artifact that the records of the plan draw on."""
    return list(dict.fromkeys(key for planned in plan.places for key in planned.keys))


@dataclass(frozen=True)
class Work:
    """The jobs of a plan, inputs first."""

    needed: list[Job]  # that its records rest on
    cached: list[Job]  # of those, whose artifacts the cache holds
    missing: list[Job]  # that `run_plan` would run; what only cached ones need is not made again


def work(plan: Plan, cache: Path, *, fresh: bool = False) -> Work:
    """Look up which jobs of a plan there are, and which a run would run; with `fresh` all of them."""
    store, wanted = Store(cache), wanted_keys(plan)
    needed = missing(store, plan.jobs, wanted, fresh=True)
    lacking = needed if fresh else missing(store, plan.jobs, wanted)
    return Work(needed, [job for job in needed if store.has(job.key)], lacking)

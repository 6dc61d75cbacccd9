"""A run: plan in, records out. What is finished is written however the run ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.engines.pool import Pool
from benchmark.engines.processes import Processes
from benchmark.engines.schedule import ATTEMPTS, OnEvent, missing, run_jobs
from benchmark.errors import DamagedArtifact, StorageError
from benchmark.jobs.job import Job, Kind
from benchmark.plan.make import Plan, PlannedCell, PlannedStudy
from benchmark.records.collect import collect_studies, study_paths, write_studies
from benchmark.records.finished import Finished
from benchmark.records.results import (
    Cell,
    Cost,
    Environment,
    Provenance,
    Record,
    RecordFile,
    Updated,
    read_records,
    record_path,
    update_records,
)
from benchmark.records.studies import StudyRecord, read_study
from benchmark.records.text import results_lock
from benchmark.records.trainings import read_training, training_path, write_trainings
from benchmark.store.artifacts import Store
from benchmark.store.files import require_writable
from benchmark.studies.boundary import FILE, boundary_file, read_boundary, write_boundary

# Who does the jobs where `run_plan` is not told: a pool for so many workers. Tests put one of their process.
default_pool: Callable[[int], Pool] = Processes


@dataclass(frozen=True)
class Summary:
    """What a run came to."""

    records: Mapping[Cell, Record]
    studies: Mapping[PlannedStudy, StudyRecord]
    written: list[Path]  # record files that changed
    failed: int  # cells, and jobs that belong to none
    withdrawn: list[str]  # cells whose record cannot be made any more: a failure took its place


def run_plan(
    plan: Plan,
    *,
    cache: Path,
    results: Path,
    on_event: OnEvent,
    workers: int = 1,
    pool: Pool | None = None,
    fresh: bool = False,
) -> Summary:
    """Measure every cell of the plan that the cache does not hold, and write the records.

    `pool` does the jobs; if absent, so many `workers` of `default_pool` do.

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
    readers: dict[Path, Callable[[Path], object]] = {}
    for c in plan.cells:
        readers[record_path(results, c.cell.track, c.cell.entry)] = read_records
        readers[training_path(results, c.cell.track, c.objective)] = read_training
    readers |= dict.fromkeys(study_paths(plan, results), read_study)
    if plan.boundary:
        readers[results / FILE] = read_boundary
    for path, read in readers.items():
        require_writable(path.parent)
        if path.exists():
            read(path)
    pool = default_pool(workers) if pool is None else pool
    try:
        for _ in range(ATTEMPTS):
            failures = run_jobs(store, pool, plan.jobs, wanted_keys(plan), on_event, fresh=fresh)
            found = _collect(plan, store, failures)
            whole = len(found.records) == len(plan.cells) and len(found.studies) == len(plan.studies)
            if whole and all(k in failures or _is_whole(store, k) for k in _read_besides(plan)):
                break
            fresh = False  # only what turned out to be damaged is computed again
        else:
            raise StorageError(
                f"{cache}: what is written is damaged when it is read, {ATTEMPTS} times over; check the disk"
            )
    except (KeyboardInterrupt, StorageError):
        _write(plan, store, results, _collect(plan, store, {}))
        raise
    failed = sum(record.status == "failed" for record in found.records.values())
    failed += sum(record.status == "failed" for record in found.studies.values())
    failed += sum(key in failures for key in plan.boundary)
    updated = _write(plan, store, results, found)
    return Summary(found.records, found.studies, updated.written, failed, updated.withdrawn)


def wanted_keys(plan: Plan) -> list[str]:
    """Every artifact that the records of the plan draw on."""
    keys = (key for cell in plan.cells for key in cell.keys)
    of_studies = (key for planned in plan.studies for key in planned.keys)
    return list(dict.fromkeys([*keys, *of_studies, *plan.boundary]))


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


def _read_besides(plan: Plan) -> list[str]:
    """What is read for other files than those of cells and studies: trainings, and the plane."""
    trained = (c.chain[kind] for c in plan.cells for kind in (Kind.PRETRAIN, Kind.TRAIN) if kind in c.chain)
    return list(dict.fromkeys([*trained, *plan.boundary]))


def _is_whole(store: Store, key: str) -> bool:
    """Whether an artifact is there and can be read; if it is damaged it has been set aside."""
    try:
        store.open(key)
    except DamagedArtifact:
        return False
    return True


@dataclass(frozen=True)
class _Found:
    """The records of all finished and failed cells and studies, and where they were made."""

    records: dict[Cell, Record]
    studies: dict[PlannedStudy, StudyRecord]
    environments: dict[str, Environment]


def _collect(plan: Plan, store: Store, failures: Mapping[str, str]) -> _Found:
    records: dict[Cell, Record] = {}
    environments: dict[str, Environment] = {}
    finished = Finished(store, plan.jobs)
    for planned in plan.cells:
        reason = next((failures[key] for key in planned.keys if key in failures), None)
        if reason is None:
            try:
                records[planned.cell] = _measured(planned, plan, finished, environments)
            except DamagedArtifact:
                continue  # not finished; what is damaged has been set aside
        else:
            records[planned.cell] = _record(planned, status="failed", reason=reason)
    studies, more = collect_studies(plan, finished, failures)
    return _Found(records, studies, environments | more)


def _measured(
    planned: PlannedCell, plan: Plan, finished: Finished, environments: dict[str, Environment]
) -> Record:
    """The record of a finished cell; adds to `environments`."""
    made = {kind: finished.made(key) for kind, key in planned.chain.items()}
    places = {}
    for kind in (Kind.MEASURE, Kind.TRAIN):
        places[kind], environments[places[kind]] = finished.place(planned.chain[kind])
    outcome = finished.open(planned.chain[Kind.MEASURE]).json("cell")
    cost = Cost(
        pretrain_seconds=made[Kind.PRETRAIN].seconds if Kind.PRETRAIN in made else None,
        train_seconds=sum(finished.made(key).seconds for key in (planned.chain[Kind.TRAIN], *planned.starts)),
        extract_seconds=sum(finished.made(key).seconds for key in planned.extracts),
        score_seconds=made[Kind.SCORE].seconds,
        measure_seconds=made[Kind.CLASSIFY].seconds + made[Kind.MEASURE].seconds,
        peak_memory_mb=max(m.peak_memory_mb for m in made.values()),
    )
    provenance = Provenance(
        date=made[Kind.MEASURE].date,
        measured_in=places[Kind.MEASURE],
        trained_in=places[Kind.TRAIN],
        checkpoint=finished.sha256(planned.chain[Kind.TRAIN], "model.safetensors"),
        method_source=plan.jobs[planned.chain[Kind.SCORE]].code,
        data={name: finished.fingerprint(key) for name, key in planned.data.items()},
        seeds=dict(planned.seeds),
    )
    return _record(
        planned,
        status=outcome["status"],
        reason=outcome.get("reason"),
        measurement=outcome.get("measurement"),
        tuning=outcome.get("tuning"),
        hyperparameters=outcome.get("hyperparameters", planned.hyperparameters),
        cost=cost,
        provenance=provenance,
    )


def _record(planned: PlannedCell, **fields: Any) -> Record:
    fields.setdefault("hyperparameters", planned.hyperparameters)
    return Record(
        backbone=planned.cell.backbone,
        init=planned.cell.init,
        seed=planned.cell.seed,
        key=planned.key,
        hp_mode=planned.hp_mode,
        training=planned.training,
        made_of=dict(planned.made_of),
        networks=planned.networks,
        **fields,
    )


def _write(plan: Plan, store: Store, results: Path, found: _Found) -> Updated:
    """Merge records into their files."""
    records = found.records
    files: dict[tuple[str, str], RecordFile] = {}
    for planned in plan.cells:
        cell = planned.cell
        if cell in records:
            file = files.setdefault(
                (cell.track, cell.entry),
                RecordFile(
                    track=cell.track,
                    entry=cell.entry,
                    objective=planned.entry.objective,
                    detector=planned.entry.detector,
                    environments=found.environments,
                    records=[],
                ),
            )
            file.records.append(records[cell])
    cells = update_records(results, files.values())
    studies = write_studies(found.studies, found.environments, results)
    more = [*write_trainings(plan, store, results), *_write_boundary(plan, store, results)]
    return Updated([*cells.written, *studies.written, *more], [*cells.withdrawn, *studies.withdrawn])


def _write_boundary(plan: Plan, store: Store, results: Path) -> list[Path]:
    """Write the experiment in two dimensions once all of its arms are done."""
    if not plan.boundary or not all(map(store.has, plan.boundary)):
        return []
    try:
        arms = [store.open(key).json("arm") for key in plan.boundary]
    except DamagedArtifact:
        return []  # set aside: the next run makes it again
    path = results / FILE
    with results_lock(results):
        return [path] if write_boundary(path, boundary_file(arms)) else []
